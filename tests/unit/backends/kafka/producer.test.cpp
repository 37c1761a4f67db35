// SPDX-License-Identifier: MIT
#include <omnibus/backends/kafka/producer.hpp>

#include <map>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "unit/backends/kafka/tools.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::kafka;
using namespace omnibus::unit;

namespace {

/// A producer, and a topic of a cluster.
struct ProducerBench {
  Listener listener;
  Producer producer;
  Topic topic;

  explicit ProducerBench(int partitions = 1)
      : producer{shared_cluster().settings(), Duration{}, listener},
        topic{producer.topic(new_topic(partitions))} {}
  Report send(const RecordView& record, std::uint64_t number = 7) {
    Report report;
    report.code = producer.produce(topic.get(), record, number);
    return report.code == RD_KAFKA_RESP_ERR_NO_ERROR ? next_report(producer) : report;
  }
};

/// A producer that gives back whatever it gets.
struct Echo {
  Listener listener;
  Producer producer{{}, Duration{}, listener};
  Topic topic = producer.topic("orders");

  Report send(const RecordView& record) {
    REQUIRE(producer.produce(topic.get(), record, 7) == RD_KAFKA_RESP_ERR_NO_ERROR);
    return back();
  }
  Report back() {
    rd_kafka_purge(producer.get(), RD_KAFKA_PURGE_F_QUEUE);
    return next_report(producer);
  }
};

/// The made producer's configuration.
std::string told(const Settings& settings, Duration linger, const std::string& name) {
  const Owned<rd_kafka_t, rd_kafka_destroy> client{Producer::make(settings, linger, nullptr)};
  return property(rd_kafka_conf(client.get()), name);
}

bool same(HeadersView a, HeadersView b) { return a.block() == b.block(); }

bool same(const Record& a, const RecordView& b) {
  return a.key == b.key && a.payload == b.payload && a.envelope == b.envelope && a.time == b.time &&
         same(a.headers, b.headers);
}

}  // namespace

TEST_CASE("kafka: a producer loses nothing, repeats nothing and keeps the order") {
  struct Row {
    std::string name, value;
  };
  for (const Row& row : std::vector<Row>{{"enable.idempotence", "true"},
                                         {"acks", "-1"},
                                         {"partitioner", "murmur2_random"},
                                         {"allow.auto.create.topics", "false"},
                                         {"message.timeout.ms", "300000"},
                                         {"max.in.flight", "5"},
                                         {"queue.buffering.max.messages", "10000000"},
                                         {"queue.buffering.max.kbytes", "2147483647"},
                                         {"message.max.bytes", "100000000"},
                                         {"socket.nagle.disable", "true"}}) {
    CAPTURE(row.name);
    CHECK(told({}, 1ms, row.name) == row.value);
  }
}

TEST_CASE("kafka: a producer lingers as long as it is told to, to the microsecond") {
  for (const auto& [linger, text] :
       {std::pair{Duration{0}, 0.0}, {Duration{1ms}, 1.0}, {Duration{500us}, 0.5}, {Duration{2s}, 2000.0}}) {
    CHECK(std::stod(told({}, linger, "linger.ms")) == text);
  }
  CHECK_THROWS_AS(Producer::make({}, 1h, nullptr), std::invalid_argument);
}

TEST_CASE("kafka: a user's property reaches the producer") {
  CHECK(told({"", {}, {}, {{"compression.type", "lz4"}}}, 1ms, "compression.type") == "lz4");
  CHECK(told({"", {}, {}, {{"debug", "conf"}}}, 1ms, "debug") == "conf");
}

