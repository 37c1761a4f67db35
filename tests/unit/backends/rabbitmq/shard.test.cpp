// SPDX-License-Identifier: MIT
#include <omnibus/backends/rabbitmq/shard.hpp>

#include <set>

#include "catch.hpp"
#include "unit/backends/rabbitmq/tools.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::rabbitmq;
using namespace omnibus::unit;

namespace {

const std::string second = "AMQP_BASIC_CONSUME_METHOD ";
const std::string cancel = "AMQP_BASIC_CANCEL_METHOD ";
const std::string close_it = "AMQP_CHANNEL_CLOSE_METHOD ";
const std::string ack = "AMQP_BASIC_ACK_METHOD ";

/// A shard that consumes.
struct ShardBench {
  Shard shard{2, 9, "orders/billing/2", 256};
  std::string out;

  ShardBench() {
    shard.open(out);
    shard.opened();
    out.clear();
  }
  void take(int count) {
    for (int i = 0; i < count; ++i) shard.took();
  }
  std::string sent() { return methods_in(std::exchange(out, {})); }
  std::string finish() {
    shard.finish(out);
    return sent();
  }
};

/// The entry point that basic.consume asks for; nullptr where it asks for none.
const amqp_field_value_t* offset_in(Pool& pool, const std::vector<Frame>& frames) {
  const auto& consume = pool.method<amqp_basic_consume_t>(frames.at(2), AMQP_BASIC_CONSUME_METHOD);
  if (consume.arguments.num_entries == 0) return nullptr;
  CHECK(view_of(consume.arguments.entries[0].key) == "x-stream-offset");
  return &consume.arguments.entries[0].value;
}

}  // namespace

TEST_CASE("rabbitmq: a shard opens its channel, bounds what is under way, and consumes") {
  Shard shard{2, 9, "orders/billing/2", 256};
  CHECK(shard.index() == 2);
  CHECK(shard.channel() == 9);
  CHECK(shard.state() == Shard::State::closed);
  CHECK_FALSE(shard.takes());
  std::string out;
  shard.open(out);
  CHECK(shard.state() == Shard::State::opening);
  CHECK(shard.takes());
  CHECK_FALSE(shard.active());
  const std::vector<Frame> frames = frames_of(out);
  REQUIRE(frames.size() == 3);
  for (const Frame& frame : frames) CHECK(frame.channel == 9);
  Pool pool;
  CHECK(method_in(frames[0]) == AMQP_CHANNEL_OPEN_METHOD);
  CHECK(pool.method<amqp_basic_qos_t>(frames[1], AMQP_BASIC_QOS_METHOD).prefetch_count == 256);
  const auto& consume = pool.method<amqp_basic_consume_t>(frames[2], AMQP_BASIC_CONSUME_METHOD);
  CHECK(view_of(consume.queue) == "orders/billing/2");
  CHECK(view_of(consume.consumer_tag).empty());
  CHECK(consume.no_ack == 0);
  CHECK(consume.exclusive == 0);
  CHECK(offset_in(pool, frames) == nullptr);
  shard.opened();
  CHECK(shard.state() == Shard::State::consuming);
  CHECK_FALSE(shard.active());
  shard.took();
  CHECK(shard.active());
}

