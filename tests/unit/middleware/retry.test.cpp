// SPDX-License-Identifier: MIT
#include <omnibus/middleware/retry.hpp>

#include <omnibus/testing/harness.hpp>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;

namespace {

/// A handler that fails with `error` each time, behind `policy`; counts its calls.
template <class Policy>
auto failing(int& calls, Error error, Policy policy) {
  return detail::compose([&calls, error](const Delivery&) -> Result<> {
    ++calls;
    return error;
  } | policy);
}

}  // namespace

TEST_CASE("retry calls the handler as often as attempts says, and passes the last error on") {
  FakeContext context;
  Received message{context, message_of("1", "k")};
  int calls = 0;
  auto pipeline = detail::compose([&calls](const Delivery& delivery) -> Result<> {
    ++calls;
    CHECK(delivery.attempt() == static_cast<std::uint32_t>(calls));
    return retryable("failure " + std::to_string(calls));
  } | retry({.attempts = 4}));
  const Result<> result = run_to_end(pipeline, message.delivery, context);
  CHECK(calls == 4);
  REQUIRE_FALSE(result);
  CHECK(result.error().context.find("failure 4") == 0);
  CHECK(result.error().context.find("4 attempts") != std::string::npos);
  CHECK_FALSE(result.error().retryable);
  CHECK_FALSE(result.error().again());
  CHECK(result.error().code == Errc::handler_failed);
  REQUIRE(message.delivery.history() != nullptr);
  CHECK(message.delivery.history()->first_error.context == "failure 1");
}

TEST_CASE("retry with one attempt never asks for another") {
  FakeContext context;
  Received message{context, message_of("1", "k")};
  int calls = 0;
  auto pipeline = failing(calls, retryable("no"), retry({.attempts = 1}));
  CHECK_FALSE(run_to_end(pipeline, message.delivery, context));
  CHECK(calls == 1);
}

TEST_CASE("retry stops after a success and says nothing") {
  FakeContext context;
  Received message{context, message_of("1", "k")};
  int calls = 0;
  auto pipeline = detail::compose([&calls](const Delivery&) -> Result<> {
    if (++calls < 3) return retryable("not yet");
    return {};
  } | retry());
  CHECK(run_to_end(pipeline, message.delivery, context));
  CHECK(calls == 3);
}

TEST_CASE("the delays of retry double up to max when nothing is random") {
  FakeContext context;
  Received message{context, message_of("1", "k")};
  int calls = 0;
  auto pipeline = failing(calls, retryable("no"),
                          retry({.attempts = 6, .initial = 100ms, .max = 500ms, .jitter = false}));
  std::vector<Duration> delays;
  for (Result<> result = pipeline(message.delivery); result.error().again();
       result = pipeline(message.delivery)) {
    delays.push_back(result.error().retry_after);
    context.time.advance(delays.back());
    message.delivery.begin_again();
  }
  CHECK(delays == std::vector<Duration>{100ms, 200ms, 400ms, 500ms, 500ms});
}

TEST_CASE("retry takes its randomness from the context") {
  FakeContext context;
  context.bits = 0;  // full jitter: no wait at all
  Received message{context, message_of("1", "k")};
  int calls = 0;
  auto pipeline = failing(calls, retryable("no"), retry({.attempts = 2}));
  CHECK(pipeline(message.delivery).error().retry_after == 0ns);
}

TEST_CASE("a permanent failure is not tried again") {
  FakeContext context;
  Received message{context, message_of("1", "k")};
  int calls = 0;
  auto pipeline = failing(calls, permanent("the card is stolen"), retry());
  const Result<> result = run_to_end(pipeline, message.delivery, context);
  CHECK(calls == 1);
  CHECK(result.error().context == "the card is stolen");
}

TEST_CASE("later goes before the policy's delay, and still counts as an attempt") {
  FakeContext context;
  Received message{context, message_of("1", "k")};
  int calls = 0;
  auto pipeline = failing(calls, later(3min, "the bank is closed"), retry({.attempts = 3}));
  const Result<> first = pipeline(message.delivery);
  CHECK(first.error().retry_after == 3min);
  message.delivery.begin_again();
  context.time.advance(3min);
  CHECK(pipeline(message.delivery).error().retry_after == 3min);
  message.delivery.begin_again();
  context.time.advance(3min);
  const Result<> last = pipeline(message.delivery);
  CHECK(calls == 3);
  CHECK_FALSE(last.error().again());
}

