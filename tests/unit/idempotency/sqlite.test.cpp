// SPDX-License-Identifier: MIT
#include <omnibus/idempotency/sqlite.hpp>

#include <omnibus/idempotency/memory.hpp>
#include <omnibus/idempotency/suite.hpp>
#include <omnibus/middleware/idempotent.hpp>
#include <omnibus/middleware/retry.hpp>

#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "unit/sqlite_tools.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;
using State = Claim::State;

namespace {

constexpr detail::Hash128 payload{1, 2};
IdempotencyKey key_of(std::string_view key) { return {"billing", "orders", key}; }

Claim claim(SqliteKeyStore& store, std::string_view key, Duration lease = 1min) {
  return store.claim(key_of(key), payload, lease).value();
}

void expect_refused(const std::string& path, Errc code) {
  SqliteKeyStore store{{.path = path, .busy_timeout = 10ms}};
  const auto refused = store.claim(key_of("1"), payload, 1min);
  REQUIRE_FALSE(refused);
  INFO(refused.error().message());
  CHECK(refused.error().code == code);
  CHECK(refused.error().operation.find(path) != std::string::npos);
}

}  // namespace

TEST_CASE("sqlite: the store passes the suite") {
  const TemporaryFolder folder;
  VirtualClock clock;
  int files = 0;
  KeyStoreSuite suite{[&] {
                        return std::make_unique<SqliteKeyStore>(SqliteKeyStoreOptions{
                            .path = folder.file(std::to_string(++files)), .clock = &clock});
                      },
                      [&clock](Duration duration) { clock.advance(duration); }};
  CHECK(suite.run(2) == std::vector<std::string>{});
}

TEST_CASE("sqlite: keys outlive the store that wrote them, and stores share a file") {
  const TemporaryFolder folder;
  {
    SqliteKeyStore store{{.path = folder.file()}};
    const Claim done = claim(store, "done");
    CHECK(store.complete(key_of("done"), done));
    (void)claim(store, "open");
  }
  SqliteKeyStore one{{.path = folder.file()}}, other{{.path = folder.file()}};
  CHECK(claim(one, "done").state == State::completed);
  CHECK(claim(other, "done").state == State::completed);
  CHECK(claim(other, "open").state == State::in_progress);
  const Claim mine = claim(one, "new");
  CHECK(claim(other, "new").state == State::in_progress);
  CHECK(one.complete(key_of("new"), mine));
  CHECK(claim(other, "new").state == State::completed);
}

TEST_CASE("sqlite: many threads of several stores on one file claim each key once") {
  const TemporaryFolder folder;
  SqliteKeyStore stores[2]{SqliteKeyStore{{.path = folder.file(), .busy_timeout = 20s}},
                           SqliteKeyStore{{.path = folder.file(), .busy_timeout = 20s}}};
  std::atomic<int> won{0}, completed{0}, answered{0};
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 8; ++thread) {
    threads.emplace_back([&, &store = stores[thread % 2]] {
      for (int i = 0; i < 100; ++i) {
        const std::string name = std::to_string(i);
        const auto mine = store.claim(key_of(name), payload, 1h);
        if (!mine) continue;
        ++answered;
        if (mine->state != State::acquired) continue;
        ++won;
        if (store.complete(key_of(name), *mine)) ++completed;
      }
    });
  }
  for (auto& each : threads) each.join();
  CHECK(answered == 800);
  CHECK(won == 100);
  CHECK(completed == 100);
}

