// SPDX-License-Identifier: MIT
#include <omnibus/backends/redis/merge.hpp>

#include <string>

#include "catch.hpp"
#include "tools.hpp"

using namespace omnibus;
using namespace omnibus::redis;
using namespace omnibus::unit;

TEST_CASE("redis: entries of several streams are handed on by their ids") {
  HeldPool pool;
  Merge merge;
  const auto add = [&](std::size_t shard, std::uint64_t major) {
    merge.add(held_of(pool, shard, {major, 0}));
  };
  const auto taken = [&] {
    std::string text;
    merge.take([&](Held& held) {
      text.append(std::to_string(held.entry.id().major)).append(" ");
      pool.give_back(held);
    });
    return text;
  };
  CHECK(taken().empty());
  for (const std::uint64_t id : {1u, 4u, 9u}) add(0, id);
  for (const std::uint64_t id : {2u, 3u}) add(2, id);
  for (const std::uint64_t id : {5u, 8u}) add(1, id);
  CHECK(taken() == "1 2 3 4 5 8 9 ");
  CHECK(merge.empty());
  add(3, 7);
  CHECK(taken() == "7 ");
}