TEST_CASE("later with no delay at all is an immediate retry") {
  FakeContext context;
  Received message{context, message_of("1", "k")};
  int calls = 0;
  auto pipeline = failing(calls, later(0s), retry({.attempts = 5}));
  CHECK_FALSE(run_to_end(pipeline, message.delivery, context));
  CHECK(calls == 5);
}

TEST_CASE("retry gives up when the next attempt would begin later than total, not exactly then") {
  for (const Duration total : {120s, 150s}) {
    testing::Harness harness;
    auto orders = harness.bus().subscribe("orders", [](const Delivery&) -> Result<> {
      return later(60s);
    } | retry({.attempts = 100, .total = total}));
    harness.publish("orders", "x");
    harness.advance(1h);
    REQUIRE(harness.delivered().size() == 3);  // at 0, 60 and 120 seconds; the one at 180 would be too late
    REQUIRE(harness.dead_lettered().size() == 1);
    CHECK(harness.dead_lettered()[0].at == 120s);
    CHECK_FALSE(harness.dead_lettered()[0].error->retryable);
    CHECK(harness.dead_lettered()[0].error->context.find("too late") != std::string::npos);
  }
}

TEST_CASE("total zero allows attempts that need no wait") {
  FakeContext context;
  Received message{context, message_of("1", "k")};
  int calls = 0;
  auto pipeline = failing(calls, later(0s), retry({.attempts = 4, .total = 0s}));
  CHECK_FALSE(run_to_end(pipeline, message.delivery, context));
  CHECK(calls == 4);
}

TEST_CASE("a delay longer than time itself gives up instead of beginning at once") {
  FakeContext context;
  Received message{context, message_of("1", "k")};
  int calls = 0;
  auto pipeline = failing(calls, later(Duration::max()), retry());
  CHECK_FALSE(pipeline(message.delivery).error().again());
}

TEST_CASE("when decides which errors are worth another attempt") {
  FakeContext context;
  const auto policy =
      retry({.when = [](const Error& error) { return error.context != "hopeless"; }});
  int calls = 0;
  Received hopeless{context, message_of("1", "k")};
  auto gives_up = failing(calls, retryable("hopeless"), policy);
  CHECK_FALSE(run_to_end(gives_up, hopeless.delivery, context).error().retryable);
  CHECK(calls == 1);
  calls = 0;
  Received other{context, message_of("2", "k")};
  auto tries = failing(calls, retryable("something else"), policy);
  CHECK_FALSE(run_to_end(tries, other.delivery, context));
  CHECK(calls == 5);
}

TEST_CASE("when cannot make a permanent failure worth trying") {
  FakeContext context;
  Received message{context, message_of("1", "k")};
  int calls = 0;
  auto pipeline =
      failing(calls, permanent("no"), retry({.when = [](const Error&) { return true; }}));
  CHECK_FALSE(run_to_end(pipeline, message.delivery, context));
  CHECK(calls == 1);
}

TEST_CASE("a retry inside a retry does not multiply the attempts") {
  FakeContext context;
  Received message{context, message_of("1", "k")};
  int calls = 0;
  // Two policies in one chain do not compile; a stage of one's own can nest them.
  const RetryStage inner{RetryOptions{.attempts = 3}};
  const RetryStage outer{RetryOptions{.attempts = 10}};
  auto pipeline =
      failing(calls, retryable("no"), stage([&](Next next, Delivery& delivery) -> Result<> {
                auto call = [&](Delivery& again) { return inner(next, again); };
                return outer(Next{&call,
                                  [](void* self, Delivery& again) {
                                    return (*static_cast<decltype(call)*>(self))(again);
                                  }},
                             delivery);
              }));
  CHECK_FALSE(run_to_end(pipeline, message.delivery, context));
  CHECK(calls == 3);
}