TEST_CASE("sqlite: effects are written with the completion, or not at all") {
  const TemporaryFolder folder;
  Raw raw{folder.file()};
  REQUIRE(raw.run("CREATE TABLE charges(id TEXT)") == SQLITE_OK);
  SqliteKeyStore store{{.path = folder.file()}};
  const auto charge = [](sqlite3* database) -> Result<> {
    if (sqlite3_exec(database, "INSERT INTO charges VALUES('x')", nullptr, nullptr, nullptr) == SQLITE_OK) {
      return {};
    }
    return retryable(sqlite3_errmsg(database));
  };
  const Claim first = claim(store, "1");
  CHECK(store.complete_with(key_of("1"), first, charge));
  CHECK(raw.number("SELECT count(*) FROM charges") == 1);
  CHECK(claim(store, "1").state == State::completed);
  CHECK_FALSE(store.complete_with(key_of("1"), first, charge));  // it is no longer ours: nothing is written
  CHECK(raw.number("SELECT count(*) FROM charges") == 1);

  const Claim second = claim(store, "2");
  const auto failed = store.complete_with(key_of("2"), second, [&](sqlite3* database) -> Result<> {
    CHECK(charge(database));
    return permanent("no money");
  });
  REQUIRE_FALSE(failed);
  CHECK(failed.error().context == "no money");
  CHECK(raw.number("SELECT count(*) FROM charges") == 1);
  CHECK(claim(store, "2").state == State::in_progress);
  CHECK_FALSE(store.complete_with(key_of("2"), second, [](sqlite3*) -> Result<> { throw std::runtime_error{"thrown"}; }));
  CHECK_FALSE(store.complete_with(key_of("2"), second, [](sqlite3*) -> Result<> { throw 42; }));
  CHECK(store.complete_with(key_of("2"), second, charge));
  CHECK(raw.number("SELECT count(*) FROM charges") == 2);
}

TEST_CASE("sqlite: what a handler writes with its completion is written once and with it, or not at all") {
  const TemporaryFolder folder;
  Raw raw{folder.file()};
  REQUIRE(raw.run("PRAGMA journal_mode=WAL; CREATE TABLE charges(id TEXT)") == SQLITE_OK);
  const auto charges = [&] { return raw.number("SELECT count(*) FROM charges"); };
  SqliteKeyStore store{{.path = folder.file(), .busy_timeout = 10ms}};
  FakeContext context;
  int calls = 0;
  Result<> money{};
  const auto handler = [&](const Delivery& delivery) -> Result<> {
    ++calls;
    if (Result<> kept = keep_result(delivery, "charged"); !kept) return kept;
    for (int i = 0; i < 2; ++i) {
      Result<> taken = store.write_with(delivery, [&](sqlite3* database) -> Result<> {
        if (sqlite3_exec(database, "INSERT INTO charges VALUES('x')", nullptr, nullptr, nullptr) != SQLITE_OK) {
          return retryable(sqlite3_errmsg(database));
        }
        return money;
      });
      if (!taken) return taken;
    }
    return {};
  };
  auto pipeline = detail::compose(handler | idempotent(store));

  Received first{context, message_of("1", "k", "body")}, again{context, message_of("1", "k", "body")};
  CHECK(pipeline(first.delivery));
  CHECK(charges() == 2);
  CHECK(pipeline(again.delivery));
  CHECK(again.delivery.duplicate());
  CHECK(again.delivery.result() == "charged");
  CHECK(charges() == 2);
  CHECK(calls == 1);

  // An effect that fails is a handler that fails: the key is free for another attempt.
  Received poor{context, message_of("2", "k", "body")};
  money = permanent("no money");
  const Result<> failed = pipeline(poor.delivery);
  REQUIRE_FALSE(failed);
  CHECK(failed.error().context == "no money");
  CHECK(charges() == 2);
  money = {};
  CHECK(pipeline(poor.delivery));
  CHECK(charges() == 4);
  CHECK(calls == 3);

  // While the file cannot be written, the handler has ended all the same, and does not run again.
  Received late{context, message_of("3", "k", "body")};
  auto locked = detail::compose([&](const Delivery& delivery) -> Result<> {
    CHECK(raw.run("BEGIN IMMEDIATE") == SQLITE_OK);
    return handler(delivery);
  } | idempotent(store));
  const Result<> waits = locked(late.delivery);
  REQUIRE_FALSE(waits);
  CHECK(waits.error().again());
  CHECK(raw.run("ROLLBACK") == SQLITE_OK);
  CHECK(charges() == 4);
  late.delivery.begin_again();
  CHECK(locked(late.delivery));
  CHECK(charges() == 6);
  CHECK(calls == 4);

  // Nobody would write it.
  MemoryKeyStore other;
  SqliteKeyStore another{{.path = folder.file("another.db")}};
  Received lost{context, message_of("4", "k", "body")};
  for (const Result<>& refused : {detail::compose(handler | idempotent(other))(lost.delivery),
                                  detail::compose(handler | idempotent(another))(lost.delivery),
                                  handler(lost.delivery)}) {
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == Errc::unsupported);
  }
  CHECK(charges() == 6);
}

