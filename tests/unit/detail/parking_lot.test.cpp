// SPDX-License-Identifier: MIT
#include <omnibus/detail/parking_lot.hpp>

#include <string>

#include "catch.hpp"

using omnibus::detail::ParkingLot;

TEST_CASE("a key is parked where its first dead letter went, and others are not") {
  ParkingLot lot;
  CHECK(lot.topic_of("a") == nullptr);
  lot.park("a", "first.dlq");
  lot.park("a", "second.dlq");
  REQUIRE(lot.topic_of("a") != nullptr);
  CHECK(*lot.topic_of("a") == "first.dlq");
  CHECK(lot.topic_of("b") == nullptr);
  CHECK(lot.topic_of("") == nullptr);
}

TEST_CASE("a name that was given stays where it is when others are parked") {
  ParkingLot lot;
  lot.park("a", "a.dlq");
  const std::string* topic = lot.topic_of("a");
  for (int i = 0; i < 1000; ++i) lot.park(std::to_string(i), "other.dlq");
  CHECK(topic == lot.topic_of("a"));
  CHECK(*topic == "a.dlq");
}

TEST_CASE("a lot is full at 65,536 keys") {
  ParkingLot lot;
  for (int i = 0; i < 65'535; ++i) lot.park(std::to_string(i), "dlq");
  CHECK_FALSE(lot.full());
  lot.park("0", "dlq");
  CHECK_FALSE(lot.full());
  lot.park("the last", "dlq");
  CHECK(lot.full());
}

TEST_CASE("a key is free again when all letters that are known of it have come back") {
  ParkingLot lot;
  lot.park("a", "a.dlq");
  lot.park("a", "a.dlq");
  lot.returned("a");
  CHECK(lot.topic_of("a") != nullptr);
  lot.returned("a");
  CHECK(lot.topic_of("a") == nullptr);
  lot.returned("a");  // of a key that is not parked
  lot.park("a", "other.dlq");
  REQUIRE(lot.topic_of("a") != nullptr);
  CHECK(*lot.topic_of("a") == "other.dlq");
}

TEST_CASE("behind a letter that has died again no other comes back by the same redrive") {
  ParkingLot lot;
  lot.park("a", "a.dlq");
  CHECK(lot.may_return("a", "first"));
  lot.died_again("a", "first");
  CHECK_FALSE(lot.may_return("a", "first"));
  CHECK(lot.may_return("a", "second"));
  CHECK(lot.may_return("b", "first"));
}
