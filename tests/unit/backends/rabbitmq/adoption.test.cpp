// SPDX-License-Identifier: MIT
#include <omnibus/backends/rabbitmq/adoption.hpp>

#include <optional>

#include "catch.hpp"
#include "unit/backends/rabbitmq/tools.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::rabbitmq;
using namespace omnibus::unit;

// Without a connection no marker comes back: the way from there on is tested with a broker.

namespace {

/// A member that looks for the queue. Its publisher is closed: it takes markers to nowhere.
struct Bench {
  Publisher publisher{{}, 1, 1};
  Adoption adoption{publisher};
  std::string out;
  std::optional<bool> found;

  Bench() { (void)publisher.close(Instant::min()); }
  void look() {
    adoption.look(out, "orders/held", [this](bool there) { found = there; });
  }
  void comes(amqp_method_number_t id, void* decoded) {
    amqp_method_t opened{};
    opened.id = AMQP_CHANNEL_OPEN_OK_METHOD;
    adoption.handle(out, opened);
    amqp_method_t method{};
    method.id = id;
    method.decoded = decoded;
    adoption.handle(out, method);
  }
  void find() {
    look();
    amqp_queue_declare_ok_t ok{};
    comes(AMQP_QUEUE_DECLARE_OK_METHOD, &ok);
  }
};

}  // namespace

TEST_CASE("rabbitmq: a member looks for what was held, and makes nothing") {
  Bench bench;
  bench.look();
  const std::vector<Frame> frames = frames_of(bench.out);
  REQUIRE(frames.size() == 2);
  CHECK(method_in(frames[0]) == AMQP_CHANNEL_OPEN_METHOD);
  Pool pool;
  const auto& declare = pool.method<amqp_queue_declare_t>(frames[1], AMQP_QUEUE_DECLARE_METHOD);
  CHECK(frames[1].channel == Adoption::channel);
  CHECK(view_of(declare.queue) == "orders/held");
  CHECK(declare.passive == 1);
  CHECK_FALSE(bench.found);
  CHECK_FALSE(bench.adoption.active());
}

TEST_CASE("rabbitmq: where nothing is held there is nothing to wait for") {
  Bench bench;
  bench.look();
  amqp_channel_close_t close{};
  close.reply_code = AMQP_NOT_FOUND;
  bench.comes(AMQP_CHANNEL_CLOSE_METHOD, &close);
  CHECK(bench.found == false);
  CHECK_FALSE(bench.adoption.active());
  CHECK(bench.adoption.due() == Instant::max());
}

TEST_CASE("rabbitmq: a marker that does not come is due again, until it is over") {
  Bench bench;
  const Instant before = std::chrono::steady_clock::now();
  bench.find();
  CHECK(bench.found == true);
  CHECK(bench.adoption.active());
  CHECK_FALSE(bench.adoption.reached());
  const Instant due = bench.adoption.due();
  CHECK(due > before);
  CHECK(due < before + 1min);
  bench.adoption.repeat(due);
  CHECK(bench.adoption.due() > due);
  bench.adoption.end();
  CHECK_FALSE(bench.adoption.active());
  CHECK(bench.adoption.due() == Instant::max());
}

TEST_CASE("rabbitmq: other members' markers are for no handler, and end nothing") {
  Bench bench;
  bench.find();
  const Message marker = message_of("another member's", "", "", "omnibus.marker");
  CHECK(bench.adoption.takes(marker.view(), 1));
  CHECK_FALSE(bench.adoption.reached());
  Shard shard{0, 3, "orders/held", 10};
  CHECK_FALSE(bench.adoption.complete(shard));
  CHECK(shard.settled().unsent() == 0);
  CHECK(bench.adoption.active());
}

TEST_CASE("rabbitmq: what is no marker is for handlers, whatever its id") {
  Bench bench;
  bench.find();
  CHECK_FALSE(bench.adoption.takes(message_of("1", "k", "payload", "order.placed").view(), 1));
  CHECK_FALSE(bench.adoption.takes(MessageView{}, 2));
  CHECK_FALSE(bench.adoption.reached());
}