TEST_CASE("kafka: properties that break a promise of the producer are errors that name them") {
  for (const auto& [name, value] :
       std::map<std::string, std::string>{{"enable.idempotence", "false"},
                                          {"acks", "1"},
                                          {"request.required.acks", "0"},
                                          {"partitioner", "random"},
                                          {"linger.ms", "5"},
                                          {"queue.buffering.max.ms", "5"},
                                          {"message.timeout.ms", "1"},
                                          {"delivery.timeout.ms", "1"},
                                          {"allow.auto.create.topics", "true"},
                                          {"queue.buffering.max.messages", "1"},
                                          {"delivery.report.only.error", "true"},
                                          {"transactional.id", "t"},
                                          {"enabled_events", "0"},
                                          {"bootstrap.servers", "b:2"},
                                          {"metadata.broker.list", "b:2"},
                                          {"max.in.flight", "6"},
                                          {"retries", "0"}}) {
    CAPTURE(name);
    CHECK(throws_saying<std::invalid_argument>(
        [&, &n = name, &v = value] { Producer::make({"", {}, {}, {{n, v}}}, 1ms, nullptr); }, name));
  }
}

TEST_CASE("kafka: a producer that only checks its settings prints nothing") {
  CHECK(stderr_of([] { (void)told({}, 1ms, "acks"); }) == "");
  CHECK(stderr_of([] { (void)told({"", {}, {}, {{"fetch.min.bytes", "5"}}}, 1ms, "acks"); }) == "");
}

TEST_CASE("kafka: a report tells the number, the partition and the offset") {
  ProducerBench bench;
  const Report first = bench.send({"k", "payload", 0, {}, {}}, 0);
  CHECK(first.code == RD_KAFKA_RESP_ERR_NO_ERROR);
  CHECK(first.number == 0);
  CHECK(first.partition == 0);
  CHECK(first.offset == 0);
  const Report second = bench.send({"k", "payload", 0, {}, {}}, UINT64_MAX);
  CHECK(second.number == UINT64_MAX);
  CHECK(second.offset == 1);
}

TEST_CASE("kafka: librdkafka gives back every part of a record, to be sent again") {
  Echo echo;
  const std::string bytes = every_byte();
  const Headers headers{{"trace", bytes}, {"empty", ""}, {"trace", "again"}};
  const RecordView records[] = {
      {bytes, bytes, 1'700'000'000'123, "id\ntype", headers},
      {"", "payload", 1, "", {}},
      {"key", "", 1, "id\n", {}},
      {"", "", 1, "", headers},
  };
  for (const RecordView& record : records) {
    const Report report = echo.send(record);
    CHECK(report.code == RD_KAFKA_RESP_ERR__PURGE_QUEUE);
    CHECK(report.number == 7);
    CHECK(same(report.again, record));
    CHECK(same(Record{report.again.view()}, record));
  }
}

TEST_CASE("kafka: a record without a time is of now") {
  Echo echo;
  const std::int64_t before = to_ms(std::chrono::system_clock::now());
  const Report report = echo.send({"k", "payload", 0, {}, {}});
  CHECK(report.again.time >= before);
  CHECK(report.again.time <= to_ms(std::chrono::system_clock::now()));
}

TEST_CASE("kafka: a record may have as many headers as there are") {
  Echo echo;
  for (const int count : {0, 1, 11, 12, 13, 64, 200}) {
    CAPTURE(count);
    Headers headers;
    for (int i = 0; i < count; ++i) headers.add("name" + std::to_string(i), std::to_string(i * i));
    const RecordView record{"key", "payload", 1, "id\n", headers};
    CHECK(same(echo.send(record).again, record));
  }
}

