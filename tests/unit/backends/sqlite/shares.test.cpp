// SPDX-License-Identifier: MIT
#include <omnibus/backends/sqlite/shares.hpp>

#include "catch.hpp"

namespace {

using namespace omnibus::sqlite;

constexpr std::int64_t now = 100;

std::vector<ShareRow> rows(std::initializer_list<std::int64_t> owners, std::int64_t until = now + 10) {
  std::vector<ShareRow> all;
  for (const std::int64_t owner : owners) {
    all.push_back({static_cast<std::int32_t>(all.size()), 1, 1, owner, 1, until});
  }
  return all;
}
using Indexes = std::vector<std::size_t>;
using Numbers = std::vector<std::int32_t>;

TEST_CASE("all shards are somebody's, and shares differ by one at most") {
  for (std::size_t shards : {1u, 4u, 8u, 13u}) {
    for (std::size_t members : {1u, 2u, 3u, 8u, 20u}) {
      std::size_t sum = 0;
      for (std::size_t rank = 0; rank < members; ++rank) {
        const std::size_t share = fair_share(shards, members, rank);
        CHECK(share >= shards / members);
        CHECK(share <= shards / members + 1);
        sum += share;
      }
      CHECK(sum == shards);
    }
  }
  CHECK(fair_share(8, 0, 0) == 0);
  CHECK(fair_share(8, 2, 2) == 0);
}

TEST_CASE("a member takes what is free, up to its share") {
  const Claims claims = claims_of(1, rows({0, 2, 0, 0}), 2, now);
  CHECK(claims.take == Indexes{0, 2});
  CHECK(claims.give_up.empty());
  CHECK_FALSE(claims.waits);
}

TEST_CASE("a member waits for what others have to give up, and takes nothing of theirs") {
  const Claims claims = claims_of(1, rows({2, 2, 2, 2}), 2, now);
  CHECK(claims.take.empty());
  CHECK(claims.waits);
}

TEST_CASE("a lease that has ended is free") {
  CHECK(claims_of(1, rows({2, 2}, now), 2, now).take.empty());
  CHECK(claims_of(1, rows({2, 2}, now - 1), 2, now).take == Indexes{0, 1});
}

TEST_CASE("a member gives up what is beyond its share, and keeps what it has had for longest") {
  const Claims claims = claims_of(1, rows({1, 1, 1, 1}), 2, now);
  CHECK(claims.give_up == Numbers{3, 2});
  CHECK(claims.take.empty());
  CHECK_FALSE(claims.waits);
}

}  // namespace
