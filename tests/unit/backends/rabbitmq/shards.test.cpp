// SPDX-License-Identifier: MIT
#include <omnibus/backends/rabbitmq/shards.hpp>

#include "catch.hpp"
#include "unit/backends/rabbitmq/tools.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::rabbitmq;
using namespace omnibus::unit;

namespace {

using State = Shard::State;

const std::string opening =
    "AMQP_CHANNEL_OPEN_METHOD AMQP_BASIC_QOS_METHOD AMQP_BASIC_CONSUME_METHOD ";
const std::string ack_frame = "AMQP_BASIC_ACK_METHOD ";
const std::string barrier = "AMQP_BASIC_CONSUME_METHOD ";
const std::string close_frame = "AMQP_CHANNEL_CLOSE_METHOD ";

/// A dispatcher that is asked for partitions back.
struct FakeIntake final : Intake {
  bool nothing_left = true;
  std::vector<std::int32_t> revoked;
  std::size_t room() const noexcept override { return 1; }
  void deliver(const Incoming&) override {}
  bool revoke(std::int32_t partition, Instant) override {
    revoked.push_back(partition);
    return nothing_left;
  }
  void report(const Error*) override {}
};

/// Three queues on the channels 5, 6 and 7; the last of them is held, where that is wanted.
struct ShardsBench {
  Shards shards;
  std::string out;

  explicit ShardsBench(bool held = false)
      : shards{{.topic = "orders",
                .queues = {"a", "b", "c"},
                .held = held ? "c" : "",
                .prefetch = 7},  // two acknowledgements are worth a frame
               5} {}

  Shard& shard(int index) { return **(shards.begin() + index); }
  std::string sent() { return methods_in(std::exchange(out, {})); }
  /// All queues are consumed, the held one too.
  void consume() {
    shards.open(out, {});
    if (shards.held() != nullptr) shards.held()->open(out);
    for (const auto& each : shards) each->opened();
    out.clear();
  }
  std::string acknowledge(bool whatever = false) {
    shards.acknowledge(out, whatever);
    return sent();
  }
  /// Deliveries of a shard are handled.
  void handle(Shard& one, std::uint64_t tag) {
    one.took();
    one.settle(tag, true);
  }

  Held* deliver_comes(Shard& one, std::uint64_t tag, bool redelivered = false) {
    amqp_basic_deliver_t deliver{};
    deliver.delivery_tag = tag;
    deliver.redelivered = redelivered;
    amqp_frame_t frame{};
    frame.frame_type = AMQP_FRAME_METHOD;
    frame.payload.method = {AMQP_BASIC_DELIVER_METHOD, &deliver};
    return shards.assemble(one, frame);
  }
  Held* header_comes(Shard& one, std::uint64_t body_size) {
    amqp_basic_properties_t properties{};
    amqp_frame_t frame{};
    frame.frame_type = AMQP_FRAME_HEADER;
    frame.payload.properties.class_id = AMQP_BASIC_CLASS;
    frame.payload.properties.body_size = body_size;
    frame.payload.properties.decoded = &properties;
    return shards.assemble(one, frame);
  }
  Held* body_comes(Shard& one, std::string_view part) {
    amqp_frame_t frame{};
    frame.frame_type = AMQP_FRAME_BODY;
    frame.payload.body_fragment = bytes_of(part);
    return shards.assemble(one, frame);
  }
  /// A whole message.
  Held& message(Shard& one, std::string_view payload) {
    (void)deliver_comes(one, 1);
    (void)header_comes(one, payload.size());
    Held* held = body_comes(one, payload);
    REQUIRE(held != nullptr);
    return *held;
  }
};

}  // namespace

TEST_CASE("rabbitmq: each queue of a subscription is a shard, on a channel of its own") {
  ShardsBench bench;
  for (int i = 0; i < 3; ++i) {
    CHECK(bench.shard(i).index() == i);
    CHECK(bench.shard(i).channel() == 5 + i);
  }
  CHECK(bench.shard(2).queue() == "c");
  CHECK(bench.shards.held() == nullptr);
  CHECK(ShardsBench{true}.shards.held()->queue() == "c");
}

