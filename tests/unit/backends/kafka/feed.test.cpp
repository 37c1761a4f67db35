// SPDX-License-Identifier: MIT
#include <omnibus/backends/kafka/feed.hpp>

#include <string>
#include <vector>

#include "catch.hpp"
#include "unit/backends/kafka/tools.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::kafka;
using namespace omnibus::unit;

namespace {

struct Basket final : Intake {
  std::size_t left = 1000;
  std::vector<Incoming> got;
  std::vector<std::string> reports;

  std::size_t room() const noexcept override { return left; }
  void deliver(const Incoming& incoming) override {
    REQUIRE(left > 0);
    got.push_back(incoming);
    --left;
  }
  bool revoke(std::int32_t, Instant) override { return true; }
  void report(const Error* problem) override {
    reports.push_back(problem == nullptr ? "well" : problem->message());
  }
  std::vector<std::string> payloads() const {
    std::vector<std::string> all;
    for (const Incoming& each : got) all.emplace_back(each.message->payload);
    return all;
  }
};

/// One topic of a mock cluster with one partition, and the topic in which its messages wait for seconds.
class Bench {
 public:
  Bench() {
    shared_cluster().make_topic(later(), 1);
    reading.spec.topic = topic;
    reading.spec.group = "billing";
    auto settings = shared_cluster().settings();
    settings.properties["fetch.wait.max.ms"] = "10";
    client = std::make_unique<GroupClient>(settings, reading, listener_);
    assignment = std::make_unique<Assignment>(topic);
    feed = std::make_unique<Feed>(*assignment, reading.spec);
  }
  ~Bench() {
    for (Partition& each : *assignment) {
      client->retire(each.queue);
      feed->drop(each);
    }
    for (const Incoming& each : basket.got) settle(each);
    client->empty_retired();
    (void)client->close(std::chrono::steady_clock::now() + patience);
    assignment.reset();
  }

  std::string later() const { return later_topic(topic, 1); }

  void send(const std::string& to, std::string_view payload, const Envelope& envelope) {
    std::string text;
    append_envelope(text, envelope);
    const Topic where = producer_.topic(to);
    REQUIRE(producer_.produce(where.get(), {"k", payload, 1, text, {}}, 0) == RD_KAFKA_RESP_ERR_NO_ERROR);
    REQUIRE(next_report(producer_).code == RD_KAFKA_RESP_ERR_NO_ERROR);
  }
  void send(std::string_view payload) { send(topic, payload, {"id", "", {}, 0, 0, ""}); }
  void send_later(std::string_view payload, Duration delay, std::string_view group = "billing") {
    send(later(), payload, {"id", "", {}, to_ms(std::chrono::system_clock::now() + delay), 2, group});
  }

  /// Both partitions become ours, from there on.
  void assign(std::int64_t offset = 0, std::string_view marks = {}) {
    const Offsets list = new_offsets();
    auto& one = *rd_kafka_topic_partition_list_add(list.get(), topic.c_str(), 0);
    one.offset = offset;
    set_metadata(one, marks);
    rd_kafka_topic_partition_list_add(list.get(), later().c_str(), 0)->offset = 0;
    assignment->add(*list, [&](const rd_kafka_topic_partition_t& what) { return client->detach(what); });
    REQUIRE(client->assign_all(*list));
  }
  Partition& partition() { return *assignment->begin(); }

  /// Takes turns until `count` have been delivered.
  bool turn_until(std::size_t count) {
    return eventually([&] {
      turn();
      return basket.got.size() >= count;
    });
  }
  std::size_t turn() {
    return feed->turn(basket, *client, [](const rd_kafka_message_t&) {});
  }
  void settle(const Incoming& incoming, bool done = true) {
    assignment->finish(*reinterpret_cast<Held*>(incoming.token), done);
  }

  const std::string topic = new_topic(1);
  Reading reading = Reader::reading("billing");
  Basket basket;
  std::unique_ptr<GroupClient> client;
  std::unique_ptr<Assignment> assignment;
  std::unique_ptr<Feed> feed;

 private:
  Listener listener_;
  Producer producer_{shared_cluster().settings(), Duration{}, listener_};
};

}  // namespace

