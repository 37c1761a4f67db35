// SPDX-License-Identifier: MIT
#include <atomic>
#include <filesystem>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <omnibus/event_store/projection.hpp>
#include <omnibus/event_store/redis.hpp>

#include "catch.hpp"
#include "chaos.hpp"

// A server of events is killed, loses what it had, or has no memory left.

namespace {

using namespace chaos;

ob::RedisEventStoreOptions options_of(Case& f) {
  return {.endpoint = RedisStreamsFixture::endpoint(), .prefix = f.topic()};
}
ob::Result<ob::Appended> add(ob::RedisEventStore& store, std::string_view stream, std::string_view id) {
  const ob::NewEvent event{id, "t", id};
  return ob::append(store, stream, ob::ExpectedVersion::any(), {&event, 1});
}
bool is_lost(const auto& result) { return !result && result.error().code == ob::Errc::position_lost; }

/// Where the server keeps its data.
std::filesystem::path server_folder() { return redis_cli("config get dir").substr(sizeof "dir"); }

/// The server flushes what it has taken before it answers, until the case ends.
struct Flushed {
  AtEnd back{"exec redis redis-cli config set appendfsync " +
             redis_cli("config get appendfsync").substr(sizeof "appendfsync")};
  Flushed() { redis_sets("config set appendfsync always"); }
};

/// A view that is kept up with a store: the ids of all events.
struct View {
  explicit View(ob::RedisEventStore& store) : projection{store, {.name = "view"}, Apply{&ids}} {}
  struct Apply {
    std::vector<std::string>* ids;
    ob::Result<> operator()(const ob::StoredEvent& event) const {
      ids->emplace_back(event.id);
      return {};
    }
  };
  std::vector<std::string> ids;
  ob::Projection<ob::RedisEventStore, Apply> projection;
};

TEST_CASE("a server killed under load keeps every append that was answered, once, and a view misses none") {
  Case f{"events killed"};
  const auto options = options_of(f);
  const Flushed flushed;
  ob::RedisEventStore store{options};
  std::mutex mutex;
  std::map<std::string, ob::Placed> answered;
  std::atomic<bool> done{false};
  std::atomic<std::size_t> count{0}, in_doubt{0};
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      const std::string stream = "s-" + std::to_string(thread);
      for (std::size_t i = 0; !done; ++i) {
        const std::string id = stream + "/" + std::to_string(i);
        ob::Result<ob::Appended> made = add(store, stream, id);
        while (!made) {  // nobody knows: the same again
          in_doubt += made.error().code == ob::Errc::outcome_unknown ? 1 : 0;
          if (!made.error().retryable) violated("append: ", made.error().message());
          std::this_thread::yield();
          made = add(store, stream, id);
        }
        const std::lock_guard lock{mutex};
        answered[id] = made->events.front();
        ++count;
      }
    });
  }
  ob::RedisEventStore reader{options};
  View view{reader};
  for (int kill = 0; kill < 3; ++kill) {
    const std::size_t before = count;
    eventually(
        f, [&] { return count >= before + 500; }, "appends to go on");
    (void)view.projection.catch_up();
    AtEnd running{"start redis"};
    ctl("kill redis");
    running.run();
    redis_sets("config set appendfsync always");
  }
  const std::size_t before = count;
  eventually(
      f, [&] { return count >= before + 500; }, "appends to go on");
  done = true;
  for (auto& each : threads) each.join();
  figure("events: ", count.load(), " appends answered around 3 kills, ", in_doubt.load(), " in doubt");
  ob::RedisEventStore after{options};
  std::map<std::string, ob::Placed> there;
  std::vector<std::string> order;
  ob::EventPage page;
  ob::ReadRange range{.from = 1};
  for (bool end = false; !end;) {
    const auto read = after.read_all({}, range, page);
    REQUIRE(read);
    for (const ob::StoredEvent& each : page) {
      if (each.position != order.size() + 1) violated("a gap before position ", each.position);
      order.emplace_back(each.id);
      there[order.back()] = {each.version, each.position};
    }
    range.from = read->next;
    end = read->end;
  }
  CHECK(order.size() == there.size());
  CHECK(there == answered);  // each append went on until it was answered
  eventually(
      f, [&] { return view.projection.catch_up().has_value(); }, "the view to catch up");
  const std::set<std::string> seen(view.ids.begin(), view.ids.end());
  CHECK(seen.size() == order.size());
}

