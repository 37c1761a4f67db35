// SPDX-License-Identifier: MIT
#include <omnibus/backends/redis/agenda.hpp>

#include "catch.hpp"
#include "tools.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::redis;
using namespace omnibus::unit;

namespace {

const Instant now{1000s};

struct Bench {
  Group group{TopicKeys::of_topic("t", 1), "g", "O", "M", {}, 10s};
  Shards shards{"t", group};
  Basket basket;
  Agenda agenda;

  Bench() {
    shards.begin_poll(&basket);
    shards.take(0, "1:me");
    shards.recovered(0, "0-0");
    agenda.tended(now, 10s, false);
    agenda.moved(now);
    agenda.transacted(now);
  }
  void read(std::size_t count) {
    shards[0].got = count;
    agenda.read(shards, 256, now);
  }
  Instant due(bool bell_is_right = true) const { return agenda.turn_due(shards, true, bell_is_right); }
};

}  // namespace

TEST_CASE("redis: an idle member tends its lease, and no more") {
  Bench bench;
  CHECK(bench.due() == now + 1s);
  bench.agenda.tended(now, 2s, false);
  CHECK(bench.due() == now + 250ms);
  bench.agenda.tended(now, 10s, true);
  CHECK(bench.due() == now + 50ms);  // it waits for a share
}

TEST_CASE("redis: news are read at once when they are few, and gather when they are many") {
  Bench bench;
  bench.agenda.begin_reading(now);
  CHECK(bench.due() <= now);
  bench.read(1);
  CHECK(bench.due() == now + 1s);  // the bell will ring
  bench.read(10);
  CHECK(bench.due() > now);
  CHECK(bench.due() <= now + 1ms);
  bench.read(256);
  CHECK(bench.due() <= now);
  bench.basket.left = 0;
  CHECK(bench.due() == now + 1s);
}

TEST_CASE("redis: a bell that does not know our shards is not relied on") {
  Bench bench;
  CHECK(bench.due(false) == now + 5ms);
}

TEST_CASE("redis: acknowledgements wait a little, many do not") {
  Bench bench;
  Shard& shard = bench.shards[0];
  shard.done = {{1, 1}};
  CHECK(bench.due() == now + 10ms);
  shard.done.resize(64);
  CHECK(bench.due() <= now);
}

TEST_CASE("redis: what is put off, drained or recovering is seen to at once") {
  Bench bench;
  Shard& shard = bench.shards[0];
  shard.due = now + 20ms;
  CHECK(bench.due() == now + 20ms);
  shard.later.push_back({{1, 1}, 1, 1s});
  CHECK(bench.due() <= now);
  shard.later.clear();
  shard.drain();
  CHECK(bench.due() <= now);
  shard.take("2:me");
  CHECK(bench.due() <= now);
  bench.basket.left = 0;
  CHECK(bench.due() == now + 1s);
}

TEST_CASE("redis: after a refusal there is no hot loop") {
  Bench bench;
  bench.shards[0].take("2:me");
  bench.agenda.refused(now);
  CHECK(bench.due() == now + 500ms);
  CHECK_FALSE(bench.agenda.calm(now));
  CHECK_FALSE(bench.agenda.tend_due(now));
  CHECK(bench.agenda.calm(now + 500ms));
  CHECK(bench.agenda.turn_due(bench.shards, false, true) == now + 500ms);
}
