// SPDX-License-Identifier: MIT
#include <omnibus/middleware/rate_limit.hpp>
#include <omnibus/middleware/retry.hpp>

#include <deque>

#include <omnibus/testing/harness.hpp>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;

TEST_CASE("a rate limit spreads calls evenly, and lets a burst through after a quiet time") {
  RateLimit limit{{.per_second = 10, .burst = 3}};
  Instant now{1h};
  for (const auto wait : {0ms, 0ms, 0ms, 100ms, 200ms, 300ms}) CHECK(limit.reserve(now) == now + wait);
  now += 10s;
  for (const auto wait : {0ms, 0ms, 0ms, 100ms}) CHECK(limit.reserve(now) == now + wait);
}

TEST_CASE("what is too early waits for its own time, keeps its attempts, and pauses the subscription") {
  FakeContext context;
  RateLimit limit{{.per_second = 10}};
  int calls = 0;
  auto pipeline = detail::compose([&](const Delivery&) { ++calls; } | rate_limit(limit));
  Received first{context, message_of("1", "a")}, second{context, message_of("2", "b")},
      third{context, message_of("3", "c")};
  CHECK(pipeline(first.delivery));
  for (const auto& [received, wait] : {std::pair{&second, 100ms}, std::pair{&third, 200ms}}) {
    const Result<> result = pipeline(received->delivery);
    REQUIRE_FALSE(result);
    CHECK(result.error().retry_after == wait);
    CHECK(context.paused_until == context.time.now() + wait);
  }
  CHECK(context.paused_why.empty());  // nothing is wrong
  second.delivery.begin_again();
  CHECK_FALSE(pipeline(second.delivery));  // too early still, and in the same place
  context.time.advance(100ms);
  second.delivery.begin_again();
  CHECK(pipeline(second.delivery));
  CHECK(second.delivery.attempt() == 1);
  third.delivery.begin_again();
  CHECK_FALSE(pipeline(third.delivery));
  context.time.advance(100ms);
  third.delivery.begin_again();
  CHECK(pipeline(third.delivery));
  CHECK(calls == 3);
}

TEST_CASE("another attempt is another call") {
  testing::Harness harness;
  RateLimit limit{{.per_second = 1}};
  auto orders = harness.bus().subscribe("orders", [](const Delivery& delivery) -> Result<> {
    if (delivery.attempt() < 3) return retryable("not yet");
    return {};
  } | retry({.initial = 1ms, .jitter = false}) | rate_limit(limit));
  harness.publish("orders", "x");
  harness.advance(1min);
  REQUIRE(harness.handled().size() == 1);
  CHECK(harness.handled()[0].at == 2s);
}

TEST_CASE("options of a rate limit that can never work are refused by name") {
  CHECK(throws_saying<std::invalid_argument>([] { RateLimit limit{{.per_second = 0}}; }, "per_second"));
  CHECK(throws_saying<std::invalid_argument>([] { RateLimit limit{{.per_second = 1e-300}}; }, "per_second"));
  CHECK(throws_saying<std::invalid_argument>([] { RateLimit limit{{.per_second = 5, .burst = 0}}; }, "burst"));
  CHECK(throws_saying<std::invalid_argument>([] { RateLimit limit{{.per_second = 0.001, .burst = 0}}; }, "burst"));
}
