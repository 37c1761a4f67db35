// SPDX-License-Identifier: MIT
#include <omnibus/backends/kafka/transactor.hpp>

#include <stdexcept>

#include "catch.hpp"
#include "unit/backends/kafka/tools.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::kafka;
using namespace omnibus::unit;

namespace {

/// A transactor on a cluster whose answers the test says.
struct TransactorBench {
  MockCluster cluster;
  Listener listener;
  omnibus::detail::Wakeup bell;
  Transactor transactor{settings(), {"t-1", {}, false, {}}, listener, bell};

  Settings settings() const {
    cluster.make_topic("out", 1);
    cluster.make_topic("in", 1);
    return cluster.settings();
  }
  void next(std::int16_t request, rd_kafka_resp_err_t ending) const {
    rd_kafka_mock_push_request_errors_array(cluster.get(), request, 1, &ending);
  }
  static Transaction transaction(std::string payload, const std::string& topic = "out") {
    Transaction made;
    made.membership.reset(rd_kafka_consumer_group_metadata_new("g"));
    Transaction::Part part{1, "in", 0, {7, {}}};
    RecordOutputs record{3, 6, {}};
    REQUIRE(record.batch.add(topic, payload, {.key = "k", .id = "id-1"}));
    part.share.outputs.push_back(std::move(record));
    made.parts.push_back(std::move(part));
    return made;
  }
  /// Does it, and says how it ended.
  std::optional<Transactor::Ended> run(Transaction what) {
    if (!eventually([this] { return transactor.ready(); })) return {};
    transactor.begin(std::move(what));
    std::optional<Transactor::Ended> ended;
    (void)eventually([&] { return (ended = transactor.ended()).has_value(); });
    return ended;
  }
};

}  // namespace

TEST_CASE("kafka: a transaction is published and committed") {
  TransactorBench made;
  const auto ended = made.run(TransactorBench::transaction("hello"));
  REQUIRE(ended);
  CHECK(ended->ending == Transactor::Ending::committed);
  CHECK(ended->transaction.parts.at(0).incarnation == 1);
  CHECK_FALSE(made.transactor.ended());
  CHECK(made.transactor.ready());
  Reader reader{made.cluster.settings(), "out", 0};
  rd_kafka_message_t* raw = reader.next();
  REQUIRE(raw != nullptr);
  CHECK(std::string{static_cast<const char*>(raw->payload), raw->len} == "hello");
  CHECK(std::string{static_cast<const char*>(raw->key), raw->key_len} == "k");
  rd_kafka_message_destroy(raw);
}

TEST_CASE("kafka: offsets of who is no longer a member abort the transaction, which comes back whole") {
  TransactorBench made;
  made.next(commit_offsets, RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION);
  const auto ended = made.run(TransactorBench::transaction("hello"));
  REQUIRE(ended);
  CHECK(ended->ending == Transactor::Ending::aborted);
  CHECK(ended->problem.context.find("ILLEGAL_GENERATION") != std::string::npos);
  REQUIRE(ended->transaction.parts.size() == 1);
  REQUIRE(ended->transaction.parts[0].share.outputs.size() == 1);
  CHECK(ended->transaction.parts[0].share.outputs[0].batch[0].message.payload == "hello");
  const auto next = made.run(TransactorBench::transaction("again"));
  REQUIRE(next);
  CHECK(next->ending == Transactor::Ending::committed);
}

TEST_CASE("kafka: who is fenced while committing cannot tell, and goes on with a new producer") {
  TransactorBench made;
  made.next(end_transaction, RD_KAFKA_RESP_ERR_PRODUCER_FENCED);
  const auto ended = made.run(TransactorBench::transaction("hello"));
  REQUIRE(ended);
  CHECK(ended->ending == Transactor::Ending::lost);
  const auto next = made.run(TransactorBench::transaction("again"));
  REQUIRE(next);
  CHECK(next->ending == Transactor::Ending::committed);
}

TEST_CASE("kafka: a topic that is not there, and may not be made, aborts and says so") {
  TransactorBench made;
  rd_kafka_mock_topic_set_error(made.cluster.get(), "nowhere", RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
  const auto ended = made.run(TransactorBench::transaction("hello", "nowhere"));
  REQUIRE(ended);
  CHECK(ended->ending == Transactor::Ending::aborted);
  CHECK(ended->problem.operation.find("nowhere") != std::string::npos);
}

TEST_CASE("kafka: a producer that is refused says why, and tries again") {
  MockCluster cluster;
  const std::vector<rd_kafka_resp_err_t> refusals(3, RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
  rd_kafka_mock_push_request_errors_array(cluster.get(), init_producer_id, refusals.size(), refusals.data());
  Listener listener;
  omnibus::detail::Wakeup bell;
  Transactor transactor{cluster.settings(), {"t-1", {}, false, {}}, listener, bell};
  std::optional<Error> problem;
  CHECK(eventually([&] { return (problem = transactor.problem()).has_value(); }));
  REQUIRE(problem);
  CHECK(problem->code == Errc::access_denied);
  CHECK(eventually([&] { return transactor.ready(); }));
  CHECK_FALSE(transactor.problem());
}

TEST_CASE("kafka: a transactor ends at once when nothing is under way, with no broker too") {
  Listener listener;
  omnibus::detail::Wakeup bell;
  Transactor transactor{{"127.0.0.1:1", {}, {}, {}}, {"t-1", {}, false, {}}, listener, bell};
  transactor.close(std::chrono::steady_clock::now() + patience);
  CHECK_FALSE(transactor.ready());
}

TEST_CASE("kafka: settings that contradict transactions are refused") {
  CHECK(throws_saying<std::invalid_argument>(
      [] { Transactor::check({"", {}, {}, {{"transaction.timeout.ms", "1000"}}}, {"t-1", {}, false, {}}); },
      "transaction.timeout.ms"));
}
