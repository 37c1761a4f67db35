// SPDX-License-Identifier: MIT
#include <omnibus/backends/redis/shard.hpp>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::redis;
using namespace omnibus::unit;

namespace {

Settlement ended(Settlement::Kind kind, std::uint32_t attempts = 1) { return {0, kind, 5s, attempts}; }

}  // namespace

TEST_CASE("redis: owners") {
  CHECK(is_owner("12:me", "me"));
  CHECK_FALSE(is_owner("12:you", "me"));
  CHECK_FALSE(is_owner("12:me2", "me"));
  CHECK_FALSE(is_owner("", "me"));
  CHECK_FALSE(is_owner("me", "me"));
}

TEST_CASE("redis: the life of a shard") {
  Shard shard{"s", "later"};
  CHECK_FALSE(shard.ours());
  shard.take("1:me");
  const auto generation = shard.generation();
  CHECK(shard.ours());
  CHECK(shard.reads());
  shard.recovered();
  CHECK(shard.state() == Shard::State::active);
  shard.took();
  shard.drain();
  CHECK_FALSE(shard.reads());
  CHECK_FALSE(shard.idle());
  shard.settle({1, 1}, ended(Settlement::Kind::done));
  CHECK(shard.idle());
  shard.give();
  shard.take_back();
  CHECK(shard.state() == Shard::State::draining);
  shard.forget();
  CHECK_FALSE(shard.ours());
  CHECK(shard.generation() > generation);
  CHECK(shard.done.empty());
}

TEST_CASE("redis: what has ended is kept until the server knows") {
  Shard shard{"s", "later"};
  shard.take("1:me");
  for (int i = 0; i < 3; ++i) shard.took();
  shard.settle({1, 0}, ended(Settlement::Kind::done));
  shard.settle({2, 0}, ended(Settlement::Kind::later, 3));
  shard.settle({3, 0}, ended(Settlement::Kind::release, 0));
  CHECK(shard.unsettled() == 0);
  CHECK(shard.returned.size() == 1);
  shard.acking.swap(shard.done);
  shard.done.push_back({4, 0});
  shard.acknowledged(false);
  CHECK(shard.done == std::vector<Position>{{1, 0}, {4, 0}});
  shard.acking.swap(shard.done);
  shard.acknowledged(true);
  CHECK(shard.done.empty());
  CHECK_FALSE(shard.idle());
  shard.latering.swap(shard.later);
  shard.postponed(false);
  REQUIRE(shard.later.size() == 1);
  CHECK(shard.later[0].attempts == 3);
  CHECK(shard.later[0].delay == 5s);
  shard.latering.swap(shard.later);
  shard.postponed(true);
  CHECK(shard.idle());
}

TEST_CASE("redis: only what is read can be looked through again") {
  Shard shard{"s", "later"};
  shard.recover_again();
  CHECK_FALSE(shard.ours());
  shard.take("1:me");
  shard.recovered();
  shard.recover_after = "5-0";
  shard.recover_again();
  CHECK(shard.state() == Shard::State::recovering);
  CHECK(shard.recover_after.empty());
}
