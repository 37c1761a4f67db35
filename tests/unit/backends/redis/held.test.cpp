// SPDX-License-Identifier: MIT
#include <omnibus/backends/redis/held.hpp>

#include <set>

#include "catch.hpp"

using namespace omnibus::redis;

TEST_CASE("redis: memory of messages is used again") {
  HeldPool pool;
  std::set<Held*> taken;
  for (int i = 0; i < 200; ++i) taken.insert(&pool.take());
  CHECK(taken.size() == 200);
  for (Held* each : taken) pool.give_back(*each);
  for (int i = 0; i < 200; ++i) CHECK(taken.contains(&pool.take()));
}
