// SPDX-License-Identifier: MIT
#include <omnibus/backends/kafka/transaction.hpp>

#include "catch.hpp"

using namespace omnibus;
using namespace omnibus::kafka;

TEST_CASE("kafka: what an error of a transaction asks for") {
  STATIC_REQUIRE(remedy_of(true, false, false) == Remedy::renew);
  STATIC_REQUIRE(remedy_of(true, true, true) == Remedy::renew);   // fatal goes before all
  STATIC_REQUIRE(remedy_of(false, true, true) == Remedy::abort);  // the same call would not help
  STATIC_REQUIRE(remedy_of(false, true, false) == Remedy::abort);
  STATIC_REQUIRE(remedy_of(false, false, true) == Remedy::again);
  STATIC_REQUIRE(remedy_of(false, false, false) == Remedy::renew);
}

TEST_CASE("kafka: a transaction commits the offset of each of its parts") {
  Transaction transaction;
  transaction.parts.push_back({1, "orders", 3, {17, {}}});
  transaction.parts.push_back({2, "orders.later.1s", 0, {5, {}}});
  const Offsets offsets = transaction.offsets();
  REQUIRE(offsets->cnt == 2);
  CHECK(std::string{offsets->elems[0].topic} == "orders");
  CHECK(offsets->elems[0].partition == 3);
  CHECK(offsets->elems[0].offset == 17);
  CHECK(std::string{offsets->elems[1].topic} == "orders.later.1s");
  CHECK(offsets->elems[1].offset == 5);
}

TEST_CASE("kafka: a producer's name tells whose transactions these are") {
  CHECK(transactional_id("billing", "orders", "node-7") == "omnibus-billing-orders-node-7");
}
