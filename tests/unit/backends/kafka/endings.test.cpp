// SPDX-License-Identifier: MIT
#include <omnibus/backends/kafka/endings.hpp>

#include <string>

#include "catch.hpp"
#include "unit/backends/kafka/tools.hpp"

using namespace omnibus;
using namespace omnibus::kafka;
using namespace omnibus::unit;

namespace {

/// A report as librdkafka makes it.
struct Sent {
  Listener listener;
  Producer producer{{}, Duration{}, listener};
  Topic topic = producer.topic("orders");
  rd_kafka_message_t message{};

  Sent() {
    message.rkt = topic.get();
    message.partition = 3;
  }
};

}  // namespace

TEST_CASE("kafka: what the broker confirmed is ok, with its place") {
  Sent sent;
  sent.message.offset = 0;
  const auto ending = ending_of(sent.message);
  REQUIRE(ending.has_value());
  CHECK(ending->partition == 3);
  CHECK(ending->position.major == 0);
}

TEST_CASE("kafka: what is only inferred from a later batch is not ok, but unknown") {
  Sent sent;
  sent.message.offset = RD_KAFKA_OFFSET_INVALID;
  const auto ending = ending_of(sent.message);
  REQUIRE_FALSE(ending.has_value());
  CHECK(ending.error().code == Errc::outcome_unknown);
  CHECK(ending.error().operation == "publish \"orders\"");
}
