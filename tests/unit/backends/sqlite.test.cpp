// SPDX-License-Identifier: MIT
#include <omnibus/backends/sqlite.hpp>

#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <omnibus/event_bus.hpp>

#include "catch.hpp"
#include "unit/sqlite_tools.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;
using namespace std::chrono_literals;

namespace {

using Bus = EventBus<Sqlite>;

/// What a handler has seen.
class Seen {
 public:
  auto handler() {
    return [this](const Delivery& delivery) {
      const std::lock_guard lock{mutex_};
      payloads_.emplace_back(delivery.payload());
    };
  }
  std::vector<std::string> all() const {
    const std::lock_guard lock{mutex_};
    return payloads_;
  }
  bool wait_for(std::size_t count) const {
    return holds_soon([&] { return all().size() >= count; });
  }
  template <class Condition>
  static bool holds_soon(Condition holds) {
    const auto end = std::chrono::steady_clock::now() + 20s;
    while (!holds()) {
      if (std::chrono::steady_clock::now() > end) return false;
      std::this_thread::yield();
    }
    return true;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> payloads_;
};

std::vector<std::string> numbers(int from, int to) {
  std::vector<std::string> all;
  for (int i = from; i < to; ++i) all.push_back(std::to_string(i));
  return all;
}
void publish(Bus& bus, int from, int to, std::string key = "k") {
  for (int i = from; i < to; ++i) bus.publish("orders", std::to_string(i), {.key = key}).value();
}
Errc code_of(const Result<Receipt>& result) {
  REQUIRE_FALSE(result);
  return result.error().code;
}

TEST_CASE("a malformed configuration names the field", "[sqlite]") {
  const auto says = [](Sqlite::Config config, const char* field) {
    CHECK_THROWS_WITH((Sqlite{std::move(config)}), Catch::Contains(field));
  };
  says({}, "endpoint");
  says({.endpoint = ":memory:"}, "endpoint");
  says({.endpoint = std::string{"a\0b", 3}}, "endpoint");
  says({.endpoint = "f", .group = "no name"}, "group");
  says({.endpoint = "f", .shards = 0}, "shards");
  says({.endpoint = "f", .shards = 257}, "shards");
  says({.endpoint = "f", .lease = 499ms}, "lease");
  says({.endpoint = "f", .look_every = 0ms}, "look_every");
  says({.endpoint = "f", .publish_window = 0}, "publish_window");
}

TEST_CASE("a backend that is not used opens no file", "[sqlite]") {
  const TemporaryFolder folder;
  {
    Bus bus{{.endpoint = folder.file()}};
    CHECK(bus.backend().health().ok);
    CHECK(bus.close(1s));
  }
  CHECK_FALSE(std::filesystem::exists(folder.file()));
}

TEST_CASE("what was published is there after the end of its bus, with its place", "[sqlite]") {
  const TemporaryFolder folder;
  {
    Bus bus{{.endpoint = folder.file()}};
    for (int i = 0; i < 5; ++i) {
      const Receipt receipt = bus.publish("orders", std::to_string(i), {.key = "k"}).value();
      CHECK(receipt.position.major == static_cast<std::uint64_t>(i) + 1);
    }
  }
  Bus bus{{.endpoint = folder.file(), .group = "g"}};
  Seen seen;
  const auto subscription = bus.subscribe("orders", seen.handler());
  REQUIRE(seen.wait_for(5));
  CHECK(seen.all() == numbers(0, 5));
}

TEST_CASE("the number of shards is the file's, once a topic is made", "[sqlite]") {
  const TemporaryFolder folder;
  Bus first{{.endpoint = folder.file(), .shards = 3}};
  publish(first, 0, 1);
  Bus second{{.endpoint = folder.file(), .group = "g", .shards = 8}};
  publish(second, 1, 20);
  Seen seen;
  const auto subscription = second.subscribe("orders", seen.handler());
  REQUIRE(seen.wait_for(20));
  CHECK(seen.all() == numbers(0, 20));  // one key is in one shard
  CHECK(Raw{folder.file()}.number("SELECT shards FROM omnibus_topics") == 3);
}

TEST_CASE("the log of a file has its say on what survives", "[sqlite]") {
  const TemporaryFolder folder;
  Bus strict{{.endpoint = folder.file()}};
  publish(strict, 0, 1);
  CHECK(strict.backend().health().ok);
  CHECK(strict.backend().health().detail.empty());
  Bus lax{{.endpoint = folder.file(), .durability = Durability::process_crash}};
  publish(lax, 0, 1);
  CHECK(lax.backend().health().ok);
  CHECK_THAT(lax.backend().health().detail, Catch::Contains("may be lost with the power"));
}

TEST_CASE("a subscription that ends at once leaves no lease behind", "[sqlite]") {
  const TemporaryFolder folder;
  Bus bus{{.endpoint = folder.file(), .group = "g"}};
  publish(bus, 0, 1);
  for (int round = 0; round < 20; ++round) {
    auto subscription = bus.subscribe("orders", [](const Delivery&) {});
    CHECK(subscription.stop(10s));
  }
  Raw raw{folder.file()};
  CHECK(raw.number("SELECT count(*) FROM omnibus_shares WHERE owner <> 0") == 0);
  CHECK(raw.number("SELECT count(*) FROM omnibus_members") == 0);
}

// ── what may go ──────────────────────────────────────────────────────────────────────────────────

TEST_CASE("without trim everything is kept; with it, what every group has finished goes", "[sqlite]") {
  const TemporaryFolder folder;
  const bool trim = GENERATE(false, true);
  Bus bus{{.endpoint = folder.file(), .shards = 1, .trim = trim}};
  publish(bus, 0, 50);
  Seen first, second;
  std::optional<Subscription> slow{bus.subscribe("orders", second.handler(), {.group = "second"})};
  REQUIRE(second.wait_for(50));
  slow.reset();
  publish(bus, 50, 100);
  const auto quick = bus.subscribe("orders", first.handler(), {.group = "first"});
  REQUIRE(first.wait_for(100));
  Raw raw{folder.file()};
  const auto lowest = [&] { return raw.number("SELECT min(row) FROM omnibus_messages"); };
  if (trim) {
    REQUIRE(Seen::holds_soon([&] { return lowest() == 51; }));
  } else {
    CHECK(lowest() == 1);
  }
  const auto again = bus.subscribe("orders", second.handler(), {.group = "second"});
  REQUIRE(second.wait_for(100));
  CHECK(second.all() == numbers(0, 100));
}

TEST_CASE("no position is used twice, not even when everything was removed", "[sqlite]") {
  const TemporaryFolder folder;
  Bus bus{{.endpoint = folder.file(), .shards = 1, .trim = true}};
  publish(bus, 0, 10);
  Seen seen;
  const auto subscription = bus.subscribe("orders", seen.handler(), {.group = "g"});
  Raw raw{folder.file()};
  REQUIRE(Seen::holds_soon([&] { return raw.number("SELECT count(*) FROM omnibus_messages") == 1; }));
  CHECK(bus.publish("orders", "10", {.key = "k"}).value().position.major == 11);
}

TEST_CASE("a bounded shard drops the oldest, and whoever has not read them is told", "[sqlite]") {
  const TemporaryFolder folder;
  Bus bus{{.endpoint = folder.file(), .shards = 1, .shard_bound = 20}};
  publish(bus, 0, 1);
  {  // the slow group has a position
    Seen seen;
    const auto slow = bus.subscribe("orders", seen.handler(), {.group = "slow"});
    REQUIRE(seen.wait_for(1));
  }
  publish(bus, 1, 100);
  Seen quick;
  const auto subscription = bus.subscribe("orders", quick.handler(), {.group = "quick"});
  Raw raw{folder.file()};
  REQUIRE(Seen::holds_soon([&] { return raw.number("SELECT count(*) FROM omnibus_messages") == 20; }));
  Seen seen;
  const auto slow = bus.subscribe("orders", seen.handler(), {.group = "slow"});
  REQUIRE(seen.wait_for(20));
  CHECK(seen.all() == numbers(80, 100));
}

// ── faults ───────────────────────────────────────────────────────────────────────────────────────

TEST_CASE("a file that is no database is refused, and stays as it is", "[sqlite]") {
  const TemporaryFolder folder;
  const std::string text(5000, 'x');
  std::ofstream{folder.file()} << text;
  Bus bus{{.endpoint = folder.file(), .group = "g"}};
  CHECK(code_of(bus.publish("orders", "m")) == Errc::topology_mismatch);
  CHECK_FALSE(bus.backend().health().ok);
  const auto subscription = bus.subscribe("orders", [](const Delivery&) {});
  CHECK(Seen::holds_soon(
      [&] { return subscription.health().problem.find("not a database") != std::string::npos; }));
  std::ifstream in{folder.file()};
  CHECK(std::string{std::istreambuf_iterator<char>{in}, {}} == text);
}

TEST_CASE("a damaged message is told and not handed over; those before it are", "[sqlite]") {
  const TemporaryFolder folder;
  {
    Bus bus{{.endpoint = folder.file()}};
    publish(bus, 0, 3);
  }
  REQUIRE(Raw{folder.file()}.run("UPDATE omnibus_messages SET headers = X'ffffffff00000000' WHERE payload = X'31'") ==
          SQLITE_OK);
  Bus bus{{.endpoint = folder.file(), .group = "g"}};
  Seen seen;
  const auto subscription = bus.subscribe("orders", seen.handler());
  CHECK(Seen::holds_soon([&] { return subscription.health().problem.find("damaged") != std::string::npos; }));
  CHECK(seen.wait_for(1));
  CHECK(seen.all() == numbers(0, 1));
}

TEST_CASE("a file of another version is refused in words", "[sqlite]") {
  const TemporaryFolder folder;
  {
    Bus bus{{.endpoint = folder.file()}};
    publish(bus, 0, 1);
  }
  Raw{folder.file()}.run("UPDATE omnibus_meta SET value = 7 WHERE name = 'bus.version'");
  Bus bus{{.endpoint = folder.file()}};
  const auto result = bus.publish("orders", "m");
  CHECK(code_of(result) == Errc::topology_mismatch);
  CHECK_THAT(result.error().context, Catch::Contains("version 7"));
}

TEST_CASE("a folder that is not there is a failed publish, until it is", "[sqlite]") {
  const TemporaryFolder folder;
  const std::string nowhere = folder.file("missing");
  Bus bus{{.endpoint = nowhere + "/bus.db"}};
  const auto result = bus.publish("orders", "m");
  CHECK(code_of(result) == Errc::unavailable);
  CHECK_THAT(result.error().context, Catch::Contains("unable to open"));
  std::filesystem::create_directory(nowhere);
  CHECK(bus.publish("orders", "m"));
  CHECK(bus.backend().health().ok);
}

TEST_CASE("a file that may not be written is access_denied", "[sqlite]") {
  if (::geteuid() == 0) return;  // root may write everything
  const TemporaryFolder folder;
  {
    Bus bus{{.endpoint = folder.file()}};
    publish(bus, 0, 1);
  }
  REQUIRE(::chmod(folder.file().c_str(), 0400) == 0);
  Bus bus{{.endpoint = folder.file()}};
  CHECK(code_of(bus.publish("orders", "m")) == Errc::access_denied);
}

TEST_CASE("an atomic batch is one transaction: a file with room for half of it has nothing of it", "[sqlite]") {
  const TemporaryFolder folder;
  Bus bus{{.endpoint = folder.file(), .group = "g", .shards = 1, .max_pages = 60, .publish_window = 100}};
  const auto publish_atomic = [&bus](int count, std::size_t size) {
    MessageBatch batch;
    for (int i = 0; i < count; ++i) {
      batch.add(i % 2 == 0 ? "orders" : "invoices", std::string(size, 'x'), {.key = "k"}).value();
    }
    const auto result = bus.publish_atomic(batch);
    return result ? std::string{"ok"} : std::string{to_string(result.error().code)};
  };
  CHECK(publish_atomic(2, 10) == "ok");
  CHECK(publish_atomic(100, 2000) == "unavailable");  // 200 KB, of which the file has room for some
  CHECK(publish_atomic(101, 10) == "too_large");   // more than the window
  CHECK(publish_atomic(4, 10) == "ok");
  Seen orders, invoices;
  const auto first = bus.subscribe("orders", orders.handler());
  const auto second = bus.subscribe("invoices", invoices.handler());
  publish(bus, 7, 8);
  bus.publish("invoices", "7", {.key = "k"}).value();
  std::vector<std::string> should(3, std::string(10, 'x'));
  should.push_back("7");
  REQUIRE(orders.wait_for(4));
  REQUIRE(invoices.wait_for(4));
  CHECK(orders.all() == should);
  CHECK(invoices.all() == should);
}

TEST_CASE("a full file refuses what is new, and what is done can still be settled", "[sqlite]") {
  const TemporaryFolder folder;
  std::atomic<bool> go{false};
  Seen seen;
  Bus bus{{.endpoint = folder.file(), .group = "g", .shards = 1, .max_pages = 60}};
  publish(bus, 0, 3);
  const auto subscription = bus.subscribe("orders", [&](const Delivery& delivery) {
    while (!go) std::this_thread::yield();
    seen.handler()(delivery);
  });
  std::size_t stored = 0;
  std::optional<Result<Receipt>> refused;
  while (!refused && stored < 10'000) {
    auto result = bus.publish("orders", std::string(2000, 'x'), {.key = "other"});
    if (result) {
      ++stored;
    } else {
      refused.emplace(std::move(result));
    }
  }
  REQUIRE(refused);
  CHECK(code_of(*refused) == Errc::unavailable);
  CHECK_THAT(refused->error().context, Catch::Contains("full"));
  CHECK_FALSE(bus.backend().health().ok);
  go = true;
  REQUIRE(seen.wait_for(stored + 3));
  REQUIRE(Seen::holds_soon([&] { return subscription.stats().in_flight == 0; }));
  CHECK(bus.close(10s));
  CHECK(seen.all().size() == stored + 3);
  // What was refused is not there, what was stored is settled.
  Raw raw{folder.file()};
  CHECK(raw.number("SELECT count(*) FROM omnibus_messages") == static_cast<std::int64_t>(stored + 3));
  CHECK(raw.number("SELECT cursor FROM omnibus_shares") == static_cast<std::int64_t>(stored + 4));
}

/// The file system, which fails to flush write-ahead logs while that is wanted.
class Disk {
 public:
  /// All files that are opened from now on are on it.
  static void use() {
    static const bool registered = [] {
      real_ = sqlite3_vfs_find(nullptr);
      static sqlite3_vfs disk = *real_;
      disk.zName = "omnibus-test-disk";
      disk.xOpen = &open;
      return sqlite3_vfs_register(&disk, 1) == SQLITE_OK;
    }();
    REQUIRE(registered);
  }
  static inline std::atomic<bool> fails{false};

