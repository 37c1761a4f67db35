// SPDX-License-Identifier: MIT
#include <omnibus/outbox/file.hpp>

#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

#include "catch.hpp"
#include "unit/outbox/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;

namespace {

std::vector<std::int64_t> positions(outbox::File& file, std::int64_t behind = 0, std::size_t limit = 1000) {
  std::vector<std::int64_t> found;
  (void)file.scan(behind, limit, [&](const outbox::Stored& each) { return found.push_back(each.position), true; })
      .value();
  return found;
}

using Positions = std::vector<std::int64_t>;

}  // namespace

TEST_CASE("outbox file: one holds the lease; it passes on when it is over or given back, with a higher fence") {
  const TemporaryFolder folder;
  outbox::File one{folder.file(), 5s}, other{folder.file(), 5s};
  const auto first = one.acquire(1000, 1500).value();
  CHECK(first.fence == 1);
  const auto waits = other.acquire(1499, 2000).value();
  CHECK(waits.fence == 0);
  CHECK(waits.until == 1500);
  CHECK(one.mark(first.fence, 1700, {}));
  CHECK(other.acquire(1699, 2000).value().fence == 0);
  const auto second = other.acquire(1700, 2000).value();
  CHECK(second.fence == 2);
  CHECK(one.mark(first.fence, 9000, {}).error().code == Errc::rejected);
  CHECK(one.release(first.fence).error().code == Errc::rejected);
  CHECK(one.acquire(1999, 3000).value().fence == 0);
  CHECK(other.release(second.fence));
  CHECK(one.acquire(1800, 3000).value().fence == 3);
}

TEST_CASE("outbox file: what is marked is out, and the rest stays") {
  const TemporaryFolder folder;
  Shop shop{folder.file()};
  shop.add({{"a", 1}, {"a", 2}, {"a", 3}, {"a", 4}, {"a", 5}, {"a", 6}});
  outbox::File file{folder.file(), 5s};
  const auto lease = file.acquire(0, 1000).value();
  Positions some{6, 2, 3};
  CHECK(file.mark(lease.fence, 1000, some));
  CHECK(positions(file) == Positions{1, 4, 5});
  CHECK(file.mark(lease.fence, 1000, some));  // again
  CHECK(positions(file) == Positions{1, 4, 5});
  Positions rest{1, 4, 5};
  CHECK(file.mark(lease.fence + 1, 1000, rest).error().code == Errc::rejected);
  CHECK(positions(file) == Positions{1, 4, 5});
}

TEST_CASE("outbox file: it is read in pages, in order") {
  const TemporaryFolder folder;
  Shop shop{folder.file()};
  shop.add({{"a", 1}, {"b", 1}, {"c", 1}});
  outbox::File file{folder.file(), 5s};
  CHECK(positions(file, 0, 2) == Positions{1, 2});
  CHECK(positions(file, 2, 2) == Positions{3});
  CHECK(positions(file, 3, 2).empty());
  const auto nothing = [](const outbox::Stored&) { return false; };
  const auto everything = [](const outbox::Stored&) { return true; };
  CHECK_FALSE(file.scan(0, 9, nothing).value());
  CHECK_FALSE(file.scan(0, 2, everything).value());
  CHECK(file.scan(0, 3, everything).value());
}

TEST_CASE("outbox file: commits of others are noticed, its own are not") {
  const TemporaryFolder folder;
  Shop shop{folder.file()};
  outbox::File file{folder.file(), 5s};
  CHECK(file.changed().value());
  CHECK_FALSE(file.changed().value());
  shop.add({{"a", 1}});
  CHECK(file.changed().value());
  CHECK_FALSE(file.changed().value());
  CHECK(file.acquire(0, 1000));
  CHECK_FALSE(file.changed().value());
}

TEST_CASE("outbox file: it tells what waits, and since when") {
  const TemporaryFolder folder;
  Shop shop{folder.file()};
  outbox::File file{folder.file(), 5s};
  CHECK(file.backlog().value().pending == 0);
  CHECK(file.backlog().value().oldest == Time{});
  Message old = message_of("1", "a");
  old.time = Time{1h};
  CHECK(shop.transact([&] { return shop.outbox.add("orders", old).has_value(); }));
  shop.add({{"a", 2}});
  CHECK(file.backlog().value().pending == 2);
  CHECK(file.backlog().value().oldest == Time{1h});
}

TEST_CASE("outbox file: a damaged message is told, and not relayed; those before it are") {
  const TemporaryFolder folder;
  Shop shop{folder.file()};
  shop.add({{"a", 1}, {"a", 2}, {"a", 3}});
  CHECK(shop.raw().run("UPDATE omnibus_outbox SET headers = X'ffffffff00000000' WHERE position = 2") == SQLITE_OK);
  outbox::File file{folder.file(), 5s};
  Positions found;
  const auto scanned = file.scan(0, 10, [&](const outbox::Stored& each) { return found.push_back(each.position), true; });
  REQUIRE_FALSE(scanned);
  CHECK(scanned.error().code == Errc::topology_mismatch);
  CHECK_THAT(scanned.error().context, Catch::Contains("message 2"));
  CHECK(found == Positions{1});
}

TEST_CASE("outbox file: files that cannot be used are told apart") {
  const TemporaryFolder folder;
  const auto code = [&folder] {
    outbox::File file{folder.file(), 10ms};
    const auto refused = file.acquire(0, 1000);
    REQUIRE_FALSE(refused);
    INFO(refused.error().message());
    return refused.error().code;
  };
  SECTION("no database") {
    std::ofstream{folder.file()} << std::string(5000, 'x');
    CHECK(code() == Errc::topology_mismatch);
  }
  SECTION("another version") {
    Shop shop{folder.file()};
    shop.add({{"a", 1}});
    CHECK(shop.raw().run("UPDATE omnibus_meta SET value = 9 WHERE name = 'outbox.version'") == SQLITE_OK);
    CHECK(code() == Errc::topology_mismatch);
  }
  SECTION("locked") {
    Raw other{folder.file()};
    CHECK(other.run("BEGIN EXCLUSIVE") == SQLITE_OK);
    CHECK(code() == Errc::unavailable);
  }
  SECTION("a folder") {
    outbox::File file{folder.file() + "/nowhere/test.db", 10ms};
    CHECK(file.acquire(0, 1000).error().code == Errc::unavailable);
  }
  CHECK(throws_saying<std::invalid_argument>([] { outbox::File file("", 1s); }, "OutboxRelay: path"));
}
