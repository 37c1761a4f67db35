// SPDX-License-Identifier: MIT
#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <omnibus/event_store/projection.hpp>
#include <omnibus/event_store/redis.hpp>
#include <omnibus/event_store/suite.hpp>

#include "catch.hpp"
#include "redis_fixture.hpp"
#include "redis_raw.hpp"
#include "tools.hpp"

// Events on a real server.

namespace {

using namespace conformance;

struct Setup {
  RedisStreamsFixture f{};
  Raw raw;
  const Restore fsync{raw, "appendfsync"};
  const std::string prefix = f.topic();
  std::chrono::milliseconds deadline = 20s;

  /// What the disk has is not the matter here, and waiting for it takes half a minute.
  Setup() { REQUIRE(raw({"CONFIG", "SET", "appendfsync", "everysec"}) == "OK"); }
  ob::RedisEventStoreOptions options() const { return {.endpoint = f.endpoint(), .prefix = prefix}; }
  std::string key(const std::string& name = "") const { return "{" + prefix + "}" + name; }
  void drop_all_keys() {
    (void)raw({"EVAL", "for _, k in ipairs(redis.call('KEYS', ARGV[1])) do redis.call('DEL', k) end", "0",
               key("*")});
  }
};

ob::Result<ob::Appended> add(ob::RedisEventStore& store, std::string_view stream, std::string_view id,
                             std::string_view payload = "p") {
  const std::string_view tags[] = {"tag"};
  const ob::NewEvent event{id, "t", payload, tags};
  return ob::append(store, stream, ob::ExpectedVersion::any(), {&event, 1});
}
/// "a b c": everything, or the error.
std::string all(ob::RedisEventStore& store, const ob::EventQuery& query = {}) {
  ob::EventPage page;
  ob::ReadRange range;
  std::string text;
  for (bool end = false; !end;) {
    const auto read = store.read_all(query, range, page);
    if (!read) return std::string{ob::to_string(read.error().code)};
    for (const ob::StoredEvent& each : page) text += (text.empty() ? "" : " ") + std::string{each.id};
    range.from = read->next;
    end = read->end;
  }
  return text;
}

TEST_CASE("the Redis event store does what a store has to") {
  Setup s;
  int made = 0;
  ob::RedisEventStoreOptions options;
  const auto again = [&] { return std::make_unique<ob::RedisEventStore>(options); };
  const auto make = [&] {
    options = s.options();
    options.prefix += "." + std::to_string(++made);
    return again();
  };
  ob::EventStoreSuite suite{make, again};
  for (const std::string& each : suite.run()) FAIL_CHECK(each);
}

TEST_CASE("a store that was emptied is noticed by who knew it, also when it is filled again") {
  Setup s;
  ob::RedisEventStore store{s.options()};
  CHECK(store.history().value().empty());
  std::string view;
  ob::Projection projection{store, {.name = "view"}, [&](const ob::StoredEvent& event) -> ob::Result<> {
                              view += event.id;
                              return {};
                            }};
  for (const char* id : {"a", "b", "c"}) REQUIRE(add(store, "s-1", id));
  const std::string history = store.history().value();
  CHECK_FALSE(history.empty());
  REQUIRE(projection.catch_up());
  s.drop_all_keys();
  const auto lost = [](const auto& result) { return !result && result.error().code == ob::Errc::position_lost; };
  CHECK(lost(add(store, "s-1", "d")));
  CHECK(s.raw({"EXISTS", s.key()}) == "0");  // it was not begun again
  ob::RedisEventStore other{s.options()};
  for (const char* id : {"a", "b", "c", "d", "e"}) REQUIRE(add(other, "s-1", id));  // it looks the same
  CHECK(other.history().value() != history);
  CHECK(lost(add(store, "s-1", "d")));
  CHECK(lost(store.history()));
  CHECK(all(store) == "position_lost");
  CHECK(store.wait_beyond(3, ob::after(std::chrono::steady_clock::now(), 20s)));  // so that who follows reads
  CHECK(lost(projection.step()));
  CHECK(lost(projection.catch_up()));
  CHECK(view == "abc");
  CHECK(all(other) == "a b c d e");
}

TEST_CASE("a store that lost its end is noticed by who knew it, also when others have gone on") {
  Setup s;
  ob::RedisEventStore store{s.options()};
  for (const char* id : {"a", "b"}) REQUIRE(add(store, "s-1", id));
  std::vector<std::string> dumps;
  const std::vector<std::string> names{"", ":events", ":ids", ":streams", ":index", ":of:s-1"};
  for (const std::string& each : names) dumps.push_back(s.raw({"DUMP", s.key(each)}));
  for (const char* id : {"c", "d"}) REQUIRE(add(store, "s-1", id));
  for (std::size_t i = 0; i < names.size(); ++i) {
    REQUIRE(s.raw({"RESTORE", s.key(names[i]), "0", dumps[i], "REPLACE"}) == "OK");
  }
  CHECK(all(store) == "position_lost");
  ob::RedisEventStore other{s.options()};
  for (const char* id : {"x", "y", "z"}) REQUIRE(add(other, "s-1", id));  // beyond what the first one knows
  const auto refused = add(store, "s-1", "e");
  REQUIRE_FALSE(refused);
  INFO(refused.error().message());
  CHECK(refused.error().code == ob::Errc::position_lost);
  CHECK(all(other) == "a b x y z");
}

TEST_CASE("a store that must be there is not made") {
  Setup s;
  ob::RedisEventStoreOptions options = s.options();
  options.create = false;
  ob::RedisEventStore store{options};
  const auto refused = add(store, "s-1", "a");
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ob::Errc::not_found);
  CHECK(all(store) == "not_found");
  ob::RedisEventStore maker{s.options()};
  REQUIRE(add(maker, "s-1", "a"));
  CHECK(add(store, "s-1", "b"));
  CHECK(all(store) == "a b");
}

