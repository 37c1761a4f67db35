// SPDX-License-Identifier: MIT
#include <omnibus/event_store/sqlite.hpp>

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <omnibus/event_store/aggregate.hpp>
#include <omnibus/event_store/projection.hpp>
#include <omnibus/event_store/served_view.hpp>
#include <omnibus/event_store/suite.hpp>
#include <omnibus/parked/sqlite.hpp>

#include "catch.hpp"
#include "unit/sqlite_tools.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;

namespace tally {

struct Added {
  std::string what;
};
/// What was added, in one text, which is also its snapshot.
struct Tally {
  using Events = EventTypes<Added>;
  std::string all;
};
void evolve(Tally& tally, const Added& event) { tally.all += event.what; }
auto adding(std::string_view what) {
  return [what](const Tally&) { return Added{std::string{what}}; };
}

}  // namespace tally

template <>
struct omnibus::Codec<tally::Added> {
  static constexpr std::string_view type = "added";
  static std::string_view view(const tally::Added& event) { return event.what; }
  static Result<tally::Added> decode(std::string_view bytes) { return tally::Added{std::string{bytes}}; }
};
template <>
struct omnibus::Codec<tally::Tally> {
  static constexpr std::string_view type = "tally.v1";
  static std::string_view view(const tally::Tally& tally) { return tally.all; }
  static Result<tally::Tally> decode(std::string_view bytes) { return tally::Tally{std::string{bytes}}; }
};

namespace {

constexpr auto any = ExpectedVersion::any();

Result<Appended> add(SqliteEventStore& store, std::string_view stream, const NewEvent& event) {
  return append(store, stream, any, {&event, 1});
}
/// The ids of everything that is there, or the error.
std::string all(SqliteEventStore& store, const EventQuery& query = {}) {
  EventPage page;
  const Result<StoreRead> read = store.read_all(query, {}, page);
  if (!read) return read.error().message();
  std::string ids;
  for (const StoredEvent& each : page) ids += (ids.empty() ? "" : " ") + std::string{each.id};
  return ids;
}

/// Whoever writes or reads is told so, with the file's name.
void expect_refused(const std::string& path, Errc code, std::string_view why, bool reads = false) {
  SqliteEventStore store{{.path = path, .busy_timeout = 10ms}};
  EventPage page;
  const auto written = add(store, "s-1", {"new", "t", "p"});
  const auto read = store.read_all({}, {}, page);
  REQUIRE_FALSE(written);
  INFO(written.error().message());
  CHECK(written.error().code == code);
  CHECK(written.error().operation.find(path) != std::string::npos);
  CHECK(written.error().context.find(why) != std::string::npos);
  CHECK(read.has_value() == reads);
  if (!read) CHECK(read.error().code == code);
}

}  // namespace

TEST_CASE("sqlite events: the store passes the suite of event stores") {
  const TemporaryFolder folder;
  int files = 0;
  const auto open = [&] {
    return std::make_unique<SqliteEventStore>(SqliteEventStoreOptions{
        .path = folder.file(std::to_string(files)), .durability = Durability::process_crash, .busy_timeout = 20s});
  };
  EventStoreSuite suite{[&] { return ++files, open(); }, open};
  CHECK(suite.run(30, 30) == std::vector<std::string>{});
}

TEST_CASE("sqlite events: what is answered is on the disk, unless another durability was asked for") {
  const TemporaryFolder folder;
  CHECK(SqliteEventStoreOptions{}.durability == Durability::power_loss);
  for (const auto& [durability, expected] : {std::pair{Durability::power_loss, 2}, {Durability::process_crash, 1}}) {
    event_store::sqlite::Connection connection;
    REQUIRE(connection.open({.path = folder.file(), .durability = durability}));
    detail::sqlite::Statement look;
    REQUIRE(look.prepare(connection.database, "PRAGMA synchronous") == SQLITE_OK);
    REQUIRE(look.step() == SQLITE_ROW);
    CHECK(look.number(0) == expected);
  }
}