TEST_CASE("rabbitmq: a shard is found by its channel while that is open") {
  ShardsBench bench;
  CHECK(bench.shards.on_channel(5) == nullptr);
  bench.consume();
  CHECK(bench.shards.on_channel(5) == &bench.shard(0));
  CHECK(bench.shards.on_channel(7) == &bench.shard(2));
  for (const std::uint16_t other : std::initializer_list<std::uint16_t>{0, 4, 8, 65'535}) {
    CHECK(bench.shards.on_channel(other) == nullptr);
  }
  bench.shard(0).closed();
  CHECK(bench.shards.on_channel(5) == nullptr);
}

// ── messages ─────────────────────────────────────────────────────────────────────────────────────

TEST_CASE("rabbitmq: a message is put together of what comes in on a channel") {
  ShardsBench bench;
  Shard& shard = bench.shard(1);
  shard.closed();  // once before: generation 1
  CHECK(bench.deliver_comes(shard, 9, true) == nullptr);
  CHECK(bench.header_comes(shard, 7) == nullptr);
  CHECK(bench.body_comes(shard, "pay") == nullptr);
  Held* held = bench.body_comes(shard, "load");
  REQUIRE(held != nullptr);
  CHECK(held->received.message().payload == "payload");
  CHECK(held->shard == &shard);
  CHECK(held->tag == 9);
  CHECK(held->redelivered);
  CHECK(held->generation == 1);
  CHECK(shard.arriving == nullptr);
}

TEST_CASE("rabbitmq: a message without a body is whole with its header") {
  ShardsBench bench;
  (void)bench.deliver_comes(bench.shard(0), 1);
  const Held* held = bench.header_comes(bench.shard(0), 0);
  REQUIRE(held != nullptr);
  CHECK(held->received.message().payload.empty());
}

TEST_CASE("rabbitmq: messages come in on several channels at a time") {
  ShardsBench bench;
  for (int i = 0; i < 2; ++i) (void)bench.deliver_comes(bench.shard(i), 1);
  for (int i = 0; i < 2; ++i) (void)bench.header_comes(bench.shard(i), 2);
  CHECK(bench.body_comes(bench.shard(0), "a") == nullptr);
  CHECK(bench.body_comes(bench.shard(1), "bb")->received.message().payload == "bb");
  CHECK(bench.body_comes(bench.shard(0), "a")->received.message().payload == "aa");
}

TEST_CASE("rabbitmq: what belongs to no message is passed over") {
  ShardsBench bench;
  CHECK(bench.header_comes(bench.shard(0), 0) == nullptr);
  CHECK(bench.body_comes(bench.shard(0), "x") == nullptr);
  (void)bench.deliver_comes(bench.shard(0), 1);
  amqp_frame_t other{};
  other.frame_type = AMQP_FRAME_METHOD;
  other.payload.method.id = AMQP_BASIC_CONSUME_OK_METHOD;
  CHECK(bench.shards.assemble(bench.shard(0), other) == nullptr);
  CHECK(bench.header_comes(bench.shard(0), 0) != nullptr);
}

TEST_CASE("rabbitmq: messages wait for room in the order in which they came") {
  ShardsBench bench;
  CHECK_FALSE(bench.shards.any_waiting());
  Held& first = bench.message(bench.shard(1), "first");
  Held& other = bench.message(bench.shard(0), "second");
  const std::size_t all = first.received.size() + other.received.size();
  bench.shards.wait_for_room(first);
  bench.shards.wait_for_room(other);
  CHECK(bench.shards.waiting_bytes() == all);
  CHECK(&bench.shards.next_waiting() == &first);
  CHECK(bench.shards.waiting_bytes() == other.received.size());
  CHECK(&bench.shards.next_waiting() == &other);
  CHECK_FALSE(bench.shards.any_waiting());
  CHECK(bench.shards.waiting_bytes() == 0);
}

TEST_CASE("rabbitmq: what waits of one shard is dropped, the others' stays in order") {
  ShardsBench bench;
  std::vector<Held*> stay;
  for (const int index : {0, 1, 0, 1, 2}) {
    Held& held = bench.message(bench.shard(index), "payload");
    bench.shards.wait_for_room(held);
    if (index != 0) stay.push_back(&held);
  }
  bench.shards.drop_waiting(bench.shard(0));
  CHECK(bench.shards.waiting_bytes() == 3 * stay[0]->received.size());
  for (const Held* each : stay) CHECK(&bench.shards.next_waiting() == each);
  CHECK_FALSE(bench.shards.any_waiting());
}

// ── all together ─────────────────────────────────────────────────────────────────────────────────

TEST_CASE("rabbitmq: all queues are opened once, and what was held is left") {
  ShardsBench bench{true};
  CHECK(bench.shards.all_closed());
  bench.shards.open(bench.out, {});
  CHECK(bench.sent() == opening + opening);
  CHECK(bench.shards.held()->state() == State::closed);
  CHECK_FALSE(bench.shards.all_closed());
  bench.shards.open(bench.out, {});
  CHECK(bench.sent() == "");
  bench.shard(1).closed();
  bench.shards.open(bench.out, {});
  CHECK(bench.sent() == opening);
}

TEST_CASE("rabbitmq: registered is who consumes what was held, or else every other queue") {
  ShardsBench bench{true};
  bench.shards.open(bench.out, {});
  CHECK_FALSE(bench.shards.registered(false));
  bench.shard(0).opened();
  CHECK_FALSE(bench.shards.registered(false));
  bench.shard(1).opened();
  CHECK(bench.shards.registered(false));
  CHECK_FALSE(bench.shards.registered(true));
  bench.shards.held()->open(bench.out);
  bench.shards.held()->opened();
  CHECK(bench.shards.registered(true));
}

TEST_CASE("rabbitmq: acknowledgements go out when there are many of a shard, or when asked for") {
  ShardsBench bench;
  bench.consume();
  bench.handle(bench.shard(0), 1);
  bench.handle(bench.shard(1), 1);
  CHECK(bench.acknowledge() == "");
  CHECK(bench.shards.any_unsent());
  bench.handle(bench.shard(1), 2);
  CHECK(bench.acknowledge() == ack_frame);
  CHECK(bench.acknowledge(true) == ack_frame);
  CHECK_FALSE(bench.shards.any_unsent());
  bench.handle(bench.shard(2), 1);
  bench.shard(2).drain();
  CHECK(bench.acknowledge(true) == ack_frame);  // it still counts
}

TEST_CASE("rabbitmq: nothing is acknowledged on a channel that is about to close") {
  ShardsBench bench;
  bench.consume();
  bench.shard(0).took();
  bench.shards.finish(bench.out, true);
  bench.out.clear();
  bench.shard(0).settle(1, true);
  CHECK(bench.acknowledge(true) == "");
  CHECK_FALSE(bench.shards.any_unsent());
}

TEST_CASE("rabbitmq: a shard drains until nothing of it is handled or on its way elsewhere") {
  ShardsBench bench;
  FakeIntake intake;
  bench.consume();
  bench.shard(1).drain();
  bench.shard(1).forwarding = 2;
  bench.shard(2).forwarding = 1;
  CHECK(bench.shards.forwarding() == 3);
  bench.shards.go_on_draining(bench.out, intake);
  bench.shard(1).forwarding = 0;
  intake.nothing_left = false;
  bench.shards.go_on_draining(bench.out, intake);
  CHECK(bench.shard(1).state() == State::draining);
  intake.nothing_left = true;
  bench.shards.go_on_draining(bench.out, intake);
  CHECK(bench.shard(1).state() == State::finishing);
  CHECK(bench.shards.any_finishing());
  CHECK(bench.shard(2).state() == State::consuming);
  CHECK(intake.revoked == std::vector<std::int32_t>{1, 1, 1});
  CHECK(bench.sent() == barrier);
}

TEST_CASE("rabbitmq: all that is open finishes, in haste without waiting for the broker") {
  const bool in_haste = GENERATE(false, true);
  ShardsBench bench;
  bench.consume();
  bench.shard(0).closed();
  bench.shard(1).drain();
  bench.shards.finish(bench.out, in_haste);
  CHECK(bench.sent() == (in_haste ? close_frame + close_frame : barrier + barrier));
  CHECK(bench.shards.any_finishing() != in_haste);
  bench.shards.finish(bench.out, in_haste);  // goes on by answers alone
  CHECK(bench.sent() == "");
}

TEST_CASE("rabbitmq: who has more than a fair share gives up the rest, but not what was held") {
  ShardsBench bench{true};
  bench.consume();
  for (const auto& each : bench.shards) each->took();
  bench.shards.wait_for_room(bench.message(bench.shard(0), "stays"));
  bench.shards.wait_for_room(bench.message(bench.shard(1), "goes"));
  bench.shards.hand_over(1);
  CHECK(bench.shard(1).state() == State::consuming);
  bench.shards.hand_over(2);
  CHECK(bench.shard(0).state() == State::consuming);
  CHECK(bench.shard(1).state() == State::draining);
  CHECK(bench.shards.held()->state() == State::consuming);
  CHECK(bench.shards.next_waiting().received.message().payload == "stays");
  CHECK_FALSE(bench.shards.any_waiting());
  bench.shards.hand_over(50);  // a share is never none
  CHECK(bench.shard(0).state() == State::consuming);
}

TEST_CASE("rabbitmq: shares are rounded up, and count what a member is the active consumer of") {
  ShardsBench bench;
  bench.consume();
  for (const int index : {0, 2}) bench.shard(index).took();
  bench.shards.hand_over(2);  // two of three each, at most
  for (const auto& each : bench.shards) CHECK(each->state() == State::consuming);
}
