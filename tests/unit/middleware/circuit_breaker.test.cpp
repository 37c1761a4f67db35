// SPDX-License-Identifier: MIT
#include <omnibus/middleware/circuit_breaker.hpp>
#include <omnibus/middleware/dead_letter.hpp>
#include <omnibus/middleware/retry.hpp>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;
using BreakerState = CircuitBreaker::State;

namespace {

struct Bench {
  FakeContext context;
  CircuitBreaker breaker{{.failures = 2, .open_for = 10s}};
  int calls = 0;
  Result<> answer;

  auto pipeline(RetryOptions retries = {.attempts = 5}) {
    return detail::compose([this](const Delivery&) -> Result<> {
      ++calls;
      return answer;
    } | retry(retries) | dead_letter("orders.dlq") | circuit_breaker(breaker));
  }
};

}  // namespace

TEST_CASE("an open circuit calls nobody, uses up no attempts, and pauses the subscription") {
  Bench bench;
  bench.answer = retryable("the bank is away");
  auto pipeline = bench.pipeline();
  Received first{bench.context, message_of("1", "a")}, second{bench.context, message_of("2", "b")};
  CHECK_FALSE(pipeline(first.delivery));
  CHECK_FALSE(pipeline(second.delivery));
  CHECK(bench.breaker.state() == BreakerState::open);
  for (int i = 0; i < 20; ++i) {
    second.delivery.begin_again();
    const Result<> result = pipeline(second.delivery);
    REQUIRE_FALSE(result);
    CHECK(result.error().again());
    CHECK(result.error().retry_after == 10s);
  }
  CHECK(bench.calls == 2);
  CHECK(second.delivery.attempt() == 2);
  CHECK(bench.context.paused_until == bench.context.time.now() + 10s);
  CHECK(bench.context.paused_why.find("circuit is open") != std::string::npos);
  CHECK(bench.context.sent.empty());
}

TEST_CASE("when the time is over one message finds out, and with it the circuit closes") {
  Bench bench;
  bench.answer = retryable("the bank is away");
  auto pipeline = bench.pipeline();
  Received message{bench.context, message_of("1", "a")};
  CHECK_FALSE(pipeline(message.delivery));
  message.delivery.begin_again();
  CHECK_FALSE(pipeline(message.delivery));
  bench.context.time.advance(10s);
  bench.answer = {};
  message.delivery.begin_again();
  CHECK(pipeline(message.delivery));
  CHECK(bench.breaker.state() == BreakerState::closed);
  CHECK(bench.calls == 3);
}

TEST_CASE("a message that is at fault itself opens no circuit") {
  Bench bench;
  bench.answer = permanent("no such account");
  auto pipeline = bench.pipeline();
  for (int i = 0; i < 10; ++i) {
    Received message{bench.context, message_of(std::to_string(i), "a")};
    CHECK(pipeline(message.delivery));
  }
  CHECK(bench.calls == 10);
  CHECK(bench.context.sent.size() == 10);
  CHECK(bench.breaker.state() == BreakerState::closed);
}

TEST_CASE("messages that were given up count as failures") {
  Bench bench;
  bench.answer = retryable("the bank is away");
  auto pipeline = bench.pipeline({.attempts = 1});
  for (int i = 0; i < 2; ++i) {
    Received message{bench.context, message_of(std::to_string(i), "a")};
    CHECK(pipeline(message.delivery));
  }
  CHECK(bench.context.sent.size() == 2);
  CHECK(bench.breaker.state() == BreakerState::open);
}

TEST_CASE("a dead letter that is still to be written does not wait for the circuit") {
  Bench bench;
  bench.answer = permanent("no such account");
  bench.context.answer = [] { return Result<Receipt>{Error::make(Errc::unavailable, "publish")}; };
  auto pipeline = bench.pipeline();
  Received message{bench.context, message_of("1", "a")};
  CHECK_FALSE(pipeline(message.delivery));
  for (int i = 0; i < 2; ++i) bench.breaker.failed(bench.breaker.admit(bench.context.time.now()).turn, bench.context.time.now());
  REQUIRE(bench.breaker.state() == BreakerState::open);
  bench.context.answer = [] { return Result<Receipt>{Receipt{}}; };
  message.delivery.begin_again();
  CHECK(pipeline(message.delivery));
  CHECK(bench.context.sent.size() == 1);
  CHECK(bench.calls == 1);
}