TEST_CASE("rabbitmq: a stream is entered by name, by offset or by time") {
  Pool pool;
  const auto opened = [](const StreamOffset& from) {
    Shard shard{0, 1, "orders/log", 10};
    std::string out;
    shard.open(out, from);
    return frames_of(out);
  };
  const auto by_name = opened(std::string{"first"});
  REQUIRE(offset_in(pool, by_name) != nullptr);
  CHECK(offset_in(pool, by_name)->kind == AMQP_FIELD_KIND_UTF8);
  CHECK(view_of(offset_in(pool, by_name)->value.bytes) == "first");
  const auto by_offset = opened(std::int64_t{1} << 40);
  CHECK(offset_in(pool, by_offset)->kind == AMQP_FIELD_KIND_I64);
  CHECK(offset_in(pool, by_offset)->value.i64 == std::int64_t{1} << 40);
  const auto by_time = opened(Time{1'700'000'000s + 999ms});
  CHECK(offset_in(pool, by_time)->kind == AMQP_FIELD_KIND_TIMESTAMP);
  CHECK(offset_in(pool, by_time)->value.u64 == 1'700'000'000);
  CHECK(offset_in(pool, opened(Time{-5s}))->value.u64 == 0);
}

TEST_CASE("rabbitmq: what is settled is counted, and what is done is acknowledged") {
  ShardBench bench;
  bench.take(3);
  CHECK(bench.shard.unsettled() == 3);
  bench.shard.settle(1, true);
  bench.shard.settle(2, false);  // given back: never acknowledged
  bench.shard.settle(3, true);
  CHECK(bench.shard.unsettled() == 0);
  CHECK(bench.shard.settled().unsent() == 2);
  CHECK(bench.shard.settled().first_open() == 2);
}

TEST_CASE("rabbitmq: a closed shard begins anew, and old deliveries are of another generation") {
  ShardBench bench;
  bench.take(2);
  bench.shard.settle(1, true);
  const std::uint64_t before = bench.shard.generation();
  bench.shard.closed();
  CHECK(bench.shard.generation() == before + 1);
  CHECK(bench.shard.state() == Shard::State::closed);
  CHECK(bench.shard.unsettled() == 0);
  CHECK(bench.shard.settled().unsent() == 0);
  CHECK(bench.shard.settled().first_open() == 1);
  bench.shard.open(bench.out);
  bench.shard.opened();
  CHECK_FALSE(bench.shard.active());
}

TEST_CASE("rabbitmq: a shard that drains takes nothing more") {
  ShardBench bench;
  bench.take(1);
  bench.shard.drain();
  CHECK(bench.shard.state() == Shard::State::draining);
  CHECK_FALSE(bench.shard.takes());
  CHECK_FALSE(bench.shard.active());
  bench.shard.settle(1, true);
  CHECK(bench.shard.unsettled() == 0);
}

TEST_CASE("rabbitmq: a shard finishes behind a barrier that comes after its acknowledgements") {
  ShardBench bench;
  bench.take(2);
  bench.shard.settle(1, true);
  CHECK(bench.finish() == ack + second);
  CHECK(bench.shard.state() == Shard::State::finishing);
  CHECK_FALSE(bench.shard.takes());
  CHECK(bench.finish() == cancel);  // consume-ok came
  CHECK(bench.finish() == close_it);   // cancel-ok came
  CHECK(bench.shard.state() == Shard::State::closing);
  bench.shard.closed();
  CHECK(bench.shard.state() == Shard::State::closed);
}

TEST_CASE("rabbitmq: many acknowledgements go out a few at a time, a barrier after each") {
  ShardBench bench;
  bench.take(61);
  for (std::uint64_t tag = 2; tag <= 60; tag += 2) bench.shard.settle(tag, true);  // 30, one by one
  std::string all;
  int turns = 0;
  std::size_t acks = 0;
  while (bench.shard.state() != Shard::State::closing && ++turns < 20) {
    const std::string sent = bench.finish();
    std::size_t here = 0;
    for (std::size_t at = 0; (at = sent.find(ack, at)) != std::string::npos; ++at) ++here;
    CHECK(here <= 12);
    acks += here;
    all += sent;
  }
  CHECK(acks == 30);
  CHECK(all.find(ack + close_it) == std::string::npos);  // those would be forgotten
  CHECK(all.ends_with(cancel + close_it));
  CHECK(all.find(second) != std::string::npos);
}

TEST_CASE("rabbitmq: a shard to which nothing can have come closes without a barrier") {
  Shard shard{0, 1, "q", 10};
  std::string out;
  shard.open(out);
  out.clear();
  shard.finish(out);
  CHECK(methods_in(out) == close_it);
  CHECK(shard.state() == Shard::State::closing);
}

TEST_CASE("rabbitmq: a barrier's consumer is another one, which the cancellation names") {
  ShardBench bench;
  bench.shard.finish(bench.out);
  bench.shard.finish(bench.out);
  Pool pool;
  const std::vector<Frame> frames = frames_of(bench.out);
  REQUIRE(frames.size() == 2);
  const auto& consume = pool.method<amqp_basic_consume_t>(frames[0], AMQP_BASIC_CONSUME_METHOD);
  const auto& gone = pool.method<amqp_basic_cancel_t>(frames[1], AMQP_BASIC_CANCEL_METHOD);
  CHECK(view_of(consume.queue) == "orders/billing/2");
  CHECK_FALSE(view_of(consume.consumer_tag).empty());
  CHECK(view_of(consume.consumer_tag) == view_of(gone.consumer_tag));
}

TEST_CASE("rabbitmq: an abandoned shard acknowledges and closes at once") {
  ShardBench bench;
  bench.take(2);
  bench.shard.settle(1, true);
  bench.shard.abandon(bench.out);
  CHECK(bench.sent() == ack + close_it);
  CHECK(bench.shard.state() == Shard::State::closing);
}

TEST_CASE("rabbitmq: acknowledgements are worth a frame well before the prefetch is used up") {
  for (const std::size_t prefetch : {1u, 2u, 3u, 4u, 10u, 255u, 256u, 2000u}) {
    const Shard shard{0, 1, "q", prefetch};
    CHECK(shard.batch() >= 1);
    CHECK(shard.batch() <= prefetch);
    CHECK(shard.batch() <= 64);
  }
}

TEST_CASE("rabbitmq: messages that are held have addresses of their own, used again") {
  HeldPool pool;
  std::set<Held*> held;
  for (int i = 0; i < 200; ++i) held.insert(&pool.take());
  CHECK(held.size() == 200);  // as tokens they are unique
  Held& one = **held.begin();
  one.received.begin({}, 3, false);
  (void)one.received.add("abc");
  pool.give_back(one);
  CHECK(&pool.take() == &one);
  for (Held* each : held) pool.give_back(*each);
  std::set<Held*> again;
  for (int i = 0; i < 200; ++i) again.insert(&pool.take());
  CHECK(again == held);
}