TEST_CASE("attempts that another process made count") {
  FakeContext context;
  int calls = 0;
  auto pipeline = failing(calls, retryable("no"), retry({.attempts = 5}));
  Received twice_before{context, message_of("1", "k"), 2};
  CHECK(twice_before.delivery.redelivered());
  CHECK_FALSE(run_to_end(pipeline, twice_before.delivery, context));
  CHECK(calls == 3);
  calls = 0;
  Received long_over{context, message_of("2", "k"), 40};
  CHECK_FALSE(run_to_end(pipeline, long_over.delivery, context));
  CHECK(calls == 1);  // at least one more, so that the error is known
}

TEST_CASE("retry passes an interrupted delivery on as it is") {
  FakeContext context;
  Received message{context, message_of("1", "k")};
  int calls = 0;
  auto pipeline = failing(calls, Error::make(Errc::interrupted, "handle"), retry({.attempts = 1}));
  const Result<> result = pipeline(message.delivery);
  CHECK(result.error().code == Errc::interrupted);
  CHECK(result.error().retryable);
  CHECK(message.delivery.history() == nullptr);
}

TEST_CASE("an exception of a stage inside retry is a failure like any other") {
  FakeContext context;
  Received message{context, message_of("1", "k")};
  int calls = 0;
  auto pipeline = detail::compose([](const Delivery&) {} | stage([&](Next, Delivery&) -> Result<> {
                                    ++calls;
                                    throw std::runtime_error{"in a stage"};
                                  }) |
                                  retry({.attempts = 3}));
  const Result<> result = pipeline(message.delivery);
  CHECK(result.error().again());
  CHECK(result.error().context == "in a stage");
}

TEST_CASE("a stage inside retry that never reaches the handler is given up on like a handler") {
  FakeContext context;
  Received message{context, message_of("1", "k")};
  int calls = 0;
  auto pipeline = detail::compose([](const Delivery&) {} | stage([&](Next, Delivery&) -> Result<> {
                                    ++calls;
                                    return retryable("in a stage");
                                  }) |
                                  retry({.attempts = 3}));
  CHECK_FALSE(run_to_end(pipeline, message.delivery, context).error().again());
  CHECK(calls == 3);
}

TEST_CASE("options of retry that contradict each other are refused by name") {
  const auto refuses = [](RetryOptions options, std::string_view field) {
    return throws_saying<std::invalid_argument>([&] { (void)retry(options); }, field);
  };
  CHECK(refuses({.attempts = 0}, "attempts"));
  CHECK(refuses({.initial = -1ns}, "initial"));
  CHECK(refuses({.initial = 2s, .max = 1s}, "max"));
  CHECK(refuses({.factor = 0.99}, "factor"));
  CHECK(refuses({.factor = std::numeric_limits<double>::quiet_NaN()}, "factor"));
  CHECK(refuses({.total = -1ns}, "total"));
  CHECK_NOTHROW(retry({.attempts = 1, .initial = 0s, .max = 0s, .factor = 1.0, .total = 0s}));
}

TEST_CASE("when the budget is used up a retry waits for the longest delay") {
  FakeContext context;
  RetryBudget budget{{.ratio = 1, .reserve = 2}};
  int calls = 0;
  auto pipeline = failing(calls, retryable("no"),
                          retry({.attempts = 10, .initial = 1ms, .max = 7s, .factor = 1, .budget = &budget}));
  Received message{context, message_of("1", "k")};
  std::vector<Duration> delays;
  for (int i = 0; i < 4; ++i) {
    const Result<> result = pipeline(message.delivery);
    delays.push_back(result.error().retry_after);
    message.delivery.begin_again();
  }
  CHECK(delays[0] < 7s);
  CHECK(delays[1] < 7s);
  CHECK(delays[2] == 7s);
  CHECK(delays[3] == 7s);
  auto well = detail::compose([](const Delivery&) {} | retry({.budget = &budget}));
  Received other{context, message_of("2", "k")};
  CHECK(well(other.delivery));
  CHECK(pipeline(message.delivery).error().retry_after < 7s);
}
