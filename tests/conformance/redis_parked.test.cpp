// SPDX-License-Identifier: MIT
#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <omnibus/event_bus.hpp>
#include <omnibus/letters.hpp>
#include <omnibus/middleware/dead_letter.hpp>
#include <omnibus/parked/redis.hpp>
#include <omnibus/parked/suite.hpp>

#include "catch.hpp"
#include "redis_fixture.hpp"
#include "redis_raw.hpp"
#include "tools.hpp"

// Parked keys on a real server.

namespace {

using namespace conformance;

constexpr ob::ParkedPlace orders{"billing", "orders"};

struct Setup {
  RedisStreamsFixture f{};
  Raw raw;
  const Restore fsync{raw, "appendfsync"};
  const std::string prefix = f.topic();
  std::chrono::milliseconds deadline = 20s;

  /// What the disk has is not the matter here, and waiting for it takes half a minute.
  Setup() { REQUIRE(raw({"CONFIG", "SET", "appendfsync", "everysec"}) == "OK"); }
  ob::RedisParkedStoreOptions options() const { return {.endpoint = f.endpoint(), .prefix = prefix}; }
};

TEST_CASE("the Redis parked store does what a store has to") {
  Setup s;
  int made = 0;
  ob::ParkedStoreSuite suite{[&] {
    ob::RedisParkedStoreOptions options = s.options();
    options.prefix += "." + std::to_string(++made);
    return std::make_unique<ob::RedisParkedStore>(options);
  }};
  for (const std::string& each : suite.run()) FAIL_CHECK(each);
}

TEST_CASE("connections that are closed and scripts that are flushed cost a parked store nothing") {
  Setup s;
  ob::RedisParkedStore store{s.options()};
  for (int i = 0; i < 10; ++i) {
    const std::string id = std::to_string(i);
    if (i % 2 == 0) {
      (void)s.raw({"CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"});
    } else {
      CHECK(s.raw({"SCRIPT", "FLUSH"}) == "OK");
    }
    CHECK(store.add(orders, {"k", id, "dlq"}).has_value());
    CHECK(store.find(orders, "k", id).value().letter);
  }
  CHECK(store.health().ok);
}

TEST_CASE("many parked keys are loaded as they are") {
  Setup s;
  ob::RedisParkedStore store{s.options()};
  constexpr int many = 2000;
  for (int i = 0; i < many; ++i) REQUIRE(store.add(orders, {std::to_string(i), "1", "dlq", "pass"}));
  const auto loaded = store.load(orders, many).value();
  CHECK(loaded.size() == many);
  CHECK(std::all_of(loaded.begin(), loaded.end(), [](const ob::ParkedKey& each) {
    return each.dead_letter_topic == "dlq" && each.died_in == "pass";
  }));
  CHECK(store.load(orders, many - 1).error().code == ob::Errc::too_large);
}

TEST_CASE("a server that does not answer a parked store, or says no, is told by name, and no secret with it") {
  Setup s;
  ob::RedisParkedStoreOptions options = s.options();
  options.timeout = 200ms;
  ob::RedisParkedStore store{options};
  CHECK(store.add(orders, {"k", "1", "dlq"}));
  CHECK(s.raw({"CLIENT", "PAUSE", "1500", "ALL"}) == "OK");
  const auto silent = store.add(orders, {"k", "2", "dlq"});
  REQUIRE_FALSE(silent);
  CHECK(silent.error().code == ob::Errc::unavailable);
  CHECK(silent.error().retryable);
  CHECK_FALSE(store.health().ok);
  eventually(
      s, [&] { return store.add(orders, {"k", "2", "dlq"}).has_value(); }, "the server to answer again");
  CHECK_FALSE(store.remove(orders, "k", "1").value());

  const auto wrong = [&](const std::string& endpoint, ob::Errc code, const char* words) {
    ob::RedisParkedStoreOptions there = s.options();
    there.endpoint = endpoint;
    ob::RedisParkedStore denied{there};
    const auto refused = denied.load(orders, 1);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == code);
    CHECK(refused.error().message().find(words) != std::string::npos);
    CHECK(denied.health().detail.find(words) != std::string::npos);
    CHECK(refused.error().message().find("canary") == std::string::npos);
  };
  wrong("redis://nobody:canary@" + s.f.endpoint().substr(8), ob::Errc::access_denied, "password");
  wrong("redis://u:canary@127.0.0.1:1", ob::Errc::unavailable, "redis://127.0.0.1:1");
  CHECK(s.raw({"SET", "{" + s.prefix + ":7.6:billing/orders}", "x"}) == "OK");
  CHECK_FALSE(store.load(orders, 10));  // of somebody else
}

TEST_CASE("two buses with one parked store keep a key parked, and restore it in order") {
  Setup s;
  const auto topic = s.f.topic(), dead = s.f.topic();
  Inbox inbox;
  std::atomic<bool> sick = true;
  ob::RedisParkedStore first{s.options()}, second{s.options()};
  const auto handler = [&](const ob::Delivery& delivery) -> ob::Result<> {
    if (sick && delivery.payload() == "5") return ob::permanent("no");
    inbox.add(delivery);
    return {};
  };
  ob::EventBus<ob::RedisStreams> desk{{.endpoint = s.f.endpoint(), .group = "g", .lease = 1s}};
  const auto sent = numbered(80, 4);  // 5 is of key-1
  const auto of_key = [&] {
    std::vector<int> numbers;
    for (const Got& each : inbox.all()) {
      if (each.message.key == "key-1") numbers.push_back(std::stoi(each.message.payload));
    }
    return numbers;
  };
  const auto parked_so_far = [&](const char* payload) {
    return first.find({"g", topic}, "key-1", payload).value().letter;
  };
  const auto publish = [&](int from, int to) {
    for (int i = from; i < to; ++i) {
      ob::Message each = sent[static_cast<std::size_t>(i)];
      each.id = each.payload;
      desk.publish(topic, each).value();
    }
  };
  {
    ob::EventBus<ob::RedisStreams> one{{.endpoint = s.f.endpoint(), .group = "g", .lease = 1s}};
    const auto member = one.subscribe(topic, handler | ob::dead_letter(dead),
                                      {.concurrency = 2, .order = ob::parked, .parked_in = first});
    publish(0, 40);
    eventually(
        s, [&] { return parked_so_far("37"); }, "the key to be parked");
  }
  ob::EventBus<ob::RedisStreams> two{{.endpoint = s.f.endpoint(), .group = "g", .lease = 1s}};
  const auto member = two.subscribe(topic, handler | ob::dead_letter(dead),
                                    {.concurrency = 2, .order = ob::parked, .parked_in = second});
  publish(40, 60);
  eventually(
      s, [&] { return parked_so_far("57"); }, "the key to be parked by another member");
  drained(s, member);
  CHECK(of_key() == std::vector<int>{1});
  sick = false;
  CHECK(ob::DeadLetters{desk, dead, second}.redrive_all().ending.has_value());
  publish(60, 80);
  eventually(
      s, [&] { return of_key().size() >= 20; }, "the key to be restored");
  const auto came = of_key();
  CHECK(std::is_sorted(came.begin(), came.end()));
  CHECK(first.load({"g", topic}, 10).value().empty());
}

}  // namespace