TEST_CASE("keys that are dropped or of somebody else are noticed before anything is written") {
  Setup s;
  for (const std::string name : {"", ":events", ":ids", ":streams", ":index", ":of:s-1"}) {
    for (const bool dropped : {true, false}) {
      INFO(name << (dropped ? " dropped" : " of another type"));
      s.drop_all_keys();
      {
        ob::RedisEventStore store{s.options()};
        REQUIRE(add(store, "s-1", "a"));
      }
      REQUIRE(s.raw({"DEL", s.key(name)}) == "1");
      if (!dropped) REQUIRE(s.raw({"SET", s.key(name), "x"}) == "OK");
      ob::RedisEventStore store{s.options()};
      const auto refused = add(store, "s-1", "b");
      REQUIRE_FALSE(refused);
      INFO(refused.error().message());
      CHECK(refused.error().code == ob::Errc::topology_mismatch);
      ob::EventPage page;
      const auto read = store.read_stream("s-1", {}, page);
      REQUIRE_FALSE(read);
      CHECK(read.error().code == ob::Errc::topology_mismatch);
      if (dropped) CHECK(s.raw({"EXISTS", s.key(name)}) == "0");
      if (name != ":of:s-1") CHECK_FALSE(store.tombstone("s-1", ob::ExpectedVersion::any()));
      CHECK(s.raw({"EXISTS", s.key(":snapshots:s-1")}) == "0");
    }
  }
  s.drop_all_keys();
  ob::RedisEventStore store{s.options()};
  REQUIRE(add(store, "s-1", "a"));
  REQUIRE(s.raw({"HSET", s.key(), "format", "2"}) == "0");
  CHECK(all(store) == "topology_mismatch");
}

TEST_CASE("connections that are closed and scripts that are flushed cost an event store nothing") {
  Setup s;
  ob::RedisEventStore store{s.options()};
  std::string expected;
  for (int i = 0; i < 10; ++i) {
    const std::string id = std::to_string(i);
    REQUIRE(add(store, "s-1", id));
    if (i % 2 == 0) {
      (void)s.raw({"CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"});
    } else {
      CHECK(s.raw({"SCRIPT", "FLUSH"}) == "OK");
    }
    expected += (i > 0 ? " " : "") + id;
    CHECK(all(store) == expected);
  }
  CHECK(store.health().ok);
  REQUIRE(store.truncate("s-1", 5));
  CHECK(all(store, {{{.tags = {"tag"}}}}) == "4 5 6 7 8 9");
  CHECK(s.raw({"ZCARD", s.key(":index")}) == "12");
  CHECK(s.raw({"LLEN", s.key(":of:s-1")}) == "6");
}