TEST_CASE("a server restarted without its data is noticed by a store and its followers") {
  Case f{"events gone"};
  const auto options = options_of(f);
  ob::RedisEventStore store{options};
  View view{store};
  for (int i = 0; i < 20; ++i) REQUIRE(add(store, "s-1", "a" + std::to_string(i)));
  REQUIRE(view.projection.catch_up());
  const auto folder = server_folder();
  AtEnd running{"start redis"};
  ctl("kill redis");
  REQUIRE(std::filesystem::remove_all(folder / "appendonlydir") > 0);
  running.run();
  auto must_exist = options;
  must_exist.create = false;
  ob::RedisEventStore careful{must_exist};
  const auto refused = add(careful, "s-1", "b");
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ob::Errc::not_found);
  CHECK(is_lost(add(store, "s-1", "b")));
  CHECK_FALSE(store.health().ok);
  CHECK(is_lost(view.projection.step()));
  ob::RedisEventStore other{options};  // who does not know begins a new one
  for (int i = 0; i < 40; ++i) REQUIRE(add(other, "s-1", "c" + std::to_string(i)));
  const auto append = add(store, "s-1", "b");
  CHECK(is_lost(append));
  figure("events gone: ", append.error().message());
  CHECK(is_lost(view.projection.step()));
  CHECK(view.ids.size() == 20);
  View anew{other};
  REQUIRE(anew.projection.catch_up());
  CHECK(anew.ids.size() == 40);
}

TEST_CASE("a server restarted with older data is noticed by a store and its followers") {
  Case f{"events older"};
  const Flushed flushed;
  const auto options = options_of(f);
  ob::RedisEventStore store{options};
  View view{store};
  for (int i = 0; i < 10; ++i) REQUIRE(add(store, "s-1", "a" + std::to_string(i)));
  const auto data = server_folder() / "appendonlydir";
  const auto copy = server_folder() / "older";
  std::filesystem::copy(data, copy, std::filesystem::copy_options::recursive);
  for (int i = 10; i < 20; ++i) REQUIRE(add(store, "s-1", "a" + std::to_string(i)));
  REQUIRE(view.projection.catch_up());
  AtEnd running{"start redis"};
  ctl("kill redis");
  std::filesystem::remove_all(data);
  std::filesystem::rename(copy, data);
  running.run();
  ob::RedisEventStore other{options};
  for (int i = 0; i < 15; ++i) REQUIRE(add(other, "s-1", "b" + std::to_string(i)));  // beyond what was known
  const auto append = add(store, "s-1", "c");
  CHECK(is_lost(append));
  figure("events older: ", append.error().message());
  CHECK(is_lost(view.projection.step()));
  CHECK(view.ids.size() == 20);
  View anew{other};
  REQUIRE(anew.projection.catch_up());
  CHECK(anew.ids.size() == 25);
}

TEST_CASE("a replica, which may be behind, is not used") {
  Case f{"events replica"};
  ob::RedisEventStore store{options_of(f)};
  REQUIRE(add(store, "s-1", "a"));
  AtEnd master{"exec redis redis-cli replicaof no one"};
  redis_sets("replicaof 127.0.0.1 " + std::to_string(free_port()));
  for (int i = 0; i < 2; ++i) {
    const auto refused = add(store, "s-1", "b");
    REQUIRE_FALSE(refused);
    INFO(refused.error().message());
    CHECK(refused.error().code == ob::Errc::rejected);
    CHECK(refused.error().retryable);
    CHECK(mentions(refused.error().message(), "replica"));
  }
  const auto read = store.history();  // on a new connection
  REQUIRE_FALSE(read);
  CHECK(read.error().code == ob::Errc::rejected);
  master.run();
  eventually(
      f, [&] { return add(store, "s-1", "b").has_value(); }, "the server to take appends again");
}

TEST_CASE("a full server refuses appends whole, reads on, and erases") {
  Case f{"events full"};
  ob::RedisEventStore store{options_of(f)};
  for (int i = 0; i < 10; ++i) REQUIRE(add(store, "s-1", "a" + std::to_string(i)));
  AtEnd room{"exec redis redis-cli config set maxmemory 0"};
  redis_sets("config set maxmemory 1000");
  const auto refused = add(store, "s-2", "b");
  REQUIRE_FALSE(refused);
  INFO(refused.error().message());
  CHECK(refused.error().code == ob::Errc::rejected);
  CHECK(refused.error().retryable);
  CHECK(mentions(refused.error().message(), "maxmemory"));
  ob::EventPage page;
  const auto read = store.read_stream("s-1", {}, page);
  REQUIRE(read);
  CHECK(page.size() == 10);
  CHECK(store.truncate("s-1", 6));
  CHECK(store.tombstone("s-3", ob::ExpectedVersion::any()));
  room.run();
  REQUIRE(add(store, "s-2", "b"));
  const auto all = store.read_all({}, {}, page);
  REQUIRE(all);
  CHECK(all->head == 11);
  CHECK(page.size() == 6);
}

}  // namespace
