// SPDX-License-Identifier: MIT
#include <omnibus/backends/rabbitmq/calls.hpp>

#include "catch.hpp"
#include "unit/backends/rabbitmq/tools.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::rabbitmq;
using namespace omnibus::unit;

namespace {

/// A channel, what was sent on it, and the answers as text.
struct CallsBench {
  Calls calls{7};
  std::string out;
  std::vector<std::string> answers;
  Error problem;

  Calls::Answer answer(const std::string& name) {
    return [this, name](const Error* failure, QueueCounts counts) {
      if (failure != nullptr) problem = *failure;
      answers.push_back(name + (failure != nullptr
                                    ? " failed"
                                    : " " + std::to_string(counts.messages) + " " +
                                          std::to_string(counts.consumers)));
    };
  }
  void comes(amqp_method_number_t id, void* decoded = nullptr) {
    amqp_method_t method{};
    method.id = id;
    method.decoded = decoded;
    calls.handle(out, method);
  }
  void close_comes(std::uint16_t code, std::string_view text) {
    amqp_channel_close_t close{};
    close.reply_code = code;
    close.reply_text = bytes_of(text);
    comes(AMQP_CHANNEL_CLOSE_METHOD, &close);
  }
  std::string sent() { return methods_in(std::exchange(out, {})); }
};

DeclareQueue passive_queue(const std::string& name) {
  DeclareQueue queue{name};
  queue.passive = true;
  return queue;
}

}  // namespace

