// SPDX-License-Identifier: MIT
#include <omnibus/backends/kafka/transactions.hpp>

#include "catch.hpp"
#include "unit/backends/kafka/tools.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::kafka;
using namespace omnibus::unit;

namespace {

Instant in_time() { return std::chrono::steady_clock::now() + patience; }

/// A member of a group that has one partition, of which the test says what is done.
struct Made final : Callbacks {
  MockCluster cluster;
  Assignment assignment{"in"};
  GroupClient client{settings(), Reader::reading("g"), *this};
  omnibus::detail::Wakeup bell;
  Transactions transactions{assignment, cluster.settings(), {"t-1", {}, false, {}}, *this, bell};
  bool assigned = false;

  Settings settings() const {
    cluster.make_topic("in", 1);
    cluster.make_topic("out", 1);
    return cluster.settings();
  }
  void log(int, std::string_view) noexcept override {}
  void rebalance(rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t& list) noexcept override {
    assigned = code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
    assigned ? (void)client.assign(list) : client.unassign(list);
  }
  void join() {
    REQUIRE(client.subscribe({"in"}));
    REQUIRE(eventually([this] {
      client.poll([](const rd_kafka_message_t&) {});
      return assigned && transactions.is_decided();
    }));
  }
  /// The partition is ours, from offset 10 on.
  void own() {
    const Offsets list = new_offsets();
    rd_kafka_topic_partition_list_add(list.get(), "in", 0)->offset = 10;
    assignment.add(*list, [](const rd_kafka_topic_partition_t&) { return Queue{}; });
  }
  Partition& partition() { return *assignment.all_ours().front(); }
  void done(std::int64_t offset, std::string payload) {
    Held held;
    held.partition = &partition();
    held.offset = offset;
    held.number = partition().progress.add(offset);
    MessageBatch outputs;
    REQUIRE(outputs.add("out", payload, {.id = "id"}));
    transactions.add(held, outputs);
    partition().progress.done(held.number);
  }
  void next(std::int16_t request, rd_kafka_resp_err_t ending) const {
    rd_kafka_mock_push_request_errors_array(cluster.get(), request, 1, &ending);
  }
  std::string first_output() const {
    Reader reader{cluster.settings(), "out", 0};
    rd_kafka_message_t* raw = reader.next();
    if (raw == nullptr) return "none";
    std::string payload{static_cast<const char*>(raw->payload), raw->len};
    rd_kafka_message_destroy(raw);
    return payload;
  }
  bool has_news() { return partition().outputs.has_news(partition().progress.committable()); }
};

}  // namespace

TEST_CASE("kafka: what is done is published and committed, by a member") {
  Made made;
  made.join();
  made.own();
  made.done(10, "a");
  CHECK(made.has_news());
  CHECK(made.transactions.finish(made.client, in_time()));
  CHECK_FALSE(made.has_news());
  CHECK(made.partition().outputs.messages() == 0);
  CHECK(made.first_output() == "a");
}

TEST_CASE("kafka: who is no member of the group publishes nothing, and forgets nothing") {
  Made made;
  REQUIRE(eventually([&] { return made.transactions.is_decided(); }));
  CHECK_FALSE(made.client.membership());
  made.own();
  made.done(10, "a");
  CHECK_FALSE(made.transactions.finish(made.client, in_time()));
  CHECK(made.partition().outputs.messages() == 1);
  CHECK(made.has_news());
}

TEST_CASE("kafka: an aborted transaction is done again, with what has come since") {
  Made made;
  made.join();
  made.own();
  made.done(10, "a");
  made.next(commit_offsets, RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION);
  const auto ill = [](const Error&) {};
  const auto well = [] {};
  CHECK_FALSE(made.transactions.turn(made.client, std::chrono::steady_clock::now(), ill, well));
  made.done(11, "b");
  CHECK(made.transactions.finish(made.client, in_time()));
  CHECK_FALSE(made.has_news());
}

TEST_CASE("kafka: outputs of a partition that was taken away are forgotten") {
  Made made;
  made.join();
  made.own();
  made.done(10, "a");
  made.next(commit_offsets, RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION);
  const auto ill = [](const Error&) {};
  CHECK_FALSE(made.transactions.turn(made.client, std::chrono::steady_clock::now(), ill, [] {}));
  made.assignment.remove(made.partition());
  made.own();  // and comes back
  CHECK(made.transactions.finish(made.client, in_time()));
  CHECK(made.partition().outputs.messages() == 0);
}

TEST_CASE("kafka: when nobody knows what was committed, everything begins anew") {
  Made made;
  made.join();
  made.own();
  made.done(10, "a");
  made.next(end_transaction, RD_KAFKA_RESP_ERR_PRODUCER_FENCED);
  CHECK_FALSE(made.transactions.finish(made.client, in_time()));
  CHECK_FALSE(made.transactions.is_decided());
  const auto ill = [](const Error&) {};
  CHECK(made.transactions.turn(made.client, std::chrono::steady_clock::now(), ill, [] {}));
  CHECK(eventually([&] { return made.transactions.is_decided(); }));
  made.assignment.remove(made.partition());
  made.own();
  CHECK(made.partition().outputs.messages() == 0);
}

TEST_CASE("kafka: too much that waits is a reason to take no more") {
  Made made;
  made.own();
  CHECK_FALSE(made.transactions.full());
  made.done(10, std::string(64u << 20, 'x'));
  CHECK(made.transactions.full());
}

TEST_CASE("kafka: what is done of a log that is gone is in no transaction") {
  Made made;
  made.join();
  made.own();
  made.done(10, "a");
  made.partition().recorded = true;  // and the broker has nothing of it
  CHECK(made.transactions.finish(made.client, in_time()));
  CHECK(made.assignment.remade());
  CHECK(made.has_news());
  CHECK(made.partition().outputs.messages() == 1);
}
