// SPDX-License-Identifier: MIT
#include <omnibus/middleware/retry.hpp>
#include <omnibus/middleware/timeout.hpp>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;

TEST_CASE("an attempt sees its deadline, and the next one has another") {
  FakeContext context;
  std::vector<Duration> left;
  auto pipeline = detail::compose([&](const Delivery& delivery) -> Result<> {
    left.push_back(delivery.time_left());
    context.time.advance(2s);
    left.push_back(delivery.time_left());
    context.time.advance(2s);
    left.push_back(delivery.time_left());
    if (left.size() < 6) return permanent("it took too long");
    return {};
  } | timeout(3s) | retry({.attempts = 3}));
  Received message{context, message_of("1", "k")};
  CHECK(message.delivery.time_left() == Duration::max());
  CHECK(run_to_end(pipeline, message.delivery, context));
  CHECK(left == std::vector<Duration>{3s, 1s, 0s, 3s, 1s, 0s});
}

TEST_CASE("a failure after the deadline is a time-out and may be tried again, one before it is not") {
  FakeContext context;
  Duration takes{};
  auto pipeline = detail::compose([&](const Delivery&) -> Result<> {
    context.time.advance(takes);
    return permanent("gave up");
  } | timeout(3s));
  for (const auto& [duration, code] : {std::pair{Duration{2s}, Errc::handler_failed}, std::pair{Duration{3s}, Errc::timed_out}}) {
    takes = duration;
    Received message{context, message_of("1", "k")};
    const Result<> result = pipeline(message.delivery);
    REQUIRE_FALSE(result);
    CHECK(result.error().code == code);
    CHECK(result.error().retryable == (code == Errc::timed_out));
    CHECK(result.error().context.find("gave up") != std::string::npos);
  }
}

TEST_CASE("what ends well after its deadline is handled") {
  FakeContext context;
  auto pipeline = detail::compose([&](const Delivery&) { context.time.advance(1h); } | timeout(3s));
  Received message{context, message_of("1", "k")};
  CHECK(pipeline(message.delivery));
}

TEST_CASE("a timeout of no time is refused") {
  CHECK(throws_saying<std::invalid_argument>([] { (void)timeout(0s); }, "timeout"));
}