TEST_CASE("rabbitmq: declarations are read back by the library as they were meant") {
  CallsBench bench;
  const Topology topology{DeclareExchange{"orders", "direct", "else"},
                          DeclareExchange{"plain", "fanout"},
                          DeclareQueue{"orders/billing/0",
                                       {{"x-number", std::int64_t{-5'000'000'000}},
                                        {"x-text", std::string{"quorum"}},
                                        {"x-true", true},
                                        {"x-false", false}}},
                          passive_queue("there"),
                          Bind{"orders/billing/0", "orders", "3"}};
  bench.calls.declare(bench.out, topology, "declare", {});
  const std::vector<Frame> frames = frames_of(bench.out);
  REQUIRE(frames.size() == 5);
  for (const Frame& frame : frames) CHECK(frame.channel == 7);
  Pool pool;
  const auto& exchange =
      pool.method<amqp_exchange_declare_t>(frames[0], AMQP_EXCHANGE_DECLARE_METHOD);
  CHECK(view_of(exchange.exchange) == "orders");
  CHECK(view_of(exchange.type) == "direct");
  CHECK(exchange.durable == 1);
  CHECK(exchange.passive == 0);
  CHECK(exchange.auto_delete == 0);
  CHECK(exchange.internal == 0);
  CHECK(exchange.nowait == 0);
  REQUIRE(exchange.arguments.num_entries == 1);
  CHECK(view_of(exchange.arguments.entries[0].key) == "alternate-exchange");
  CHECK(exchange.arguments.entries[0].value.kind == AMQP_FIELD_KIND_UTF8);
  CHECK(view_of(exchange.arguments.entries[0].value.value.bytes) == "else");
  const auto& plain = pool.method<amqp_exchange_declare_t>(frames[1], AMQP_EXCHANGE_DECLARE_METHOD);
  CHECK(view_of(plain.type) == "fanout");
  CHECK(plain.arguments.num_entries == 0);

  const auto& queue = pool.method<amqp_queue_declare_t>(frames[2], AMQP_QUEUE_DECLARE_METHOD);
  CHECK(view_of(queue.queue) == "orders/billing/0");
  CHECK(queue.durable == 1);
  CHECK(queue.passive == 0);
  CHECK(queue.exclusive == 0);
  CHECK(queue.auto_delete == 0);
  CHECK(queue.nowait == 0);
  REQUIRE(queue.arguments.num_entries == 4);
  const amqp_table_entry_t* entries = queue.arguments.entries;
  CHECK(view_of(entries[0].key) == "x-number");
  CHECK(entries[0].value.kind == AMQP_FIELD_KIND_I64);
  CHECK(entries[0].value.value.i64 == -5'000'000'000);
  CHECK(entries[1].value.kind == AMQP_FIELD_KIND_UTF8);
  CHECK(view_of(entries[1].value.value.bytes) == "quorum");
  CHECK(entries[2].value.kind == AMQP_FIELD_KIND_BOOLEAN);
  CHECK(entries[2].value.value.boolean == 1);
  CHECK(entries[3].value.value.boolean == 0);
  CHECK(pool.method<amqp_queue_declare_t>(frames[3], AMQP_QUEUE_DECLARE_METHOD).passive == 1);

  const auto& bind = pool.method<amqp_queue_bind_t>(frames[4], AMQP_QUEUE_BIND_METHOD);
  CHECK(view_of(bind.queue) == "orders/billing/0");
  CHECK(view_of(bind.exchange) == "orders");
  CHECK(view_of(bind.routing_key) == "3");
  CHECK(bind.nowait == 0);
}

TEST_CASE("rabbitmq: every declaration of ours can be sent, with the longest names that fit") {
  Shape shape;
  shape.shards = 2;
  shape.hold = shape.log = true;
  const std::string name(100, 'n');
  for (const Topology& topology : {topic_topology(name, shape), group_topology(name, name, shape),
                                   later_topology(name + "/" + name, name, 500'000s)}) {
    CallsBench bench;
    bench.calls.declare(bench.out, topology, "declare", {});
    const std::vector<Frame> frames = frames_of(bench.out);
    CHECK(frames.size() == topology.size());
    for (const Frame& frame : frames) CHECK(frame.payload.size() > 4);  // else it could not be encoded
  }
}

TEST_CASE("rabbitmq: answers come in the order of the questions") {
  CallsBench bench;
  bench.calls.open(bench.out);
  bench.calls.declare(bench.out, {DeclareExchange{"e", "direct"}, passive_queue("q")}, "first",
                      bench.answer("first"));
  bench.calls.consume(bench.out, "q", bench.answer("consume"));
  bench.calls.declare(bench.out, {passive_queue("q"), Bind{"q", "e", ""}}, "second",
                      bench.answer("second"));
  const std::vector<Frame> frames = frames_of(bench.out);
  Pool pool;
  const auto& consume = pool.method<amqp_basic_consume_t>(frames.at(3), AMQP_BASIC_CONSUME_METHOD);
  CHECK(view_of(consume.queue) == "q");
  CHECK(consume.no_ack == 1);
  CHECK(bench.sent() ==
        "AMQP_CHANNEL_OPEN_METHOD AMQP_EXCHANGE_DECLARE_METHOD AMQP_QUEUE_DECLARE_METHOD "
        "AMQP_BASIC_CONSUME_METHOD AMQP_QUEUE_DECLARE_METHOD AMQP_QUEUE_BIND_METHOD ");
  amqp_queue_declare_ok_t ok{};
  ok.message_count = 5;
  ok.consumer_count = 2;
  bench.comes(AMQP_CHANNEL_OPEN_OK_METHOD);
  bench.comes(AMQP_EXCHANGE_DECLARE_OK_METHOD);
  CHECK(bench.answers.empty());
  bench.comes(AMQP_QUEUE_DECLARE_OK_METHOD, &ok);
  CHECK(bench.answers == std::vector<std::string>{"first 5 2"});
  bench.comes(AMQP_BASIC_CANCEL_OK_METHOD);  // nothing that was asked
  bench.comes(AMQP_BASIC_CONSUME_OK_METHOD);
  bench.comes(AMQP_QUEUE_DECLARE_OK_METHOD, &ok);
  CHECK(bench.answers.size() == 2);
  bench.comes(AMQP_QUEUE_BIND_OK_METHOD);
  CHECK(bench.answers == std::vector<std::string>{"first 5 2", "consume 0 0", "second 0 0"});
  bench.comes(AMQP_QUEUE_BIND_OK_METHOD);  // one too many
  CHECK(bench.answers.size() == 3);
  CHECK(bench.out.empty());
}

TEST_CASE("rabbitmq: a closed channel fails all that was asked, and is opened again") {
  CallsBench bench;
  bench.calls.open(bench.out);
  bench.comes(AMQP_CHANNEL_OPEN_OK_METHOD);
  bench.calls.declare(bench.out, {passive_queue("a"), passive_queue("b")}, "declare orders",
                      bench.answer("first"));
  bench.calls.consume(bench.out, "q", bench.answer("second"));
  (void)bench.sent();
  bench.close_comes(404, "NOT_FOUND - no queue 'a' in vhost '/'");
  CHECK(bench.answers == std::vector<std::string>{"first failed", "second failed"});
  CHECK(bench.problem.code == Errc::not_found);
  CHECK(bench.problem.operation == "declare orders");
  CHECK(bench.problem.context == "NOT_FOUND - no queue 'a' in vhost '/'");
  CHECK(bench.sent() == "AMQP_CHANNEL_CLOSE_OK_METHOD AMQP_CHANNEL_OPEN_METHOD ");

  bench.calls.consume(bench.out, "q", bench.answer("third"));
  bench.comes(AMQP_CHANNEL_OPEN_OK_METHOD);
  CHECK(bench.answers.size() == 2);
  bench.comes(AMQP_BASIC_CONSUME_OK_METHOD);
  CHECK(bench.answers.back() == "third 0 0");
}

TEST_CASE("rabbitmq: who hears of a failure may ask again at once") {
  CallsBench bench;
  bench.calls.declare(bench.out, {passive_queue("a")}, "first",
                      [&](const Error* problem, QueueCounts) {
                        CHECK(problem != nullptr);
                        bench.calls.declare(bench.out, {passive_queue("b")}, "second",
                                            bench.answer("second"));
                      });
  (void)bench.sent();
  bench.close_comes(406, "PRECONDITION_FAILED");
  CHECK(bench.sent() == "AMQP_CHANNEL_CLOSE_OK_METHOD AMQP_CHANNEL_OPEN_METHOD "
                        "AMQP_QUEUE_DECLARE_METHOD ");
  bench.comes(AMQP_CHANNEL_OPEN_OK_METHOD);
  CHECK(bench.answers.empty());
  bench.close_comes(404, "NOT_FOUND");
  CHECK(bench.answers == std::vector<std::string>{"second failed"});
  CHECK(bench.problem.operation == "second");
}

TEST_CASE("rabbitmq: a new connection forgets what was asked on the old one") {
  CallsBench bench;
  bench.calls.consume(bench.out, "q", bench.answer("old"));
  bench.calls.open(bench.out);
  bench.comes(AMQP_CHANNEL_OPEN_OK_METHOD);
  bench.comes(AMQP_BASIC_CONSUME_OK_METHOD);
  CHECK(bench.answers.empty());
}

TEST_CASE("rabbitmq: a lock is a queue that one connection alone can have, until it is unlocked") {
  CallsBench bench;
  bench.calls.declare(bench.out, {Lock{"orders"}, Unlock{"orders"}}, "declare",
                      bench.answer("both"));
  const std::vector<Frame> frames = frames_of(bench.out);
  REQUIRE(frames.size() == 2);
  Pool pool;
  const auto& lock = pool.method<amqp_queue_declare_t>(frames[0], AMQP_QUEUE_DECLARE_METHOD);
  const auto& unlock = pool.method<amqp_queue_delete_t>(frames[1], AMQP_QUEUE_DELETE_METHOD);
  CHECK(lock.exclusive == 1);
  CHECK(lock.passive == 0);
  CHECK(view_of(lock.queue) != "orders");  // a queue may be called so
  CHECK(view_of(lock.queue) == view_of(unlock.queue));
  CHECK(unlock.nowait == 0);
  amqp_queue_declare_ok_t ok{};
  bench.comes(AMQP_QUEUE_DECLARE_OK_METHOD, &ok);
  CHECK(bench.answers.empty());
  bench.comes(AMQP_QUEUE_DELETE_OK_METHOD);
  CHECK(bench.answers == std::vector<std::string>{"both 0 0"});
}

TEST_CASE("rabbitmq: who is locked out may try again") {
  CallsBench bench;
  bench.calls.declare(bench.out, {Lock{"orders"}, passive_queue("q"), Unlock{"orders"}}, "declare",
                      bench.answer("all"));
  bench.close_comes(405, "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue");
  CHECK(bench.answers == std::vector<std::string>{"all failed"});
  CHECK(bench.problem.code == Errc::unavailable);
  CHECK(bench.problem.retryable);
}