TEST_CASE("kafka: a record is librdkafka's own once it is handed over") {
  Echo echo;
  {
    std::string key = "key", payload(100'000, 'x'), envelope = "id\ntype";
    Headers headers{{"name", "value"}};
    REQUIRE(echo.producer.produce(echo.topic.get(), {key, payload, 5, envelope, headers}, 1) ==
            RD_KAFKA_RESP_ERR_NO_ERROR);
    key.assign(key.size(), '?');
    payload.assign(payload.size(), '?');
    envelope.assign(envelope.size(), '?');
    headers = {};
  }
  const Report report = echo.back();
  const Headers headers{{"name", "value"}};
  CHECK(same(report.again, {"key", std::string(100'000, 'x'), 5, "id\ntype", headers}));
}

TEST_CASE("kafka: a record that is too large for librdkafka is refused at once") {
  Echo echo;
  const std::string payload(100'000'001, 'x');
  CHECK(echo.producer.produce(echo.topic.get(), {"", payload, 1, "", {}}, 1) ==
        RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
}

TEST_CASE("kafka: a key goes to the partition that the Java client chooses") {
  struct Row {
    std::string_view key;
    std::int32_t murmur2;  // of org.apache.kafka.common.utils.Utils, in its tests
  };
  const Row rows[] = {{"21", -973932308},
                      {"foobar", -790332482},
                      {"a-little-bit-long-string", -985981536},
                      {"a-little-bit-longer-string", -1486304829},
                      {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
                      {"abc", 479470107}};
  constexpr std::int32_t partitions = 101;
  ProducerBench bench{partitions};
  for (const Row& row : rows) {
    CAPTURE(row.key);
    CHECK(bench.send({row.key, "payload", 1, {}, {}}).partition ==
          (row.murmur2 & 0x7fffffff) % partitions);
  }
}

TEST_CASE("kafka: what is there of a topic") {
  ProducerBench bench{12};
  const auto one = describe(bench.producer.get(), bench.topic.get(), patience_ms);
  REQUIRE(one.has_value());
  CHECK(one->partitions == 12);
  CHECK(one->fewest_in_sync == 1);
  MockCluster three{3};
  three.make_topic("orders", 1, 3);
  Producer producer{three.settings(), Duration{}, bench.listener};
  const auto many = describe(producer.get(), producer.topic("orders").get(), patience_ms);
  REQUIRE(many.has_value());
  CHECK(many->partitions == 1);
  CHECK(many->fewest_in_sync == 3);
}

TEST_CASE("kafka: a topic that the broker says is missing is not found") {
  const MockCluster& cluster = shared_cluster();
  Listener listener;
  Producer producer{cluster.settings(), Duration{}, listener};
  rd_kafka_mock_topic_set_error(cluster.get(), "absent", RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
  const auto facts = describe(producer.get(), producer.topic("absent").get(), patience_ms);
  REQUIRE_FALSE(facts.has_value());
  CHECK(facts.error().code == Errc::not_found);
  CHECK(facts.error().operation == "look up topic \"absent\"");
}

TEST_CASE("kafka: what else the broker says of a topic is passed on") {
  const MockCluster& cluster = shared_cluster();
  Listener listener;
  Producer producer{cluster.settings(), Duration{}, listener};
  for (const auto& [code, meaning] :
       {std::pair{RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, Errc::access_denied},
        {RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION, Errc::invalid_argument},
        {RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE, Errc::unavailable}}) {
    const std::string name = std::string{"topic-"} + std::to_string(code);
    CAPTURE(name);
    rd_kafka_mock_topic_set_error(cluster.get(), name.c_str(), code);
    const auto facts = describe(producer.get(), producer.topic(name).get(), patience_ms);
    REQUIRE_FALSE(facts.has_value());
    CHECK(facts.error().code == meaning);
  }
}

TEST_CASE("kafka: a topic with a partition that nobody leads cannot be published to yet") {
  ProducerBench bench{3};
  rd_kafka_mock_partition_set_leader(shared_cluster().get(),
                                     rd_kafka_topic_name(bench.topic.get()), 1, -1);
  const auto facts = describe(bench.producer.get(), bench.topic.get(), patience_ms);
  REQUIRE_FALSE(facts.has_value());
  CHECK(facts.error().code == Errc::unavailable);
}

TEST_CASE("kafka: leaders that do not know yet that they lead are waited for") {
  MockCluster cluster;
  cluster.make_topic("orders", 3);
  Listener listener;
  Producer producer{cluster.settings(), Duration{}, listener};
  const Topic topic = producer.topic("orders");
  const auto check = [&] { return check_leaders(producer.get(), topic.get(), 3, patience_ms); };
  CHECK(check());
  for (const auto code :
       {RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED}) {
    constexpr int list_offsets = 2;  // the request's number in Kafka's protocol
    rd_kafka_mock_push_request_errors(cluster.get(), list_offsets, 1, code);
    const auto checked = check();
    REQUIRE_FALSE(checked);
    INFO(checked.error().message());
    CHECK(checked.error().retryable == (code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART));
  }
  CHECK(check());
}

TEST_CASE("kafka: without a broker a topic cannot be looked up, and that ends in time") {
  Listener listener;
  Producer producer{{"127.0.0.1:1", {}, {}, {}}, Duration{}, listener};
  const auto begin = std::chrono::steady_clock::now();
  const auto facts = describe(producer.get(), producer.topic("orders").get(), 50);
  CHECK(std::chrono::steady_clock::now() - begin < patience);
  REQUIRE_FALSE(facts.has_value());
  CHECK(facts.error().code == Errc::unavailable);
}

TEST_CASE("kafka: a topic that librdkafka would not ask for is refused at once") {
  Listener listener;
  Producer producer{{}, Duration{}, listener};
  for (const TopicPlan& plan : {TopicPlan{"orders", -7, 1, {}}, TopicPlan{"orders", 1, 20'000, {}}}) {
    CAPTURE(plan.name, plan.partitions);
    const auto asked = create(producer.get(), plan, producer.events(), nullptr);
    REQUIRE_FALSE(asked.has_value());
    CHECK(asked.error().code == Errc::invalid_argument);
    CHECK(asked.error().operation == "create topic \"" + plan.name + "\"");
    CHECK_FALSE(asked.error().context.empty());
  }
}

TEST_CASE("kafka: that no topic was made is an error that says why") {
  Echo echo;
  char why[256];
  const Owned<rd_kafka_AdminOptions_t, rd_kafka_AdminOptions_destroy> options{
      rd_kafka_AdminOptions_new(echo.producer.get(), RD_KAFKA_ADMIN_OP_CREATETOPICS)};
  rd_kafka_AdminOptions_set_request_timeout(options.get(), 1, why, sizeof why);
  const Owned<rd_kafka_NewTopic_t, rd_kafka_NewTopic_destroy> topic{
      rd_kafka_NewTopic_new("orders", 1, 1, why, sizeof why)};
  rd_kafka_NewTopic_t* topics[]{topic.get()};
  rd_kafka_CreateTopics(echo.producer.get(), topics, 1, options.get(), echo.producer.events());
  const Event answer = echo.producer.poll(patience_ms);
  REQUIRE(answer);
  REQUIRE(rd_kafka_event_type(answer.get()) == RD_KAFKA_EVENT_CREATETOPICS_RESULT);
  const auto result = created(answer.get());
  REQUIRE_FALSE(result.has_value());
  CHECK(result.error().code == Errc::unavailable);
  CHECK(result.error().operation == "create topic");
  CHECK(result.error().context.find("imed out") != std::string::npos);
}

TEST_CASE("kafka: a producer that waits for news can be woken") {
  Listener listener;
  Producer producer{{}, Duration{}, listener};
  producer.wake();
  const auto begin = std::chrono::steady_clock::now();
  CHECK_FALSE(producer.poll(patience_ms));
  CHECK(std::chrono::steady_clock::now() - begin < patience);
}

TEST_CASE("kafka: batches are as large as librdkafka makes them, as the user wants them, or smaller") {
  Listener listener;
  CHECK(Producer{{}, Duration{}, listener}.batch_bytes() == 1'000'000);
  Settings settings;
  settings.properties["batch.size"] = "5000";
  CHECK(Producer{settings, Duration{}, listener}.batch_bytes() == 5000);
  Producer smaller{settings, Duration{}, listener, 1250};
  CHECK(smaller.batch_bytes() == 1250);
  CHECK(number_of(smaller.get(), "batch.size") == 1250);
  CHECK(number_of(smaller.get(), "no.such.property") == 0);
}