TEST_CASE("sqlite: completed keys are remembered as long as they are to be, and then forgotten") {
  const TemporaryFolder folder;
  VirtualClock clock;
  SqliteKeyStore store{{.path = folder.file(), .keep = 1h, .clock = &clock}};
  for (int i = 0; i < 10; ++i) {
    const Claim mine = claim(store, std::to_string(i));
    CHECK(store.complete(key_of(std::to_string(i)), mine));
  }
  (void)claim(store, "never completed");
  clock.advance(59min);
  CHECK(claim(store, "3").state == State::completed);
  clock.advance(2h);
  for (int i = 100; i < 110; ++i) (void)claim(store, std::to_string(i));
  CHECK(Raw{folder.file()}.number("SELECT count(*) FROM omnibus_keys") == 10);
}

TEST_CASE("sqlite: a clock that is set back ends no lease early and makes none longer") {
  const TemporaryFolder folder;
  struct Wall final : Clock {
    std::atomic<int> seconds{10'000};
    Instant now() const noexcept override { return Instant{}; }
    Time wall() const noexcept override { return Time{std::chrono::seconds{seconds.load()}}; }
  } wall;
  SqliteKeyStore store{{.path = folder.file(), .clock = &wall}};
  (void)claim(store, "1");
  wall.seconds = 5'000;
  CHECK(claim(store, "1").state == State::in_progress);
  CHECK(claim(store, "1").lease <= 1min);
  wall.seconds = 10'059;
  CHECK(claim(store, "1").state == State::in_progress);
  wall.seconds = 10'061;
  CHECK(claim(store, "1").state == State::acquired);
}

TEST_CASE("sqlite: a file that cannot be used is refused with its name and why, and nothing is done") {
  const TemporaryFolder folder;
  expect_refused(folder.file("no folder/keys.db"), Errc::unavailable);
  std::ofstream{folder.file("text")} << std::string(5000, 'x');
  expect_refused(folder.file("text"), Errc::topology_mismatch);
  expect_refused(":memory:", Errc::unsupported);  // it would be forgotten
  {
    SqliteKeyStore store{{.path = folder.file("newer")}};
    (void)claim(store, "1");
  }
  REQUIRE(Raw{folder.file("newer")}.run("UPDATE omnibus_meta SET value = 3 WHERE name = 'keys.version'") ==
          SQLITE_OK);
  expect_refused(folder.file("newer"), Errc::topology_mismatch);
  if (::geteuid() != 0) {  // root may write everything
    {
      SqliteKeyStore store{{.path = folder.file("read only")}};
      (void)claim(store, "1");
    }
    REQUIRE(::chmod(folder.file("read only").c_str(), 0400) == 0);
    expect_refused(folder.file("read only"), Errc::access_denied);
  }
}

TEST_CASE("sqlite: a file of the first version keeps its keys, and keeps results from then on") {
  const TemporaryFolder folder;
  Raw raw{folder.file()};
  REQUIRE(raw.run("PRAGMA journal_mode=WAL;"
                  "CREATE TABLE omnibus_meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
                  "INSERT INTO omnibus_meta VALUES('keys.version', 1), ('keys.fence', 7);"
                  "CREATE TABLE omnibus_keys(id INTEGER PRIMARY KEY, fence INTEGER NOT NULL,"
                  " until INTEGER NOT NULL, forget_at INTEGER NOT NULL, completed INTEGER NOT NULL DEFAULT 0,"
                  " fingerprint BLOB NOT NULL, consumer BLOB NOT NULL, topic BLOB NOT NULL, key BLOB NOT NULL);"
                  "CREATE UNIQUE INDEX omnibus_keys_name ON omnibus_keys(consumer, topic, key);"
                  "CREATE INDEX omnibus_keys_old ON omnibus_keys(forget_at);"
                  "INSERT INTO omnibus_keys VALUES(1, 7, 9223372036854775807, 9223372036854775807, 1,"
                  " x'01000000000000000200000000000000', CAST('billing' AS BLOB), CAST('orders' AS BLOB),"
                  " CAST('done' AS BLOB))") == SQLITE_OK);
  SqliteKeyStore one{{.path = folder.file()}}, other{{.path = folder.file()}};
  CHECK(claim(one, "done").state == State::completed);
  CHECK(claim(other, "done").result.empty());
  const Claim mine = claim(one, "new");
  CHECK(mine.fence == 8);
  CHECK(one.complete(key_of("new"), mine, "receipt"));
  CHECK(claim(other, "new").result == "receipt");
  CHECK(raw.number("SELECT value FROM omnibus_meta WHERE name = 'keys.version'") == 2);
}

TEST_CASE("sqlite: while another process writes for too long the store is unavailable, and goes on afterwards") {
  const TemporaryFolder folder;
  SqliteKeyStore store{{.path = folder.file(), .busy_timeout = 10ms}};
  const Claim mine = claim(store, "1");
  Raw raw{folder.file()};
  REQUIRE(raw.run("BEGIN IMMEDIATE") == SQLITE_OK);
  const auto refused = store.complete(key_of("1"), mine);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Errc::unavailable);
  CHECK(refused.error().retryable);
  CHECK_FALSE(store.claim(key_of("2"), payload, 1min));
  REQUIRE(raw.run("ROLLBACK") == SQLITE_OK);
  CHECK(store.complete(key_of("1"), mine));
  CHECK(claim(store, "2").state == State::acquired);
}