TEST_CASE("kafka: records are handed on in order, as far as there is room, and none is lost") {
  Bench bench;
  std::vector<std::string> sent;
  for (int i = 0; i < 20; ++i) bench.send(sent.emplace_back(std::to_string(i)));
  bench.assign();
  bench.basket.left = 3;
  REQUIRE(bench.turn_until(3));
  CHECK(bench.turn() == 0);
  for (std::size_t have = 3; have < 20; have += 1) {
    bench.basket.left = 1;
    REQUIRE(bench.turn_until(have + 1));
  }
  CHECK(bench.basket.payloads() == sent);
}

TEST_CASE("kafka: a record of the topic itself is complete when somebody asks, one that waited at once") {
  Bench bench;
  bench.send("now");
  bench.send_later("then", -1s);
  bench.assign();
  REQUIRE(bench.turn_until(2));
  for (Incoming& each : bench.basket.got) {
    const bool waited = each.message->payload == "then";
    CHECK((each.complete == nullptr) == waited);
    CHECK(each.attempts == (waited ? 2u : 0u));
    if (each.complete != nullptr) each.complete(each.token);
    CHECK(each.message->id == "id");
  }
}

TEST_CASE("kafka: a record waits until it is due, and what comes behind it and is due does not") {
  Bench bench;
  bench.send_later("in an hour", 1h);
  bench.send_later("due", -1s);
  bench.assign();
  REQUIRE(bench.turn_until(1));
  CHECK(bench.basket.payloads() == std::vector<std::string>{"due"});
  const auto in = bench.feed->next_due() - std::chrono::steady_clock::now();
  CHECK(in > 59min);
  CHECK(in <= 1h);
}

TEST_CASE("kafka: a copy for another group is done without being handed on") {
  Bench bench;
  bench.send_later("theirs", -1s, "shipping");
  bench.send_later("ours", -1s);
  bench.send_later("for all", -1s, "");
  bench.assign();
  REQUIRE(bench.turn_until(2));
  CHECK(bench.basket.payloads() == std::vector<std::string>{"ours", "for all"});
  const Partition& waiting = *std::next(bench.assignment->begin());
  CHECK(waiting.progress.committable() == 1);
}

TEST_CASE("kafka: what those before us had done is not handed on again") {
  Bench bench;
  for (const char* each : {"0", "1", "2", "3"}) bench.send(each);
  Marks marks{0};
  marks.add(1);
  marks.add(2);
  bench.assign(0, marks.text());
  REQUIRE(bench.turn_until(2));
  CHECK(bench.basket.payloads() == std::vector<std::string>{"0", "3"});
  bench.settle(bench.basket.got[0]);
  bench.basket.got.erase(bench.basket.got.begin());
  CHECK(bench.partition().progress.committable() == 3);
}

TEST_CASE("kafka: what is dropped was not done: it does not move what may be committed") {
  Bench bench;
  for (const char* each : {"0", "1", "2", "3"}) bench.send(each);
  bench.send_later("in an hour", 1h);
  bench.assign();
  bench.basket.left = 1;
  REQUIRE(bench.turn_until(1));
  REQUIRE(eventually([&] {
    bench.turn();
    return std::next(bench.assignment->begin())->waiting.size() == 1;
  }));
  for (Partition& each : *bench.assignment) {
    bench.client->retire(each.queue);
    bench.feed->drop(each);
    each.queue.reset();
    CHECK(each.waiting.empty());
  }
  bench.basket.left = 10;
  CHECK(bench.turn() == 0);
  CHECK(bench.basket.got.size() == 1);
  CHECK(bench.partition().held == 1);
  CHECK(bench.partition().progress.committable() == 0);
}

TEST_CASE("kafka: a topic that begins anew is a lost position, and nothing of it counts as done") {
  Bench bench;
  for (const char* each : {"0", "1"}) bench.send(each);
  bench.assign();
  bench.partition().expected = 700;  // as if it had been read until there
  REQUIRE(bench.turn_until(2));
  REQUIRE(bench.basket.reports.size() == 2);
  CHECK(bench.basket.reports[0].find("position_lost") != std::string::npos);
  CHECK(bench.basket.reports[0].find("700") != std::string::npos);
  CHECK(bench.basket.reports[1] == "well");
  CHECK(bench.partition().progress.committable() == 0);
}
