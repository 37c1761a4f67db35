// SPDX-License-Identifier: MIT
#include <omnibus/backends/redis/shards.hpp>

#include <string>

#include "catch.hpp"
#include "tools.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::redis;
using namespace omnibus::unit;

namespace {

struct ShardsBench {
  Group group{TopicKeys::of_topic("t", 2), "g", "owners", "members", {}, 10s};
  Shards shards{"t", group};
  Basket basket;

  ShardsBench() {
    shards.begin_poll(&basket);
    for (std::size_t i = 0; i < 2; ++i) {
      shards.take(i, "1:me");
      shards.recovered(i, "0-0");
    }
  }
  void arrive(std::size_t shard, std::uint64_t major) {
    shards.arrived(held_of(shards.pool(), shard, {major, 0}));
  }
  std::string got() const {
    std::string text;
    for (const Incoming& each : basket.got) {
      text.append(std::to_string(each.position.major)).append(" ");
    }
    return text;
  }
  void end(std::size_t which, Settlement::Kind kind) {
    shards.settle({basket.got[which].token, kind, {}, 0});
  }
};

}  // namespace

TEST_CASE("redis: a read is handed on when it is whole, by ids") {
  ShardsBench bench;
  bench.arrive(0, 3);
  bench.arrive(1, 2);
  CHECK(bench.got().empty());
  bench.shards.hand_on_read();
  CHECK(bench.got() == "2 3 ");
  CHECK(bench.basket.got[0].partition == 1);
  CHECK(bench.shards[0].last == Position{3, 0});
  CHECK(bench.shards.delivered() == 2);
  CHECK(bench.shards[0].unsettled() == 1);
  bench.end(1, Settlement::Kind::done);
  CHECK(bench.shards[0].done == std::vector<Position>{{3, 0}});
  CHECK(bench.shards.any_done());
}

TEST_CASE("redis: what does not fit waits, and nothing is read meanwhile") {
  ShardsBench bench;
  bench.basket.left = 1;
  bench.arrive(0, 1);
  bench.arrive(0, 2);
  bench.shards.hand_on_read();
  CHECK(bench.got() == "1 ");
  bench.basket.left = 10;
  CHECK(bench.shards.room() == 0);
  bench.shards.hand_on();
  CHECK(bench.got() == "1 2 ");
  CHECK(bench.shards.room() == 9);
}

TEST_CASE("redis: what comes of an old generation settles nothing") {
  ShardsBench bench;
  bench.arrive(0, 1);
  bench.shards.hand_on_read();
  bench.shards.forget(0);
  CHECK(bench.basket.revoked == std::vector<std::int32_t>{0});
  bench.shards.take(0, "2:me");
  bench.end(0, Settlement::Kind::done);
  CHECK(bench.shards[0].done.empty());
  CHECK(bench.shards[0].unsettled() == 0);
}

TEST_CASE("redis: what was never begun is given back with its count") {
  ShardsBench bench;
  bench.basket.left = 0;
  bench.arrive(0, 1);
  bench.shards.hand_on_read();
  bench.shards.drain(0);
  REQUIRE(bench.shards[0].returned.size() == 1);
  CHECK(bench.shards[0].returned[0].id == Position{1, 0});
  bench.arrive(0, 2);  // had been asked for before
  CHECK(bench.shards[0].returned.size() == 2);
  CHECK(bench.got().empty());
}

TEST_CASE("redis: what a picking member gives back stays aside, and its shard is read on") {
  ShardsBench bench;
  Shards picks{"t", bench.group, true};
  Basket basket;
  picks.begin_poll(&basket);
  picks.take(0, "1:me");
  picks.recovered(0, "0-0");
  picks.arrived(held_of(picks.pool(), 0, {1, 0}));
  picks.hand_on_read();
  REQUIRE(basket.got.size() == 1);
  picks.settle({basket.got[0].token, Settlement::Kind::release, {}, 0});
  picks.go_on_draining();
  CHECK(picks[0].state() == Shard::State::active);
  CHECK(picks[0].returned.size() == 1);
}

TEST_CASE("redis: a shard of which something was given back is handed over before it is read on") {
  ShardsBench bench;
  bench.arrive(0, 1);
  bench.shards.hand_on_read();
  bench.end(0, Settlement::Kind::release);
  bench.basket.left = 0;  // the subscription is stopping
  bench.shards.go_on_draining();
  CHECK(bench.shards[0].state() == Shard::State::active);
  bench.basket.left = 5;
  bench.shards.go_on_draining();
  CHECK(bench.shards[0].state() == Shard::State::draining);
  CHECK(bench.shards[1].state() == Shard::State::active);
}

TEST_CASE("redis: the set of shards has a version, and the bell watches those that are read") {
  ShardsBench bench;
  std::vector<Bell::Watched> watched;
  bench.shards.list_active(watched);
  CHECK(watched.size() == 2);
  const auto before = bench.shards.version();
  bench.shards.drain(1);
  CHECK(bench.shards.version() != before);
  bench.shards.list_active(watched);
  REQUIRE(watched.size() == 1);
  CHECK(*watched[0].stream == "{t}:0");
  CHECK(bench.shards.index_of("{t}:1") == 1);
  CHECK(bench.shards.index_of("{t}:2") == -1);
}
