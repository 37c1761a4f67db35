// SPDX-License-Identifier: MIT
#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <omnibus/event_bus.hpp>
#include <omnibus/idempotency/redis.hpp>
#include <omnibus/idempotency/suite.hpp>
#include <omnibus/middleware/idempotent.hpp>

#include "catch.hpp"
#include "redis_fixture.hpp"
#include "redis_raw.hpp"
#include "tools.hpp"

// Idempotency keys on a real server.

namespace {

using namespace conformance;
using State = ob::Claim::State;

constexpr ob::detail::Hash128 payload{1, 2};
ob::IdempotencyKey key_of(std::string_view key) { return {"billing", "orders", key}; }

struct Setup {
  RedisStreamsFixture f{};
  Raw raw;
  const Restore fsync{raw, "appendfsync"};
  const std::string prefix = f.topic();
  std::chrono::milliseconds deadline = 20s;

  /// What the disk has is not the matter here, and waiting for it takes half a minute.
  Setup() { REQUIRE(raw({"CONFIG", "SET", "appendfsync", "everysec"}) == "OK"); }
  ob::RedisKeyStoreOptions options() const { return {.endpoint = f.endpoint(), .prefix = prefix}; }
  /// Lets time pass for all keys: what they have left to live is shortened by so much.
  void pass(ob::Duration duration) {
    const auto ms = std::chrono::ceil<std::chrono::milliseconds>(duration).count();
    (void)raw({"EVAL",
               "for _, k in ipairs(redis.call('KEYS', ARGV[1])) do local left = redis.call('PTTL', k) "
               "if left >= 0 then redis.call('PEXPIRE', k, left - ARGV[2]) end end",
               "0", "{" + prefix + "*", std::to_string(ms)});
  }
  std::string key_name(std::string_view key) const {
    return "{" + prefix + "}:7.6:billing/orders/" + std::string{key};
  }
};

TEST_CASE("the Redis key store does what a store has to, in all histories of two consumers") {
  Setup s;
  int made = 0;
  const auto make = [&] {
    ob::RedisKeyStoreOptions options = s.options();
    options.prefix += "." + std::to_string(++made);
    return std::make_unique<ob::RedisKeyStore>(options);
  };
  ob::KeyStoreSuite suite{make, [&](ob::Duration duration) { s.pass(duration); }, std::chrono::hours{1}};
  for (const std::string& each : suite.run(3)) FAIL_CHECK(each);
}

TEST_CASE("several stores share the keys of a server, which forgets them in time") {
  Setup s;
  ob::RedisKeyStoreOptions options = s.options();
  options.keep = 10s;
  ob::RedisKeyStore one{options}, two{options};
  const ob::Claim mine = one.claim(key_of("1"), payload, 1min).value();
  CHECK(mine.state == State::acquired);
  const ob::Claim theirs = two.claim(key_of("1"), payload, 1min).value();
  CHECK(theirs.state == State::in_progress);
  CHECK(theirs.lease > 50s);
  CHECK(theirs.lease <= 1min);
  CHECK(one.complete(key_of("1"), mine).has_value());
  CHECK(two.claim(key_of("1"), payload, 1min).value().state == State::completed);
  const int left = std::stoi(s.raw({"PTTL", s.key_name("1")}));
  CHECK(left > 5'000);
  CHECK(left <= 10'000);
  // And a lease that ends by the server's own clock.
  CHECK(one.claim(key_of("2"), payload, 50ms).value().state == State::acquired);
  eventually(
      s, [&] { return two.claim(key_of("2"), payload, 1min).value().state == State::acquired; },
      "the lease to end");
}

TEST_CASE("what a completion left is kept with its key, as bytes, and may be as large as the store says") {
  Setup s;
  ob::RedisKeyStoreOptions options = s.options();
  options.max_result = std::size_t{1024} * 1024;
  ob::RedisKeyStore store{options};
  std::string result(options.max_result, 'r');
  result.replace(0, 4, std::string_view{"\0\r\n$", 4});
  const ob::Claim mine = store.claim(key_of("1"), payload, 1min).value();
  CHECK(store.complete(key_of("1"), mine, result).has_value());
  CHECK((store.claim(key_of("1"), payload, 1min).value().result == result));
  CHECK(store.claim(key_of("1"), {3, 4}, 1min).value().state == State::mismatch);
  CHECK(store.health().ok);
}

TEST_CASE("many callers share round trips, and each gets its own answer") {
  Setup s;
  ob::RedisKeyStore store{s.options()};
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 16; ++thread) {
    threads.emplace_back([&, thread] {
      for (int i = 0; i < 200; ++i) {
        const std::string name = std::to_string(thread) + "-" + std::to_string(i);
        const auto mine = store.claim(key_of(name), payload, 1min);
        const bool well = mine && mine->state == State::acquired &&
                          store.claim(key_of(name), {3, 4}, 1min).value().state == State::mismatch &&
                          (i % 2 == 0 ? store.complete(key_of(name), *mine) : store.release(key_of(name), *mine));
        const State after = store.claim(key_of(name), payload, 1min).value().state;
        if (!well || after != (i % 2 == 0 ? State::completed : State::acquired)) ++wrong;
      }
    });
  }
  for (auto& each : threads) each.join();
  CHECK(wrong == 0);
}

TEST_CASE("connections that are closed and scripts that are flushed cost a key store nothing") {
  Setup s;
  ob::RedisKeyStore store{s.options()};
  for (int i = 0; i < 10; ++i) {
    const std::string name = std::to_string(i);
    const ob::Claim mine = store.claim(key_of(name), payload, 1h).value();
    REQUIRE(mine.state == State::acquired);
    if (i % 2 == 0) {
      (void)s.raw({"CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"});
    } else {
      CHECK(s.raw({"SCRIPT", "FLUSH"}) == "OK");
    }
    CHECK(store.complete(key_of(name), mine).has_value());
    CHECK(store.claim(key_of(name), payload, 1h).value().state == State::completed);
  }
  CHECK(store.health().ok);
}

TEST_CASE("a server that does not answer, or says no, is told by name, and no secret with it") {
  Setup s;
  ob::RedisKeyStoreOptions options = s.options();
  options.timeout = 200ms;
  ob::RedisKeyStore store{options};
  const ob::Claim mine = store.claim(key_of("1"), payload, 1min).value();
  CHECK(s.raw({"CLIENT", "PAUSE", "1500", "ALL"}) == "OK");
  const auto silent = store.claim(key_of("2"), payload, 3s);
  REQUIRE_FALSE(silent);
  CHECK(silent.error().code == ob::Errc::unavailable);
  CHECK(silent.error().retryable);
  CHECK_FALSE(store.health().ok);
  eventually(
      s, [&] { return store.complete(key_of("1"), mine).has_value(); }, "the server to answer again");
  eventually(
      s,
      [&] {
        const auto again = store.claim(key_of("2"), payload, 1min);
        return again && again->state == State::acquired;
      },
      "what was claimed without an answer to be free");

  const auto wrong = [&](const std::string& endpoint, ob::Errc code, const char* words) {
    ob::RedisKeyStoreOptions there = s.options();
    there.endpoint = endpoint;
    ob::RedisKeyStore denied{there};
    const auto claim = denied.claim(key_of("3"), payload, 1min);
    REQUIRE_FALSE(claim);
    CHECK(claim.error().code == code);
    CHECK(claim.error().message().find(words) != std::string::npos);
    CHECK(denied.health().detail.find(words) != std::string::npos);
    CHECK(claim.error().message().find("canary") == std::string::npos);
  };
  wrong("redis://nobody:canary@" + s.f.endpoint().substr(8), ob::Errc::access_denied, "password");
  wrong("redis://u:canary@127.0.0.1:1", ob::Errc::unavailable, "redis://127.0.0.1:1");
  CHECK(s.raw({"SET", s.key_name("4"), "x"}) == "OK");
  CHECK(store.claim(key_of("4"), payload, 1min).value().state == State::mismatch);  // of somebody else
}

TEST_CASE("two buses with one key store handle a message once, whichever of them gets it") {
  Setup s;
  const auto topic = s.f.topic();
  Inbox inbox;
  ob::RedisKeyStore first{s.options()}, second{s.options()};
  ob::EventBus<ob::RedisStreams> one{{.endpoint = s.f.endpoint(), .group = "g", .lease = 1s}};
  ob::EventBus<ob::RedisStreams> two{{.endpoint = s.f.endpoint(), .group = "g", .lease = 1s}};
  const auto subscription = one.subscribe(topic, inbox.handler() | ob::idempotent(first));
  const auto another = two.subscribe(topic, inbox.handler() | ob::idempotent(second));
  for (int i = 0; i < 60; ++i) {
    ob::Message each = message(std::to_string(i % 20), "key-" + std::to_string(i));  // on all shards
    each.id = "id-" + std::to_string(i % 20);
    one.publish(topic, each).value();
  }
  eventually(
      s, [&] { return subscription.stats().duplicates + another.stats().duplicates == 40; },
      "the others to be known");
  CHECK(inbox.size() == 20);
}

}  // namespace