TEST_CASE("many callers share round trips of an event store, and each gets its own answer") {
  Setup s;
  ob::RedisEventStore store{s.options()};
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 16; ++thread) {
    threads.emplace_back([&, thread] {
      const std::string stream = "s-" + std::to_string(thread);
      for (std::uint64_t i = 1; i <= 100; ++i) {
        const std::string id = stream + "/" + std::to_string(i);
        const auto made = add(store, stream, id, id);
        ob::EventPage page;
        const auto read = store.read_stream(stream, {.from = i}, page);
        const auto placed = store.locate(id);
        if (!made || !read || !placed || made->events.front().version != i || page.size() != 1 ||
            page[0].payload != id || *placed != made->events.front()) {
          ++wrong;
        }
      }
    });
  }
  for (auto& each : threads) each.join();
  CHECK(wrong == 0);
}

TEST_CASE("batches, pages and values may be large") {
  Setup s;
  ob::RedisEventStore store{s.options()};
  std::vector<std::string> ids;
  for (int i = 0; i < 10'000; ++i) ids.push_back("id-" + std::to_string(i));
  std::vector<ob::NewEvent> events;
  const std::string_view tags[] = {"x"};
  for (const std::string& each : ids) events.push_back({each, "t", each, tags});
  const auto made = ob::append(store, "s-1", ob::ExpectedVersion::none(), events);
  REQUIRE(made);
  CHECK(made->events.back() == ob::Placed{10'000, 10'000});
  const auto again = ob::append(store, "s-1", ob::ExpectedVersion::none(), events);
  REQUIRE(again);
  CHECK(again->state == ob::Appended::State::already_appended);
  CHECK(again->events == made->events);
  ob::EventPage page;
  for (const ob::Direction direction : {ob::Direction::forwards, ob::Direction::backwards}) {
    const auto read = store.read_stream("s-1", {.direction = direction, .limit = 20'000}, page);
    REQUIRE(read);
    CHECK(read->end);
    REQUIRE(page.size() == 10'000);
    CHECK(page[1].id == (direction == ob::Direction::forwards ? "id-1" : "id-9998"));
  }
  const std::string large(1 << 20, 'x');
  REQUIRE(add(store, "s-2", "large", large));
  const auto read = store.read_stream("s-2", {}, page);
  REQUIRE(read);
  CHECK((page.size() == 1 && page[0].payload == large));
  REQUIRE(store.soft_delete("s-1", ob::ExpectedVersion::any()));
  CHECK(all(store) == "large");
}

TEST_CASE("who may not, is told so, and no secret with it") {
  Setup s;
  const std::string user = "u" + s.prefix;
  const auto wrong = [&](const std::string& rights, const std::string& password, ob::Errc code) {
    (void)s.raw({"ACL", "DELUSER", user});
    std::vector<std::string> command{"ACL", "SETUSER", user, "on", ">canary", "~*", "+@all"};
    if (!rights.empty()) command.push_back(rights);
    REQUIRE(s.raw(command) == "OK");
    ob::RedisEventStoreOptions options = s.options();
    options.endpoint = "redis://" + user + ":" + password + "@" + s.f.endpoint().substr(8);
    ob::RedisEventStore store{options};
    const auto refused = add(store, "s-1", "a");
    REQUIRE_FALSE(refused);
    INFO(rights << ": " << refused.error().message());
    CHECK(refused.error().code == code);
    CHECK(refused.error().message().find("canary") == std::string::npos);
    CHECK_FALSE(store.health().ok);
  };
  wrong("", "canary-wrong", ob::Errc::access_denied);
  wrong("-eval", "canary", ob::Errc::access_denied);
  wrong("-hset", "canary", ob::Errc::access_denied);
  wrong("resetkeys", "canary", ob::Errc::access_denied);
  CHECK(s.raw({"ACL", "DELUSER", user}) == "1");
  CHECK(s.raw({"EXISTS", s.key()}) == "0");
}

TEST_CASE("an event store says what its server's word is worth") {
  Setup s;
  const Restore policy{s.raw, "maxmemory-policy"};
  const auto says = [&](std::string_view words) {
    ob::RedisEventStore store{s.options()};
    CHECK(store.health().detail.find("nothing was asked yet") != std::string::npos);
    REQUIRE(store.history());
    CHECK(store.health().ok);
    return words.empty() ? store.health().detail.empty() : store.health().detail.find(words) != std::string::npos;
  };
  CHECK(says("appendfsync is everysec"));
  REQUIRE(s.raw({"CONFIG", "SET", "appendfsync", "always"}) == "OK");
  CHECK(says(""));
  REQUIRE(s.raw({"CONFIG", "SET", "maxmemory-policy", "allkeys-lru"}) == "OK");
  CHECK(says("maxmemory-policy is allkeys-lru"));
}

}  // namespace
