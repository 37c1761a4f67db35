// SPDX-License-Identifier: MIT
#include <omnibus/backends/kafka/group_client.hpp>

#include <poll.h>

#include <map>

#include "catch.hpp"
#include "unit/backends/kafka/tools.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::kafka;
using namespace omnibus::unit;

namespace {

/// The made consumer's configuration.
std::string told(const Settings& settings, const Reading& reading, const std::string& name) {
  const Owned<rd_kafka_t, rd_kafka_destroy> client{GroupClient::make(settings, reading, nullptr)};
  return property(rd_kafka_conf(client.get()), name);
}

Settings with(std::map<std::string, std::string> properties) {
  return {"", {}, {}, std::move(properties)};
}

bool rings(int fd, int ms) {
  pollfd one{fd, POLLIN, 0};
  return ::poll(&one, 1, ms) == 1;
}

}  // namespace

TEST_CASE("kafka: a consumer commits and stores nothing by itself") {
  struct Row {
    std::string name, value;
  };
  for (const Row& row : std::vector<Row>{{"enable.auto.commit", "false"},
                                         {"enable.auto.offset.store", "false"},
                                         {"auto.offset.reset", "smallest"},
                                         {"allow.auto.create.topics", "false"},
                                         {"session.timeout.ms", "6000"},
                                         {"group.id", "billing"},
                                         {"isolation.level", "read_committed"},
                                         {"group.instance.id", "?"}}) {
    CAPTURE(row.name);
    CHECK(told({}, Reader::reading("billing"), row.name) == row.value);
  }
}

TEST_CASE("kafka: a reader without a group is in none that matters") {
  CHECK(told({}, Reader::reading(), "group.id") == "omnibus-reader");
}

TEST_CASE("kafka: a member with a name keeps its place") {
  Reading reading = Reader::reading("billing");
  reading.member = "node-7";
  CHECK(told({}, reading, "group.instance.id") == "node-7");
}

TEST_CASE("kafka: rebalances are cooperative only where librdkafka can") {
  const bool can = rd_kafka_version() >= 0x020601ff;
  CHECK(told({}, Reader::reading("g"), "partition.assignment.strategy") ==
        (can ? "cooperative-sticky" : "range,roundrobin"));
  CHECK(told(with({{"partition.assignment.strategy", "roundrobin"}}), Reader::reading("g"),
             "partition.assignment.strategy") == "roundrobin");
}

TEST_CASE("kafka: what is fetched ahead is bounded, and the user's bound counts") {
  CHECK(told({}, Reader::reading("g"), "queued.max.messages.kbytes") == "8192");
  CHECK(told(with({{"queued.max.messages.kbytes", "77"}}), Reader::reading("g"),
             "queued.max.messages.kbytes") == "77");
}

TEST_CASE("kafka: properties that break a promise of the consumer are errors that name them") {
  for (const auto& [name, value] :
       std::map<std::string, std::string>{{"group.id", "other"},
                                          {"enable.auto.commit", "true"},
                                          {"auto.commit.enable", "true"},
                                          {"enable.auto.offset.store", "true"},
                                          {"auto.offset.reset", "latest"},
                                          {"session.timeout.ms", "1000"},
                                          {"allow.auto.create.topics", "true"},
                                          {"enabled_events", "255"},
                                          {"bootstrap.servers", "b:2"}}) {
    CAPTURE(name);
    CHECK(throws_saying<std::invalid_argument>(
        [&n = name, &v = value] { GroupClient::check(with({{n, v}}), Reader::reading("g")); }, name));
  }
  Reading named = Reader::reading("g");
  named.member = "node-7";
  CHECK(throws_saying<std::invalid_argument>(
      [&] { GroupClient::check(with({{"group.instance.id", "node-8"}}), named); },
      "group.instance.id"));
}

TEST_CASE("kafka: who joins waits for an answer as long as all may need, and not longer") {
  Reading reading = Reader::reading("g");
  reading.session_timeout = 45s;
  reading.drain_timeout = 10s;
  CHECK(told({}, reading, "max.poll.interval.ms") == "65000");
  CHECK(told(with({{"max.poll.interval.ms", "70000"}}), reading, "max.poll.interval.ms") == "70000");
  reading.session_timeout = 1h;
  reading.drain_timeout = Duration::max();
  CHECK(told({}, reading, "max.poll.interval.ms") == std::to_string(13 * 3'600'000));
}

TEST_CASE("kafka: a session longer than the time between polls is an error that names both") {
  Reading reading = Reader::reading("g");
  reading.session_timeout = 10min;
  const Settings settings = with({{"max.poll.interval.ms", "300000"}});
  CHECK(throws_saying<std::invalid_argument>([&] { GroupClient::check(settings, reading); },
                                             "max.poll.interval.ms"));
  CHECK(throws_saying<std::invalid_argument>([&] { GroupClient::check(settings, reading); },
                                             "session.timeout.ms"));
}

TEST_CASE("kafka: a consumer that only checks its settings prints nothing") {
  CHECK(stderr_of([] { GroupClient::check({}, Reader::reading("g")); }) == "");
  CHECK(stderr_of([] { GroupClient::check(with({{"batch.size", "5"}}), Reader::reading("g")); }) ==
        "");
}