TEST_CASE("sqlite events: the time of an event is its own or the store's, in microseconds") {
  const TemporaryFolder folder;
  VirtualClock clock{Time{100s + 1'500ns}};
  SqliteEventStore store{{.path = folder.file(), .clock = &clock}};
  (void)add(store, "s-1", {"a", "t", "p"});
  clock.advance(1s);
  (void)add(store, "s-1", {"b", "t", "p"});
  (void)add(store, "s-1", {"c", "t", "p", {}, {}, Time{5s + 999ns}});
  (void)add(store, "s-1", {"d", "t", "p", {}, {}, Time{-1ns}});
  EventPage page;
  REQUIRE(store.read_stream("s-1", {}, page));
  REQUIRE(page.size() == 4);
  CHECK(page[0].time == Time{100s + 1us});
  CHECK(page[1].time == Time{101s + 1us});
  CHECK(page[2].time == Time{5s});
  CHECK(page[3].time == Time{-1us});
}

TEST_CASE("sqlite events: a query finds by tags what a scan finds, in both directions and by pages") {
  const TemporaryFolder folder;
  SqliteEventStore store{{.path = folder.file(), .durability = Durability::process_crash}};
  std::uint64_t random = 7;
  const auto below = [&random](std::uint64_t limit) { return (random = detail::mix64(random)) % limit; };
  const std::string_view names[] = {"a", "b", "c"}, types[] = {"x", "y"}, categories[] = {"s-1", "t-1"};
  std::vector<std::string> ids;
  for (int i = 0; i < 300; ++i) ids.push_back(std::to_string(i));
  for (const std::string& id : ids) {
    std::vector<std::string_view> tags;
    for (std::size_t i = 0; i < 3; ++i) {
      if (below(3 + i) == 0) tags.push_back(names[i]);
    }
    REQUIRE(add(store, categories[below(2)], {id, types[below(2)], "p", tags}));
  }
  (void)store.truncate("s-1", 20);
  EventPage everything, page;
  REQUIRE(store.read_all({}, {}, everything));
  for (int i = 0; i < 200; ++i) {
    EventQuery query;
    for (std::uint64_t left = 1 + below(3); left > 0; --left) {
      EventFilter& filter = query.any_of.emplace_back();
      for (std::uint64_t tags = 1 + below(2); tags > 0; --tags) filter.tags.emplace_back(names[below(3)]);
      if (below(2) == 0) filter.types.emplace_back(types[below(2)]);
    }
    const bool of_category = below(2) == 0;
    const ReadRange asked{.from = 1 + below(310),
                          .direction = below(2) == 0 ? Direction::forwards : Direction::backwards,
                          .limit = 1 + below(20)};
    std::string expected, found;
    for (const StoredEvent& each : everything) {
      const bool inside = asked.direction == Direction::forwards ? each.position >= *asked.from
                                                                 : each.position <= *asked.from;
      if (!inside || !matches(query, each.type, each.tags)) continue;
      if (of_category && category_of(each.stream) != "s") continue;
      expected = asked.direction == Direction::forwards ? expected + " " + std::string{each.id}
                                                        : " " + std::string{each.id} + expected;
    }
    ReadRange range = asked;
    for (bool end = false; !end;) {
      const auto read = of_category ? store.read_category("s", query, range, page) : store.read_all(query, range, page);
      REQUIRE(read);
      for (const StoredEvent& each : page) found += " " + std::string{each.id};
      end = read->end;
      range.from = read->next;
    }
    INFO("query " << i);
    REQUIRE(found == expected);
  }
}

TEST_CASE("sqlite events: a read of few among many comes in parts, so that the log need not wait for it") {
  const TemporaryFolder folder;
  SqliteEventStore store{{.path = folder.file(), .durability = Durability::process_crash}};
  constexpr std::size_t batch = 10'000, batches = 7;
  for (std::size_t i = 0; i < batches; ++i) {
    std::vector<std::string> ids;
    for (std::size_t j = 0; j < batch; ++j) ids.push_back(std::to_string(i * batch + j));
    const std::string_view often[] = {"often", i == 0 ? "begin" : "later"};
    std::vector<NewEvent> events;
    for (const std::string& id : ids) events.push_back({id, "often", "", often});
    REQUIRE(append(store, "s-1", any, events));
  }
  const std::string_view tags[] = {"often", "begin", "seldom"};
  REQUIRE(add(store, "s-1", {"x", "seldom", "", tags}));
  for (const Direction direction : {Direction::forwards, Direction::backwards}) {
    const auto reads = [&](const EventQuery& query) {
      EventPage page;
      ReadRange range{.direction = direction};
      int count = 0;
      std::size_t found = 0;
      for (bool end = false; !end && count < 100; ++count) {
        const StoreRead read = store.read_all(query, range, page).value();
        found += page.size();
        range.from = read.next;
        end = read.end;
      }
      CHECK(found == 1);
      return count;
    };
    CHECK(reads({{{.types = {"seldom"}}}}) == 2);
    CHECK(reads({{{.types = {"seldom"}, .tags = {"often"}}}}) > 1);
    CHECK(reads({{{.tags = {"often", "seldom"}}}}) == 1);  // the rare one decides
    CHECK(reads({{{.tags = {"often", "begin", "later", "seldom"}}, {.tags = {"seldom"}}}}) == 1);
  }
}

TEST_CASE("sqlite events: what is erased is nowhere in the tables, and positions, versions and ids stay") {
  const TemporaryFolder folder;
  {
    SqliteEventStore store{{.path = folder.file()}};
    const std::string_view tags[] = {"user:ann"};
    const std::string secret = "secret" + std::string(20'000, 's');
    (void)add(store, "s-1", {"a", "t", secret, tags});
    (void)add(store, "s-1", {"b", "t", "secret", tags});
    (void)add(store, "s-2", {"c", "t", "p", tags});
    CHECK(store.save_snapshot("s-1", "v1", {2, secret}).value());
    CHECK(store.soft_delete("s-1", any));
    CHECK(all(store) == "c");
    CHECK(all(store, {{{.tags = {"user:ann"}}}}) == "c");
    CHECK(store.locate("b").value()->position == 2);
  }
  // Closed, the file has no log.
  Raw raw{folder.file()};
  CHECK(raw.number("SELECT count(*) FROM omnibus_event_tags") == 1);
  CHECK(raw.number("SELECT count(*) FROM omnibus_snapshots") == 0);
  CHECK(raw.number("SELECT count(*) FROM omnibus_events") == 3);
  CHECK(bytes_of(folder.file()).find("secret") == std::string::npos);
}

TEST_CASE("sqlite events: positions have no gaps, whatever was refused in between") {
  const TemporaryFolder folder;
  SqliteEventStore store{{.path = folder.file(), .durability = Durability::process_crash, .busy_timeout = 20s}};
  SqliteEventStore other{{.path = folder.file(), .durability = Durability::process_crash, .busy_timeout = 20s}};
  std::atomic<int> stored{0}, conflicts{0};
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 6; ++thread) {
    threads.emplace_back([&, thread, &mine = thread % 2 == 0 ? store : other] {
      for (int i = 0; i < 50; ++i) {
        const std::string id = std::to_string(thread) + "-" + std::to_string(i);
        const NewEvent event{id, "t", "p"};
        const auto done = append(mine, "s-" + std::to_string(i), ExpectedVersion::none(), {&event, 1});
        stored += done ? 1 : 0;
        conflicts += !done && done.error().code == Errc::conflict ? 1 : 0;
      }
    });
  }
  for (auto& each : threads) each.join();
  CHECK(stored == 50);
  CHECK(conflicts == 250);
  Raw raw{folder.file()};
  CHECK(raw.number("SELECT count(*) FROM omnibus_events") == 50);
  CHECK(raw.number("SELECT max(position) FROM omnibus_events") == 50);
}

TEST_CASE("sqlite events: a follower sees at once what its store appends, and soon what another process does") {
  const TemporaryFolder folder;
  SqliteEventStore store{{.path = folder.file(), .look_every = 1h}};
  SqliteEventStore other{{.path = folder.file(), .look_every = 1ms}};
  const Instant until = std::chrono::steady_clock::now() + patience;
  CHECK_FALSE(store.wait_beyond(0, std::chrono::steady_clock::now()));
  for (SqliteEventStore* each : {&store, &other}) {
    const std::uint64_t before = each == &store ? 0 : 1;
    std::thread late{[&] { (void)add(store, "s-1", {std::to_string(before), "t", "p"}); }};
    CHECK(each->wait_beyond(before, until));
    late.join();
  }
  CHECK(std::chrono::steady_clock::now() < until);
}

TEST_CASE("sqlite events: a file that cannot be used is refused with its name and why, and nothing is done") {
  const TemporaryFolder folder;
  expect_refused(folder.file("no folder/test.db"), Errc::unavailable, "unable to open");
  std::ofstream{folder.file("text")} << std::string(5000, 'x');
  expect_refused(folder.file("text"), Errc::topology_mismatch, "not a database");
  {
    SqliteEventStore store{{.path = folder.file("newer")}};
    (void)add(store, "s-1", {"a", "t", "p"});
  }
  REQUIRE(Raw{folder.file("newer")}.run("UPDATE omnibus_meta SET value = 2 WHERE name = 'events.version'") ==
          SQLITE_OK);
  expect_refused(folder.file("newer"), Errc::topology_mismatch, "version 2");
  REQUIRE(Raw{folder.file("others")}.run("CREATE TABLE omnibus_meta(a, b)") == SQLITE_OK);
  expect_refused(folder.file("others"), Errc::topology_mismatch, "version");
  CHECK(Raw{folder.file("others")}.number("SELECT count(*) FROM sqlite_schema") == 1);
  expect_refused(":memory:", Errc::unsupported, "write-ahead log");
  if (::geteuid() != 0) {  // root may write everything
    {
      SqliteEventStore store{{.path = folder.file("read only")}};
      (void)add(store, "s-1", {"a", "t", "p"});
    }
    REQUIRE(::chmod(folder.file("read only").c_str(), 0400) == 0);
    expect_refused(folder.file("read only"), Errc::access_denied, "readonly", true);
  }
}

TEST_CASE("sqlite events: a damaged file is refused or read rightly, never silently shorter") {
  const TemporaryFolder folder;
  constexpr int events = 200;
  {
    SqliteEventStore store{{.path = folder.file(), .durability = Durability::process_crash}};
    for (int i = 0; i < events; ++i) {
      const std::string id = std::to_string(i), tag = "k:" + std::to_string(i % 10);
      const std::string_view tags[] = {tag};
      const Headers metadata{{"trace", id}};
      REQUIRE(add(store, "s-" + std::to_string(i % 7), {id, "t", std::string(300, 'x'), tags, metadata}));
    }
  }
  const std::string whole = bytes_of(folder.file());
  std::uint64_t random = seed_from_environment();
  INFO("OMNIBUS_SEED=" << random);
  const auto below = [&random](std::uint64_t limit) { return (random = detail::mix64(random)) % limit; };
  int refused = 0;
  for (int i = 0; i < 60; ++i) {
    std::string bytes = whole;
    const std::size_t length = 1 + below(6000), at = 200 + below(bytes.size() - length - 200);
    for (std::size_t j = at; j < at + length; ++j) bytes[j] = static_cast<char>(below(256));
    const std::string path = folder.file("damaged");
    std::ofstream{path, std::ios::binary} << bytes;
    {
      SqliteEventStore store{{.path = path, .durability = Durability::process_crash, .busy_timeout = 10ms}};
      EventPage page;
      const auto read = store.read_all({}, {}, page);
      CHECK((!read || page.size() == events));
      for (int stream = 0; stream < 7; ++stream) {
        const auto one = store.read_stream("s-" + std::to_string(stream), {}, page);
        if (one) CHECK((page.size() == one->stream.version || one->stream.kind == StreamState::Kind::missing));
        refused += one ? 0 : 1;
      }
      (void)store.read_category("s", {{{.tags = {"k:3"}}}}, {}, page);
      (void)store.append_if({}, {{{{.tags = {"k:3"}}}}, 5});
      (void)add(store, "s-1", {"new", "t", "p"});
      (void)store.truncate("s-2", 10);
      (void)store.tombstone("s-3", any);
    }
    for (const char* end : {"", "-wal", "-shm"}) std::filesystem::remove(path + end);
  }
  CHECK(refused > 0);
}

TEST_CASE("sqlite events: while another process writes for too long the store is unavailable, and goes on afterwards") {
  const TemporaryFolder folder;
  SqliteEventStore store{{.path = folder.file(), .busy_timeout = 10ms}};
  REQUIRE(add(store, "s-1", {"a", "t", "p"}));
  Raw raw{folder.file()};
  REQUIRE(raw.run("BEGIN IMMEDIATE") == SQLITE_OK);
  const auto refused = add(store, "s-1", {"b", "t", "p"});
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Errc::unavailable);
  CHECK(refused.error().retryable);
  CHECK_FALSE(store.truncate("s-1", 2));
  CHECK_FALSE(store.save_snapshot("s-1", "v1", {1, "x"}));
  CHECK(all(store) == "a");  // a writer is in no reader's way
  REQUIRE(raw.run("ROLLBACK") == SQLITE_OK);
  CHECK(add(store, "s-1", {"b", "t", "p"}));
  CHECK(all(store) == "a b");
}

TEST_CASE("sqlite events: of those who write all the time each gets its turn") {
  const TemporaryFolder folder;
  std::atomic<int> counts[2]{0, 0}, least{0};
  std::vector<std::thread> threads;
  for (std::size_t thread = 0; thread < 2; ++thread) {
    threads.emplace_back([&, thread] {
      SqliteEventStore store{
          {.path = folder.file(), .durability = Durability::process_crash, .busy_timeout = patience}};
      const auto append_one = [&](int number) {
        const std::string id = std::to_string(thread) + "-" + std::to_string(number);
        return add(store, "s-" + std::to_string(thread), {id, "t", "p"}).has_value();
      };
      if (!append_one(0)) return;
      ++counts[thread];
      if (!eventually([&] { return counts[1 - thread] > 0; })) return;
      for (int i = 1; i < 2000 && append_one(i); ++i) ++counts[thread];
      if (counts[thread] == 2000 && least == 0) least = counts[1 - thread].load();
    });
  }
  for (auto& each : threads) each.join();
  CHECK(counts[0] == 2000);
  CHECK(counts[1] == 2000);
  CHECK(least > 50);
}

TEST_CASE("sqlite events: a full store takes no event, loses none, and goes on when streams were truncated") {
  const TemporaryFolder folder;
  SqliteEventStore store{{.path = folder.file(), .max_bytes = 400'000}};
  const std::string payload(20'000, 'x');
  std::string ids;
  Result<Appended> last{Appended{}};
  std::uint64_t stored = 0;
  for (; last && stored < 100; ++stored) {
    const std::string id = std::to_string(stored);
    last = add(store, "s-1", {id, "t", payload});
    if (last) ids += (stored == 0 ? "" : " ") + id;
  }
  REQUIRE_FALSE(last);
  CHECK(last.error().code == Errc::unavailable);
  CHECK(last.error().retryable);
  CHECK(last.error().context.find("full") != std::string::npos);
  --stored;
  CHECK(stored > 5);
  CHECK(all(store) == ids);
  CHECK(add(store, "s-1", {"0", "t", payload})->state == Appended::State::already_appended);
  CHECK(store.truncate("s-1", stored));
  CHECK(add(store, "s-1", {std::to_string(stored), "t", payload})->events[0] == Placed{stored + 1, stored + 1});
  CHECK(Raw{folder.file()}.number("SELECT count(*) FROM pragma_quick_check WHERE quick_check = 'ok'") == 1);
  CHECK(std::filesystem::file_size(folder.file()) <= 400'000 + 4096);
}

TEST_CASE("sqlite events: one who reads for very long holds up nobody, and shows in the size of the log") {
  const TemporaryFolder folder;
  SqliteEventStore store{{.path = folder.file(), .durability = Durability::process_crash, .busy_timeout = 20s}};
  const std::string payload(900'000, 'x');
  REQUIRE(add(store, "s-1", {"first", "t", payload}));
  Raw raw{folder.file()};
  REQUIRE(raw.run("BEGIN; SELECT count(*) FROM omnibus_events") == SQLITE_OK);
  int number = 0;
  const auto append_some = [&] {
    for (int i = 0; i < 120; ++i) REQUIRE(add(store, "s-1", {std::to_string(number++), "t", payload}));
  };
  append_some();
  CHECK(store.log_bytes() > 100'000'000);
  CHECK(raw.number("SELECT count(*) FROM omnibus_events") == 1);  // it still sees its moment
  REQUIRE(raw.run("COMMIT") == SQLITE_OK);
  append_some();
  CHECK(store.log_bytes() < 40'000'000);
  CHECK(std::filesystem::file_size(folder.file("test.db-wal")) < 80'000'000);
  CHECK(store.locate("239").value()->position == 241);
}

TEST_CASE("sqlite events: the log is moved into the file in time, also while others read all the time") {
  const TemporaryFolder folder;
  SqliteEventStore store{{.path = folder.file(), .durability = Durability::process_crash, .busy_timeout = 20s}};
  const std::string payload(500'000, 'x');
  std::atomic<bool> over{false};
  std::thread reader{[&] {
    EventPage page;
    while (!over) (void)store.read_all({}, {.limit = 1}, page);
  }};
  Result<Appended> added = Appended{};
  for (int i = 0; added && i < 300; ++i) added = add(store, "s-1", {std::to_string(i), "t", payload});
  CHECK((added ? "" : added.error().message()) == "");
  over = true;
  reader.join();
  CHECK(store.log_bytes() < 120'000'000);
}

TEST_CASE("sqlite events: what a projection writes is written with its checkpoint, or not at all") {
  const TemporaryFolder folder;
  SqliteEventStore store{{.path = folder.file()}};
  for (const char* id : {"a", "b", "c", "d"}) REQUIRE(add(store, "s-1", {id, "t", "p"}));
  Raw raw{folder.file()};
  REQUIRE(raw.run("CREATE TABLE view(id TEXT)") == SQLITE_OK);
  std::string fails_at = "c";
  int calls = 0;
  const auto apply = [&](const StoredEvent& event, sqlite3* database) -> Result<> {
    ++calls;
    const std::string sql = "INSERT INTO view VALUES('" + std::string{event.id} + "')";
    if (sqlite3_exec(database, sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) {
      return retryable(sqlite3_errmsg(database));
    }
    if (event.id == fails_at) return permanent("no such product");
    return {};
  };
  Projection projection{store, {.name = "view"}, apply};
  const Result<> failed = projection.catch_up();
  REQUIRE_FALSE(failed);
  CHECK(failed.error().context.find("no such product, at event c of stream s-1, version 3, position 3") != std::string::npos);
  CHECK(raw.number("SELECT count(*) FROM view") == 2);
  CHECK(store.load_checkpoint("view").value() == Checkpoint{2, "b"});
  CHECK_FALSE(projection.catch_up());
  CHECK(raw.number("SELECT count(*) FROM view") == 2);
  fails_at.clear();

  REQUIRE(raw.run("BEGIN IMMEDIATE") == SQLITE_OK);
  SqliteEventStore hasty{{.path = folder.file(), .busy_timeout = 10ms}};
  calls = 0;
  CHECK(Projection{hasty, {.name = "view"}, apply}.catch_up().error().code == Errc::unavailable);
  CHECK(calls == 0);
  REQUIRE(raw.run("ROLLBACK") == SQLITE_OK);

  CHECK(projection.catch_up());
  CHECK(raw.number("SELECT count(DISTINCT id) FROM view") == 4);
  CHECK(raw.number("SELECT count(*) FROM view") == 4);
  // Another one of this name has gone on meanwhile: nothing is written.
  Projection one{store, {.name = "two", .page = 2}, apply}, other{store, {.name = "two", .page = 2}, apply};
  REQUIRE(one.step());
  REQUIRE(other.step());
  CHECK(one.step().error().code == Errc::conflict);
  REQUIRE(add(store, "s-1", {"e", "t", "p"}));
  REQUIRE(other.catch_up());
  CHECK(raw.number("SELECT count(*) FROM view") == 9);
}

TEST_CASE("sqlite events: aggregates of two processes lose nothing, and know a command that came to the other one") {
  const TemporaryFolder folder;
  using tally::adding, tally::Tally;
  const auto count = [&](std::string_view what, int& failed) {
    SqliteEventStore store{{.path = folder.file(), .durability = Durability::process_crash, .busy_timeout = 20s}};
    const Aggregate tallies{store, Tally{}, {.attempts = 1000, .snapshot_every = 7}};
    for (int i = 0; i < 30; ++i) failed += tallies.execute("tally-1", adding(what)) ? 0 : 1;
    failed += tallies.execute("tally-1", adding("!"), {.id = "last"}) ? 0 : 1;
  };
  int failed = 0, others = 0;
  std::thread other{[&] { count("b", others); }};
  count("a", failed);
  other.join();
  CHECK(failed + others == 0);

  SqliteEventStore again{{.path = folder.file()}};
  const auto loaded = Aggregate{again, Tally{}}.load("tally-1").value();
  CHECK(loaded.version == 61);
  CHECK(loaded.read < 61);  // a snapshot outlives the process
  CHECK(Aggregate{again, Tally{}, {.snapshot_every = 0}}.load("tally-1").value().state.all == loaded.state.all);
  const auto times = [&](char what) { return std::count(loaded.state.all.begin(), loaded.state.all.end(), what); };
  CHECK(times('a') == 30);
  CHECK(times('b') == 30);
  CHECK(times('!') == 1);
}

TEST_CASE("sqlite events: what a parked stream waits with is written once, whatever process goes on") {
  const TemporaryFolder folder;
  SqliteEventStore store{{.path = folder.file()}};
  for (const char* id : {"a", "b", "c", "d", "e"}) {
    REQUIRE(add(store, id == std::string_view{"c"} ? "s-2" : "s-1", {id, "t", "p"}));
  }
  Raw raw{folder.file()};
  REQUIRE(raw.run("CREATE TABLE view(id TEXT)") == SQLITE_OK);
  std::string fails_at = "b";
  const auto apply = [&](const StoredEvent& event, sqlite3* database) -> Result<> {
    const std::string sql = "INSERT INTO view VALUES('" + std::string{event.id} + "')";
    if (sqlite3_exec(database, sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) return retryable("no table");
    if (event.id == fails_at) return permanent("no such product");
    return {};
  };
  const auto with = [&](auto use) {  // as a process that begins
    SqliteParkedStore parked_in{{.path = folder.file()}};
    Projection projection{store, {.name = "view", .parked_in = &parked_in}, apply};
    use(projection);
    return raw.number("SELECT count(*) FROM view") * 10 + raw.number("SELECT count(DISTINCT id) FROM view");
  };
  CHECK(with([](auto& view) { CHECK(view.catch_up()); }) == 22);
  CHECK(with([](auto& view) { CHECK(view.parked().value() == std::vector<std::string>{"s-1"}); }) == 22);
  fails_at = "e";
  CHECK(with([](auto& view) { CHECK_FALSE(view.retry_parked("s-1")); }) == 44);
  CHECK(with([](auto& view) { CHECK_FALSE(view.retry_parked("s-1")); }) == 44);
  fails_at = "";
  CHECK(with([](auto& view) { CHECK(view.retry_parked("s-1")); }) == 55);
  CHECK(with([](auto& view) { CHECK(view.catch_up()); }) == 55);
  CHECK(with([](auto& view) { CHECK(view.parked().value().empty()); }) == 55);
}

TEST_CASE("sqlite events: a view in tables is built anew beside the one that is served") {
  const TemporaryFolder folder;
  SqliteEventStore store{{.path = folder.file()}};
  for (const char* id : {"a", "b", "c"}) REQUIRE(add(store, "s-1", {id, "t", "p"}));
  Raw raw{folder.file()};
  const auto make = [&](const std::string& name) {
    REQUIRE(raw.run("CREATE TABLE IF NOT EXISTS " + name + "(id TEXT)") == SQLITE_OK);
    return [name](const StoredEvent& event, sqlite3* database) -> Result<> {
      const std::string sql = "INSERT INTO " + name + " VALUES('" + std::string{event.id} + "')";
      if (sqlite3_exec(database, sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK) return {};
      return retryable(sqlite3_errmsg(database));
    };
  };
  ServedView view{store, {.name = "v1"}, make};
  CHECK(view.catch_up());
  CHECK(view.rebuild("v2"));
  REQUIRE(add(store, "s-1", {"d", "t", "p"}));
  CHECK(view.catch_up());
  CHECK(view.name() == "v2");
  CHECK(raw.number("SELECT count(*) FROM v1") == 3);
  CHECK(raw.number("SELECT count(*) FROM v2") == 4);
}

TEST_CASE("sqlite events: what is too large or malformed is refused by name, and options that can never work are") {
  const TemporaryFolder folder;
  SqliteEventStore store{{.path = folder.file(), .limits = {.event = {.payload = 10, .key = 8}}}};
  CHECK(add(store, "s-1", {"a", "t", "12345678901"}).error().code == Errc::too_large);
  CHECK(store.tombstone("", any).error().code == Errc::invalid_argument);
  CHECK(store.tombstone("123456789", any).error().code == Errc::too_large);
  const auto refused = [](SqliteEventStoreOptions options, std::string_view name) {
    return throws_saying<std::invalid_argument>([&] { SqliteEventStore none{options}; }, name);
  };
  CHECK(refused({.path = ""}, "path"));
  CHECK(refused({.path = std::string("a\0b", 3)}, "path"));
  CHECK(refused({.path = "events", .busy_timeout = -1s}, "busy_timeout"));
  CHECK(refused({.path = "events", .look_every = 0s}, "look_every"));
  CHECK(refused({.path = "events", .limits = {.event = {.payload = std::size_t{1} << 30}}}, "limits"));
}
