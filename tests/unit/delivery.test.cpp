// SPDX-License-Identifier: MIT
#include <omnibus/delivery.hpp>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;

TEST_CASE("a delivery counts attempts of its handler, those of others before it included") {
  FakeContext context;
  Received received{context, message_of("1", "k"), 2};
  Delivery& delivery = received.delivery;
  CHECK(delivery.attempt() == 3);
  CHECK(delivery.redelivered());
  CHECK(delivery.attempts_made() == 2);
  delivery.begin_again();  // the handler was not called: the attempt is still to be made
  CHECK(delivery.attempt() == 3);
  delivery.mark_attempted();
  CHECK(delivery.attempts_made() == 3);
  delivery.begin_again();
  CHECK(delivery.attempt() == 4);
  CHECK(delivery.attempts_made() == 3);
  CHECK_FALSE(delivery.attempted());
}

TEST_CASE("a delivery knows whether its pipeline has seen it before, and when an attempt began") {
  FakeContext context;
  Received received{context, message_of("1", "k"), 2};
  Delivery& delivery = received.delivery;
  CHECK(delivery.first_pass());
  CHECK(delivery.began() == Instant{});
  delivery.mark_began(context.time.now());
  CHECK(delivery.began() == context.time.now());
  delivery.begin_again();
  CHECK_FALSE(delivery.first_pass());
}

TEST_CASE("a delivery remembers the first error and the last, and when it first failed") {
  FakeContext context;
  Received received{context, message_of("1", "k")};
  Delivery& delivery = received.delivery;
  CHECK(delivery.history() == nullptr);
  const Instant first = context.time.now();
  (void)delivery.remember(retryable("first"), first);
  context.time.advance(1s);
  (void)delivery.remember(retryable("second"), context.time.now());
  REQUIRE(delivery.history() != nullptr);
  CHECK(delivery.history()->first_failure == first);
  CHECK(delivery.history()->first_error.context == "first");
  CHECK(delivery.history()->last_error.context == "second");
}

TEST_CASE("a copy of a delivery's message outlives it") {
  FakeContext context;
  Message copy;
  {
    Received received{context, message_of("1", "k", "payload")};
    copy = received.delivery.message();
  }
  CHECK(copy.payload == "payload");
}

TEST_CASE("what happens to deliveries has names") {
  CHECK(to_string(DeliveryEvent::delivered) == "delivered");
  CHECK(to_string(DeliveryEvent::handled) == "handled");
  CHECK(to_string(DeliveryEvent::retrying) == "retrying");
  CHECK(to_string(DeliveryEvent::dead_lettered) == "dead_lettered");
  CHECK(to_string(DeliveryEvent::dropped) == "dropped");
  CHECK(to_string(DeliveryEvent::duplicate) == "duplicate");
  CHECK(to_string(DeliveryEvent::given_back) == "given_back");
  CHECK(to_string(DeliveryEvent::out_of_sequence) == "out_of_sequence");
  CHECK(to_string(static_cast<DeliveryEvent>(200)) == "unknown");
}

TEST_CASE("a message that is read in part is completed once, by who first asks for the rest") {
  struct Record {
    MessageView message;
    int completed = 0;
  } record;
  record.message.key = "k";
  record.message.payload = "bytes";
  Incoming incoming;
  incoming.message = &record.message;
  incoming.token = reinterpret_cast<std::uint64_t>(&record);
  incoming.complete = [](std::uint64_t token) {
    auto& read = *reinterpret_cast<Record*>(token);
    read.message.id = "m-1";
    ++read.completed;
  };
  FakeContext context;
  Delivery delivery{incoming, context};
  CHECK(delivery.key() == "k");
  CHECK(delivery.payload() == "bytes");
  CHECK(delivery.time() == Time{});
  CHECK(record.completed == 0);
  CHECK(delivery.message().id == "m-1");
  CHECK(delivery.id() == "m-1");
  CHECK(delivery.type().empty());
  CHECK(delivery.headers().empty());
  CHECK(delivery.sequence() == Sequence{});
  CHECK(record.completed == 1);
}
