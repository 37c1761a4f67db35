// SPDX-License-Identifier: MIT
#include <omnibus/parked/sqlite.hpp>

#include <omnibus/idempotency/sqlite.hpp>
#include <omnibus/parked/suite.hpp>

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "catch.hpp"
#include "unit/sqlite_tools.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;

namespace {

constexpr ParkedPlace orders{"billing", "orders"};

void run(const std::string& path, const char* statements) {
  detail::sqlite::Database database;
  REQUIRE(database.open(path, 5s) == SQLITE_OK);
  REQUIRE(database.run(statements) == SQLITE_OK);
}

void expect_refused(const std::string& path, Errc code) {
  SqliteParkedStore store{{.path = path, .busy_timeout = 10ms}};
  const auto refused = store.add(orders, {"k", "1", "dlq"});
  REQUIRE_FALSE(refused);
  INFO(refused.error().message());
  CHECK(refused.error().code == code);
  CHECK(refused.error().operation.find(path) != std::string::npos);
  CHECK_FALSE(store.load(orders, 10));
  CHECK_FALSE(store.find(orders, "k", "1"));
  CHECK_FALSE(store.remove(orders, "k", "1"));
}

}  // namespace

TEST_CASE("sqlite: the parked store passes the suite") {
  const TemporaryFolder folder;
  int files = 0;
  ParkedStoreSuite suite{[&] {
    return std::make_unique<SqliteParkedStore>(SqliteParkedStoreOptions{.path = folder.file(std::to_string(++files))});
  }};
  CHECK(suite.run(100) == std::vector<std::string>{});
}

TEST_CASE("sqlite: parked keys outlive the store that wrote them, and stores share a file") {
  const TemporaryFolder folder;
  {
    SqliteParkedStore store{{.path = folder.file()}};
    CHECK(store.add(orders, {"k", "1", "dlq", "pass"}));
  }
  SqliteParkedStore one{{.path = folder.file()}}, other{{.path = folder.file()}};
  CHECK(one.add(orders, {"k", "2", "dlq"}));
  const auto loaded = other.load(orders, 10).value();
  REQUIRE(loaded.size() == 1);
  CHECK(loaded[0].key == "k");
  CHECK(loaded[0].died_in == "pass");
  CHECK_FALSE(other.remove(orders, "k", "1").value());
  CHECK(one.remove(orders, "k", "2").value());
  CHECK(other.load(orders, 10).value().empty());
}

TEST_CASE("sqlite: parked keys and idempotency keys live in one file") {
  const TemporaryFolder folder;
  SqliteKeyStore keys{{.path = folder.file()}};
  SqliteParkedStore parked_keys{{.path = folder.file()}};
  const IdempotencyKey key{"billing", "orders", "1"};
  CHECK(parked_keys.add(orders, {"k", "1", "dlq"}));
  CHECK(keys.claim(key, {1, 2}, 1min).value().state == Claim::State::acquired);
  CHECK(parked_keys.remove(orders, "k", "1").value());
  CHECK(keys.claim(key, {1, 2}, 1min).value().state == Claim::State::in_progress);
}

TEST_CASE("sqlite: what is wrong with a file of parked keys is told by name, and it is tried again") {
  const TemporaryFolder folder;
  CHECK(throws_saying<std::invalid_argument>([] { SqliteParkedStore bad{{.path = ""}}; },
                                             "SqliteParkedStore: path"));
  expect_refused(folder.file("no/such/folder"), Errc::unavailable);
  std::ofstream{folder.file("text")} << std::string(5000, 'x');
  expect_refused(folder.file("text"), Errc::topology_mismatch);
  run(folder.file("newer"),
      "CREATE TABLE omnibus_meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
      "INSERT INTO omnibus_meta VALUES('parked.version', 2)");
  expect_refused(folder.file("newer"), Errc::topology_mismatch);

  SqliteParkedStore store{{.path = folder.file(), .busy_timeout = 10ms}};
  CHECK(store.add(orders, {"k", "1", "dlq"}));
  detail::sqlite::Database other;
  REQUIRE(other.open(folder.file(), 5s) == SQLITE_OK);
  REQUIRE(other.run("BEGIN IMMEDIATE") == SQLITE_OK);
  const auto locked = store.add(orders, {"k", "2", "dlq"});
  REQUIRE_FALSE(locked);
  CHECK(locked.error().code == Errc::unavailable);
  CHECK(locked.error().retryable);
  REQUIRE(other.run("COMMIT") == SQLITE_OK);
  CHECK(store.add(orders, {"k", "2", "dlq"}));
  CHECK_FALSE(store.remove(orders, "k", "1").value());
}