 private:
  static int open(sqlite3_vfs*, const char* name, sqlite3_file* file, int flags, int* out) {
    const int code = real_->xOpen(real_, name, file, flags, out);
    if (code != SQLITE_OK || (flags & SQLITE_OPEN_WAL) == 0) return code;
    std::call_once(once_, [file] {
      methods_ = file->pMethods;
      altered_ = *methods_;
      altered_.xSync = [](sqlite3_file* synced, int how) {
        return fails ? SQLITE_IOERR_FSYNC : methods_->xSync(synced, how);
      };
    });
    if (file->pMethods == methods_) file->pMethods = &altered_;
    return code;
  }
  static inline sqlite3_vfs* real_ = nullptr;
  static inline std::once_flag once_;
  static inline const sqlite3_io_methods* methods_ = nullptr;
  static inline sqlite3_io_methods altered_{};
};

TEST_CASE("a disk that does not flush makes the outcome unknown, and what was ok before is there", "[sqlite]") {
  Disk::use();
  const TemporaryFolder folder;
  Bus bus{{.endpoint = folder.file(), .group = "g"}};
  publish(bus, 0, 3);
  Disk::fails = true;
  const auto result = bus.publish("orders", "doubtful", {.key = "k"});
  Disk::fails = false;
  CHECK(code_of(result) == Errc::outcome_unknown);
  publish(bus, 3, 5);
  Seen seen;
  const auto subscription = bus.subscribe("orders", seen.handler());
  REQUIRE(seen.wait_for(5));
  bus.publish("orders", "end", {.key = "k"}).value();
  REQUIRE(Seen::holds_soon([&] { return seen.all().back() == "end"; }));
  auto came = seen.all();
  came.pop_back();
  std::erase(came, "doubtful");
  CHECK(came == numbers(0, 5));
}

TEST_CASE("while another process writes, a publish waits, and fails at its deadline", "[sqlite]") {
  const TemporaryFolder folder;
  Bus bus{{.endpoint = folder.file(), .group = "g"}};
  publish(bus, 0, 1);
  Raw other{folder.file()};
  REQUIRE(other.run("BEGIN IMMEDIATE") == SQLITE_OK);
  const auto start = std::chrono::steady_clock::now();
  const auto result = bus.publish("orders", "refused", {.key = "k", .timeout = 100ms});
  CHECK(std::chrono::steady_clock::now() - start >= 100ms);
  CHECK(code_of(result) == Errc::unavailable);  // not unknown: it is positively not stored
  CHECK_THAT(result.error().context, Catch::Contains("others are writing"));
  std::optional<Result<Receipt>> waited;
  std::thread waiter{[&] { waited.emplace(bus.publish("orders", "1", {.key = "k", .timeout = 20s})); }};
  CHECK(Seen::holds_soon([&] { return !bus.backend().health().ok; }));
  REQUIRE(other.run("COMMIT") == SQLITE_OK);
  waiter.join();
  CHECK(waited->has_value());
  CHECK(bus.backend().health().ok);
  Seen seen;
  const auto subscription = bus.subscribe("orders", seen.handler());
  REQUIRE(seen.wait_for(2));
  CHECK(seen.all() == numbers(0, 2));
}

TEST_CASE("a reader that holds a long transaction keeps nobody from working", "[sqlite]") {
  const TemporaryFolder folder;
  Bus bus{{.endpoint = folder.file(), .group = "g"}};
  publish(bus, 0, 1);
  Raw other{folder.file()};
  REQUIRE(other.run("BEGIN; SELECT count(*) FROM omnibus_messages") == SQLITE_OK);
  Seen seen;
  const auto subscription = bus.subscribe("orders", seen.handler());
  publish(bus, 1, 200);
  REQUIRE(seen.wait_for(200));
  CHECK(seen.all() == numbers(0, 200));
}

TEST_CASE("a consumer that cannot settle in time goes on when it can, and loses nothing", "[sqlite]") {
  const TemporaryFolder folder;
  Bus bus{{.endpoint = folder.file(), .group = "g", .lease = 10s}};
  publish(bus, 0, 10);
  std::atomic<bool> go{false};
  Seen seen;
  const auto subscription = bus.subscribe("orders", [&](const Delivery& delivery) {
    while (!go) std::this_thread::yield();
    seen.handler()(delivery);
  });
  REQUIRE(Seen::holds_soon([&] { return subscription.stats().in_flight == 10; }));
  Raw other{folder.file()};
  REQUIRE(other.run("BEGIN IMMEDIATE") == SQLITE_OK);
  go = true;
  REQUIRE(seen.wait_for(10));
  CHECK(Seen::holds_soon([&] { return !subscription.health().ok; }));
  REQUIRE(other.run("COMMIT") == SQLITE_OK);
  CHECK(Seen::holds_soon([&] { return subscription.health().ok; }));
  CHECK(bus.close(10s));
  Bus next{{.endpoint = folder.file(), .group = "g"}};
  Seen rest;
  const auto after = next.subscribe("orders", rest.handler());
  publish(next, 10, 11);
  REQUIRE(rest.wait_for(1));
  CHECK(rest.all() == numbers(10, 11));
}

TEST_CASE("a reader without a group that gives order up is refused", "[sqlite]") {
  const TemporaryFolder folder;
  Bus bus{{.endpoint = folder.file()}};
  CHECK_THROWS_AS((void)bus.subscribe("orders", [](const Delivery&) {}, {.order = relaxed}),
                  std::invalid_argument);
}

}  // namespace
