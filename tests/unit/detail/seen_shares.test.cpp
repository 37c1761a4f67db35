// SPDX-License-Identifier: MIT
#include <omnibus/detail/seen_shares.hpp>

#include "catch.hpp"

using omnibus::detail::SeenShares;

TEST_CASE("a partition is seen in its generation and in those before, not in later ones") {
  SeenShares shares;
  CHECK_FALSE(shares.has(0, 0));
  CHECK_FALSE(shares.has(3, 100));
  shares.add(3, 100);
  CHECK(shares.has(3, 100));
  CHECK(shares.has(3, 99));
  CHECK(shares.has(3, 100));
  CHECK_FALSE(shares.has(3, 101));
  CHECK_FALSE(shares.has(4, 100));
}

TEST_CASE("partitions that share a slot are told apart") {
  SeenShares shares;
  shares.add(1, 7);
  CHECK_FALSE(shares.has(65, 7));
  shares.add(65, 7);
  for (const int partition : {1, 65, 1, 65}) CHECK(shares.has(partition, 7));
  CHECK_FALSE(shares.has(129, 7));
  CHECK_FALSE(shares.has(1, 8));
}