TEST_CASE("sqlite: on a full disk nothing is done, and what was done stays") {
  const TemporaryFolder folder;
  SqliteKeyStore store{{.path = folder.file()}};
  const Claim first = claim(store, "first");
  CHECK(store.complete(key_of("first"), first));
  Error full;
  int claimed = 0;
  std::vector<Claim> held;
  // A page limit, which SQLite takes for a full disk, holds for one connection: an effect sets it.
  const Claim limits = claim(store, "limits");
  CHECK(store.complete_with(key_of("limits"), limits, [](sqlite3* database) -> Result<> {
    sqlite3_exec(database, "PRAGMA max_page_count=20", nullptr, nullptr, nullptr);
    return {};
  }));
  while (full.operation.empty() && claimed < 10'000) {
    const auto mine = store.claim(key_of("key " + std::string(200, 'x') + std::to_string(claimed)), payload, 1h);
    if (!mine) {
      full = mine.error();
    } else {
      ++claimed;
    }
  }
  INFO(full.message());
  CHECK(full.code == Errc::unavailable);
  CHECK(full.retryable);
  CHECK(full.message().find("full") != std::string::npos);
  CHECK(claim(store, "first").state == State::completed);
  CHECK(Raw{folder.file()}.number("SELECT count(*) FROM omnibus_keys") == claimed + 2);
  CHECK(Raw{folder.file()}.number("SELECT count(*) FROM pragma_quick_check WHERE quick_check = 'ok'") == 1);
}

TEST_CASE("sqlite: behind idempotent a message is handled once, whatever its duplicates") {
  const TemporaryFolder folder;
  SqliteKeyStore store{{.path = folder.file()}};
  FakeContext context;
  int calls = 0;
  auto pipeline = detail::compose([&](const Delivery&) -> Result<> {
    if (++calls == 1) return retryable("not yet");
    return {};
  } | retry({.initial = 1ms}) | idempotent(store));
  for (int i = 0; i < 3; ++i) {
    Received message{context, message_of("m-1", "k", "payload")};
    CHECK(run_to_end(pipeline, message.delivery, context));
  }
  CHECK(calls == 2);
  Received other{context, message_of("m-1", "k", "another payload")};
  CHECK(run_to_end(pipeline, other.delivery, context).error().code == Errc::key_mismatch);
}

TEST_CASE("sqlite: options that can never work are refused by name") {
  const auto refused = [](SqliteKeyStoreOptions options, std::string_view name) {
    return throws_saying<std::invalid_argument>([&] { SqliteKeyStore store{options}; }, name);
  };
  CHECK(refused({.path = ""}, "path"));
  CHECK(refused({.path = std::string("a\0b", 3)}, "path"));
  CHECK(refused({.path = "keys", .keep = 0s}, "keep"));
  CHECK(refused({.path = "keys", .max_result = (1u << 20) + 1}, "max_result"));
  CHECK(refused({.path = "keys", .busy_timeout = -1s}, "busy_timeout"));
}
