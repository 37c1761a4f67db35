// SPDX-License-Identifier: MIT
#include <omnibus/detail/smaller.hpp>

#include "catch.hpp"

using namespace omnibus::detail;

TEST_CASE("smaller and larger choose as std::min and std::max do") {
  STATIC_REQUIRE(smaller(1, 2) == 1);
  STATIC_REQUIRE(smaller(2, 1) == 1);
  STATIC_REQUIRE(larger(1, 2) == 2);
  STATIC_REQUIRE(larger(2, 1) == 2);
  STATIC_REQUIRE(smaller(3, 3) == 3);
}