TEST_CASE("kafka: a consumer can be waited for, until what there was is taken") {
  const std::string topic = new_topic(1);
  Listener listener;
  GroupClient client{shared_cluster().settings(), Reader::reading("g"), listener};
  CHECK_FALSE(rings(client.fd(), 0));
  const Offsets offsets = new_offsets();
  rd_kafka_topic_partition_list_add(offsets.get(), topic.c_str(), 0)->offset = 17;
  REQUIRE(client.commit(*offsets));
  CHECK(rings(client.fd(), patience_ms));
  client.woken();
  CHECK_FALSE(rings(client.fd(), 0));
  client.poll([](const rd_kafka_message_t&) {});
  CHECK(listener.commits() == 1);
}

TEST_CASE("kafka: a topic that librdkafka would not ask for is answered like any other, once") {
  Listener listener;
  GroupClient client{{}, Reader::reading("g"), listener};
  CHECK_FALSE(client.created().has_value());
  client.create({"orders", 1, 20'000, {}});
  const auto answer = client.created();
  REQUIRE(answer.has_value());
  REQUIRE_FALSE(answer->has_value());
  CHECK(answer->error().code == Errc::invalid_argument);
  CHECK_FALSE(client.created().has_value());
}

TEST_CASE("kafka: all partitions of the topics that are there") {
  const MockCluster& cluster = shared_cluster();
  const std::string first = new_topic(3), third = new_topic(2);
  for (const char* name : {"absent-1", "absent-2"}) {
    rd_kafka_mock_topic_set_error(cluster.get(), name, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
  }
  Listener listener;
  GroupClient client{cluster.settings(), Reader::reading(), listener};
  const auto all = client.all_partitions({first, "absent-1", third});
  REQUIRE(all.has_value());
  std::string found;
  for (int i = 0; i < (*all)->cnt; ++i) {
    const auto& each = (*all)->elems[i];
    found += (each.topic == first ? "first/" : each.topic == third ? "third/" : "?/") + std::to_string(each.partition) + " ";
  }
  CHECK(found == "first/0 first/1 first/2 third/0 third/1 ");
  const auto none = client.all_partitions({"absent-2", first});
  REQUIRE_FALSE(none.has_value());
  CHECK(none.error().code == Errc::not_found);
}

TEST_CASE("kafka: a broker is reachable when it answers") {
  const MockCluster& cluster = shared_cluster();
  const std::string topic = new_topic(1);
  Listener listener;
  GroupClient client{cluster.settings(), Reader::reading("g"), listener};
  CHECK(eventually([&] { return client.reachable(topic); }));
  GroupClient nowhere{{"127.0.0.1:1", {}, {}, {}}, Reader::reading("g"), listener};
  CHECK_FALSE(nowhere.reachable("orders"));
}

TEST_CASE("kafka: a commit is there for whoever asks for it, with its metadata") {
  const MockCluster& cluster = shared_cluster();
  const std::string topic = new_topic(1);
  Listener listener;
  GroupClient client{cluster.settings(), Reader::reading("g"), listener};
  const Offsets offsets = new_offsets();
  auto& one = *rd_kafka_topic_partition_list_add(offsets.get(), topic.c_str(), 0);
  one.offset = 17;
  set_metadata(one, "omnibus1:C");
  const Event answer = client.commit(*offsets, std::chrono::steady_clock::now() + patience);
  REQUIRE(answer);
  CHECK(rd_kafka_event_error(answer.get()) == RD_KAFKA_RESP_ERR_NO_ERROR);
  const Offsets found = new_offsets();
  rd_kafka_topic_partition_list_add(found.get(), topic.c_str(), 0);
  REQUIRE(rd_kafka_committed(client.get(), found.get(), patience_ms) == RD_KAFKA_RESP_ERR_NO_ERROR);
  CHECK(found->elems[0].offset == 17);
  CHECK(std::string_view{static_cast<const char*>(found->elems[0].metadata),
                         found->elems[0].metadata_size} == "omnibus1:C");
}

TEST_CASE("kafka: a commit that the broker refuses says so") {
  const std::string topic = new_topic(1);
  Listener listener;
  GroupClient client{shared_cluster().settings(), Reader::reading("g"), listener};
  const Offsets offsets = new_offsets();
  rd_kafka_topic_partition_list_add(offsets.get(), topic.c_str(), 0)->offset = 17;
  rd_kafka_mock_push_request_errors(shared_cluster().get(), 8 /* OffsetCommit */, 1,
                                    RD_KAFKA_RESP_ERR_OFFSET_METADATA_TOO_LARGE);
  const Event answer = client.commit(*offsets, std::chrono::steady_clock::now() + patience);
  REQUIRE(answer);
  CHECK(rd_kafka_event_error(answer.get()) == RD_KAFKA_RESP_ERR_OFFSET_METADATA_TOO_LARGE);
}

TEST_CASE("kafka: a consumer that never joined leaves at once") {
  Listener listener;
  GroupClient client{{}, Reader::reading("g"), listener};
  CHECK(client.close(std::chrono::steady_clock::now() + patience));
}
