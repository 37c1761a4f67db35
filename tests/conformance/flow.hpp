// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <string>

#include <omnibus/idempotency/memory.hpp>
#include <omnibus/middleware/circuit_breaker.hpp>
#include <omnibus/middleware/dead_letter.hpp>
#include <omnibus/middleware/idempotent.hpp>
#include <omnibus/middleware/rate_limit.hpp>

#include "history.hpp"
#include "order.hpp"

// When what handlers need is away, nothing is lost, nothing is acknowledged, and no more is taken than was.

namespace conformance {

/// Waits until health says that the subscription pauses, and why. It may pause and go on in turns.
template <class F>
void pauses_because(F& f, const ob::Subscription& subscription, std::string_view words) {
  eventually(
      f,
      [&] {
        const auto health = subscription.health();
        return !health.ok && health.problem.find(words) != std::string::npos;
      },
      "health to say ", words);
}

template <class F>
void an_open_circuit_pauses(F& f) {
  const auto topic = f.topic();
  Bus<F> bus{f.config()};
  auto history = history_for<F>();
  ob::CircuitBreaker breaker{{.failures = 3, .open_for = 20ms, .max = 20ms}};
  std::atomic<bool> sick = true;
  std::atomic<std::size_t> calls = 0;
  constexpr std::size_t window = 64;
  const auto subscription = bus.subscribe(topic,
                                          told(history, 1,
                                               [&](const ob::Delivery&) {
                                                 if (sick) ++calls;
                                                 return sick.load();
                                               }) |
                                              quick_retry(1'000'000) | ob::dead_letter(topic + ".dead") |
                                              ob::circuit_breaker(breaker),
                                          {.concurrency = 4, .window = window});
  registered(f, subscription);
  Dice dice{f.seed};
  const auto sent = numbered_by_key(600, 20, dice);
  send(f, bus, topic, sent);
  pauses_because(f, subscription, "circuit");
  const std::size_t before = calls;
  eventually(
      f, [&] { return calls >= before + 5; }, "the circuit to be tried");
  // It was tried one message at a time: what failed was taken once and waits, and so does what was taken
  // at the tries.
  expect(subscription.stats().in_flight <= 8 * window, subscription.stats().in_flight,
         " messages were taken while the circuit was open");
  sick = false;
  history.wait_for(f, sent.size());
  drained(f, subscription);
  history.check();
  expect_equal(subscription.stats().dead_lettered, 0u, "the number of dead letters");
  eventually(
      f, [&] { return subscription.health().ok; }, "health to be good again");
}

/// A store that can be away.
class AwayStore {
 public:
  std::atomic<bool> away{false};

  ob::Result<ob::Claim> claim(const ob::IdempotencyKey& key, const ob::detail::Hash128& fingerprint,
                              ob::Duration lease) {
    if (away) return gone();
    return store_.claim(key, fingerprint, lease);
  }
  ob::Result<> complete(const ob::IdempotencyKey& key, const ob::Claim& claim, std::string_view result) {
    if (away) return gone();
    return store_.complete(key, claim, result);
  }
  ob::Result<> release(const ob::IdempotencyKey& key, const ob::Claim& claim) {
    if (away) return gone();
    return store_.release(key, claim);
  }
  std::size_t max_result() const { return store_.max_result(); }

 private:
  static ob::Error gone() {
    ob::Error error = ob::Error::make(ob::Errc::unavailable, "claim idempotency key", "the store is away");
    error.retry_after = 20ms;
    return error;
  }
  ob::MemoryKeyStore store_;
};

template <class F>
void a_store_that_is_away_pauses(F& f) {
  const auto topic = f.topic();
  Bus<F> bus{f.config()};
  auto history = history_for<F>();
  AwayStore store;
  const auto subscription = bus.subscribe(
      topic, told(history, 1) | quick_retry(2) | ob::dead_letter(topic + ".dead") | ob::idempotent(store),
      {.concurrency = 4, .window = 64});
  registered(f, subscription);
  Dice dice{f.seed};
  const auto sent = numbered_by_key(400, 20, dice);
  const auto half = sent.begin() + 200;
  send(f, bus, topic, std::vector(sent.begin(), half));
  history.wait_for(f, 200);
  store.away = true;
  send(f, bus, topic, std::vector(half, sent.end()));
  pauses_because(f, subscription, "the store is away");
  expect_equal(history.deliveries(), 200u, "the number of deliveries while the store is away");
  store.away = false;
  history.wait_for(f, sent.size());
  drained(f, subscription);
  history.check();
  expect_equal(history.handled_again(), 0u, "the number of messages handled twice");
  expect_equal(subscription.stats().dead_lettered, 0u, "the number of dead letters");
}

template <class F>
void a_rate_is_kept(F& f) {
  const auto topic = f.topic();
  Bus<F> bus{f.config()};
  auto history = history_for<F>();
  ob::RateLimit limit{{.per_second = 200, .burst = 10}};
  const auto subscription =
      bus.subscribe(topic, told(history, 1) | ob::rate_limit(limit), {.concurrency = 4, .window = 32});
  registered(f, subscription);
  Dice dice{f.seed};
  const auto sent = numbered_by_key(70, 9, dice);
  const auto start = Clock::now();
  send(f, bus, topic, sent);
  history.wait_for(f, sent.size());
  expect(Clock::now() - start >= 300ms, "70 messages took less time than 60 of 200 a second do");
  drained(f, subscription);
  history.check();
}

template <class F>
void add_flow_cases(Suite<F>& suite) {
  suite.template add<Need::order>("an open circuit pauses, uses up no attempts and loses nothing",
                                  [](auto& f) { an_open_circuit_pauses(f); });
  suite.template add<Need::order>("while the key store is away nothing is handled, lost or acknowledged",
                                  [](auto& f) { a_store_that_is_away_pauses(f); });
  suite.template add<Need::order>("a rate limit keeps its rate and the order",
                                  [](auto& f) { a_rate_is_kept(f); });
}

}  // namespace conformance
