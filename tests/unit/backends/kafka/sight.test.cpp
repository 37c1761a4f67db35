// SPDX-License-Identifier: MIT
#include <omnibus/backends/kafka/sight.hpp>

#include "catch.hpp"
#include "unit/backends/kafka/tools.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;
using kafka::Sight;

namespace {
constexpr Instant start{};
}  // namespace

TEST_CASE("kafka: nobody looks for brokers while nothing is said of them") {
  const Sight sight;
  CHECK_FALSE(sight.is_lost());
  CHECK(sight.next() == Instant::max());
}

TEST_CASE("kafka: a lost connection is looked after twice before it is told") {
  Sight sight;
  CHECK_FALSE(sight.add(transport, "refused", start));
  CHECK(sight.next() == start + 300ms);
  CHECK_FALSE(sight.looked(false, start + 300ms));
  CHECK_FALSE(sight.is_lost());
  CHECK(sight.next() == start + 1300ms);
  const auto problem = sight.looked(false, start + 1300ms);
  REQUIRE(problem);
  CHECK(problem->code == Errc::unavailable);
  CHECK(sight.is_lost());
  CHECK_FALSE(sight.looked(false, start + 2300ms));  // it was told
  CHECK(sight.next() == start + 3300ms);
  CHECK_FALSE(sight.looked(true, start + 3300ms));
  CHECK_FALSE(sight.is_lost());
  CHECK(sight.next() == Instant::max());
}

TEST_CASE("kafka: one that is found at once was never lost") {
  Sight sight;
  (void)sight.add(transport, "refused", start);
  CHECK_FALSE(sight.looked(true, start + 300ms));
  CHECK(sight.next() == Instant::max());
}

TEST_CASE("kafka: that all are down is told at once, and looked after") {
  Sight sight;
  CHECK(sight.add(all_down, "1/1 brokers are down", start));
  CHECK(sight.is_lost());
  CHECK(sight.next() == start + 1s);
  sight.clear();
  CHECK_FALSE(sight.is_lost());
  CHECK(sight.next() == Instant::max());
}
