// SPDX-License-Identifier: MIT
#include <omnibus/backends/kafka/later.hpp>

#include <string>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "unit/backends/kafka/tools.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::kafka;
using namespace omnibus::unit;

namespace {

/// A record that is to come again later, and what became of its copy.
class Bench {
 public:
  explicit Bench(std::string topic = new_topic(1), const MockCluster& cluster = shared_cluster())
      : cluster_{cluster}, topics_{std::move(topic)} {
    for (std::size_t tier = 0; tier < tiers.size(); ++tier) {
      topics_.push_back(later_topic(topics_.front(), tier));
      cluster_.make_topic(topics_.back(), 1);
    }
    partition.topic = &topics_.front();
    held.partition = &partition;
    held.message.id = "m-1";
    held.message.type = "order.placed";
    held.message.key = "k";
    held.message.payload = "bytes";
    held.message.sequence = {3, 7};
  }

  /// Turns until the record is finished. Returns whether as done; fails when it does not end.
  bool finished() {
    const Instant until = std::chrono::steady_clock::now() + patience;
    std::vector<bool> endings;
    while (endings.empty() && std::chrono::steady_clock::now() < until) {
      later.turn(std::chrono::steady_clock::now(), [&](Held& each, bool done) {
        CHECK(&each == &held);
        endings.push_back(done);
      });
      later.wakeup().wait(-1, false, false,
                          detail::smaller(until, detail::smaller(later.next_retry(), soon())));
      (void)later.wakeup().take();
    }
    REQUIRE(endings.size() == 1);
    return endings.front();
  }
  /// The first record that waits in a tier, as a consumer of a group reads it.
  struct Waiting {
    std::string id, type, key, payload;
    Sequence sequence;
    Time due{};
    std::uint32_t attempts = 0;
    std::string meant_for;
  };
  Waiting waiting(std::size_t tier) {
    Reader reader{cluster_.settings(), topics_[1 + tier], 0};
    rd_kafka_message_t* raw = reader.next();
    REQUIRE(raw != nullptr);
    Held read;
    read.take(raw);
    read.complete();
    Waiting found{std::string{read.message.id}, std::string{read.message.type}, std::string{read.message.key},
                  std::string{read.message.payload}, read.message.sequence,
                  from_ms(read.due), read.attempts, std::string{read.meant_for}};
    rd_kafka_message_destroy(raw);
    return found;
  }

 private:
  static Instant soon() { return std::chrono::steady_clock::now() + 50ms; }

  const MockCluster& cluster_;
  std::vector<std::string> topics_;
  Listener listener_;

 public:
  Publisher publisher{cluster_.settings(), {100, 1 << 20, Duration::zero(), false}, listener_};
  Later later{publisher, topics_, {topics_.front(), 1, 1}, "billing"};
  Partition partition;
  Held held;
};

}  // namespace

TEST_CASE("kafka: a record that comes later is done when its copy is stored, in the topic of its tier") {
  Bench bench;
  CHECK(bench.later.under_way() == 0);
  const auto before = std::chrono::system_clock::now();
  bench.later.send(bench.held, 10s, 4);
  const auto after = std::chrono::system_clock::now();
  CHECK(bench.later.under_way() == 1);
  CHECK(bench.finished());
  CHECK(bench.later.under_way() == 0);
  const auto copy = bench.waiting(tier_of(10s));
  CHECK(copy.id == "m-1");
  CHECK(copy.type == "order.placed");
  CHECK(copy.key == "k");
  CHECK(copy.payload == "bytes");
  CHECK(copy.sequence == Sequence{3, 7});
  CHECK(copy.attempts == 4);
  CHECK(copy.due >= before + 10s);  // never early
  CHECK(copy.due <= after + 10s + 1ms);
  CHECK(copy.meant_for == "billing");
}

TEST_CASE("kafka: a delay that is longer than any is the longest") {
  Bench bench;
  const auto before = std::chrono::system_clock::now();
  bench.later.send(bench.held, Duration::max(), 1);
  const auto after = std::chrono::system_clock::now();
  CHECK(bench.finished());
  const Time due = bench.waiting(tiers.size() - 1).due;
  CHECK(due >= before + longest_delay);
  CHECK(due <= after + longest_delay + 1ms);
}

TEST_CASE("kafka: a copy that was refused goes again, and the record is not done before") {
  const MockCluster cluster;
  cluster.make_topic("orders", 1);
  Bench bench{"orders", cluster};
  rd_kafka_mock_push_request_errors(cluster.get(), produce_request, 1, RD_KAFKA_RESP_ERR_INVALID_RECORD);
  bench.later.send(bench.held, 20s, 1);
  CHECK(bench.finished());
  CHECK(bench.waiting(tier_of(20s)).id == "m-1");
}

TEST_CASE("kafka: a record whose partition is gone is given up when its copy was not stored") {
  const MockCluster cluster;
  cluster.make_topic("orders", 1);
  Bench bench{"orders", cluster};
  rd_kafka_mock_push_request_errors(cluster.get(), produce_request, 1, RD_KAFKA_RESP_ERR_INVALID_RECORD);
  bench.partition.assigned = false;
  bench.later.send(bench.held, 1s, 1);
  CHECK_FALSE(bench.finished());
  CHECK(bench.later.under_way() == 0);
  CHECK(bench.later.next_retry() == Instant::max());
}
