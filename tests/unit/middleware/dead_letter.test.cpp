// SPDX-License-Identifier: MIT
#include <omnibus/middleware/dead_letter.hpp>
#include <omnibus/middleware/retry.hpp>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;

TEST_CASE("what is given up on is written to the dead-letter topic and counts as settled") {
  FakeContext context;
  Received message{context, message_of("1", "k", "payload")};
  auto pipeline = detail::compose([](const Delivery&) -> Result<> { return permanent("no"); } |
                                                             dead_letter("orders.dlq"));
  CHECK(pipeline(message.delivery));
  REQUIRE(context.sent.size() == 1);
  CHECK(context.sent[0].topic == "orders.dlq");
  CHECK(context.sent[0].message.payload == "payload");
  CHECK(message.delivery.dead_lettered());
  CHECK(message.delivery.dead_letter_topic() == "orders.dlq");
  CHECK(context.events == std::vector{DeliveryEvent::dead_lettered});
}

TEST_CASE("a success needs no dead letter") {
  FakeContext context;
  Received message{context, message_of("1", "k")};
  auto pipeline = detail::compose([](const Delivery&) {} | dead_letter("orders.dlq"));
  CHECK(pipeline(message.delivery));
  CHECK(context.sent.empty());
  CHECK_FALSE(message.delivery.dead_lettered());
}

TEST_CASE("what is to be tried again, or was given back, is no dead letter") {
  FakeContext context;
  const auto error = GENERATE(later(1s), later(0s), Error::make(Errc::interrupted, "handle"));
  Received message{context, message_of("1", "k")};
  auto pipeline = detail::compose([&](const Delivery&) -> Result<> { return error; } |
                                                              dead_letter("orders.dlq"));
  CHECK(pipeline(message.delivery).error().code == error.code);
  CHECK(context.sent.empty());
}

TEST_CASE("a retryable error that no retry stage took is a dead letter") {
  FakeContext context;
  Received message{context, message_of("1", "k")};
  auto pipeline = detail::compose([](const Delivery&) -> Result<> { return retryable("no"); } |
                                                             dead_letter("orders.dlq"));
  CHECK(pipeline(message.delivery));
  CHECK(context.sent.size() == 1);
}

TEST_CASE("a refused dead letter keeps the message; the handler is not called again") {
  FakeContext context;
  int calls = 0;
  int refusals = 3;
  context.answer = [&refusals]() -> Result<Receipt> {
    if (refusals-- > 0) return Error::make(Errc::unavailable, "publish", "no broker");
    return Receipt{};
  };
  Received message{context, message_of("1", "k")};
  auto pipeline = detail::compose([&calls](const Delivery&) -> Result<> {
    ++calls;
    return permanent("the reason");
  } | retry() | dead_letter("orders.dlq"));

  const Result<> first = pipeline(message.delivery);
  REQUIRE_FALSE(first);
  CHECK(first.error().code == Errc::unavailable);
  CHECK(first.error().retryable);
  CHECK(first.error().again());
  CHECK(first.error().operation == "dead-letter to orders.dlq");
  CHECK_FALSE(message.delivery.dead_lettered());
  message.delivery.begin_again();

  CHECK(run_to_end(pipeline, message.delivery, context));
  CHECK(calls == 1);
  REQUIRE(context.sent.size() == 1);
  const DeadLetter dead = read_dead_letter(context.sent[0].message.headers);
  CHECK(dead.reason == "the reason");
  CHECK(dead.attempts == 1);
  CHECK(context.events == std::vector{DeliveryEvent::dead_lettered});
}

TEST_CASE("a dead-letter topic that refuses for good is asked again, with growing waits") {
  FakeContext context;
  context.answer = [] { return Result<Receipt>{Error::make(Errc::access_denied, "publish")}; };
  Received message{context, message_of("1", "k")};
  auto pipeline = detail::compose([](const Delivery&) -> Result<> { return permanent("no"); } |
                                                             dead_letter("orders.dlq"));
  Duration last{};
  for (int i = 0; i < 20; ++i) {
    const Result<> result = pipeline(message.delivery);
    REQUIRE(result.error().again());
    CHECK(result.error().retry_after >= last);
    CHECK(result.error().retry_after <= 30s);
    last = result.error().retry_after;
    message.delivery.begin_again();
  }
  CHECK(last > 29s);
}

TEST_CASE("an exception of a stage inside becomes a dead letter") {
  FakeContext context;
  Received message{context, message_of("1", "k")};
  auto pipeline = detail::compose([](const Delivery&) {} |
                                  stage([](Next, Delivery&) -> Result<> { throw 42; }) |
                                  dead_letter("orders.dlq"));
  CHECK(pipeline(message.delivery));
  CHECK(context.sent.size() == 1);
}

TEST_CASE("the last resort does not bury what a dead_letter stage has buried") {
  FakeContext context;
  int calls = 0;
  bool refuses = true;
  context.answer = [&refuses]() -> Result<Receipt> {
    if (refuses) return Error::make(Errc::unavailable, "publish");
    return Receipt{};
  };
  Received message{context, message_of("1", "k")};
  auto inner = detail::compose([&calls](const Delivery&) -> Result<> {
    ++calls;
    return permanent("no");
  } | dead_letter("mine"));
  const DeadLetterStage last{"orders.billing.dlq"};
  auto whole = [&](Delivery& delivery) { return last(inner.next(), delivery); };
  CHECK(whole(message.delivery).error().again());
  message.delivery.begin_again();
  refuses = false;
  CHECK(whole(message.delivery));
  REQUIRE(context.sent.size() == 1);
  CHECK(context.sent[0].topic == "mine");
  CHECK(calls == 1);
}

TEST_CASE("dead_letter takes only what can be a topic's name") {
  for (const std::string& name : {""s, "a b"s, "ü"s, "a\n"s, std::string(250, 'a')}) {
    CHECK(throws_saying<std::invalid_argument>([&] { (void)dead_letter(name); }, "dead_letter"));
  }
  CHECK_NOTHROW(dead_letter(std::string(249, 'a')));
}
