// SPDX-License-Identifier: MIT
#include <omnibus/backends/kafka/starts.hpp>

#include <omnibus/backends/kafka/marks.hpp>

#include "catch.hpp"
#include "unit/backends/kafka/tools.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::kafka;
using namespace omnibus::unit;

namespace {

/// A topic of three partitions, with 5, 0 and 2 records, and the client of a group.
struct StartsBench {
  const std::string topic = new_topic(3);
  const std::string other = new_topic(3);
  Owned<rd_kafka_t, rd_kafka_destroy> client;

  StartsBench() {
    Listener listener;
    Producer producer{shared_cluster().settings(), Duration{}, listener};
    for (const int partition : {0, 0, 0, 0, 0, 2, 2}) {
      rd_kafka_vu_t parts[3]{};
      parts[0].vtype = RD_KAFKA_VTYPE_TOPIC;
      parts[0].u.cstr = topic.c_str();
      parts[1].vtype = RD_KAFKA_VTYPE_PARTITION;
      parts[1].u.i32 = partition;
      parts[2].vtype = RD_KAFKA_VTYPE_MSGFLAGS;
      parts[2].u.i = RD_KAFKA_MSG_F_COPY;
      const LibraryError error{rd_kafka_produceva(producer.get(), parts, 3)};
      REQUIRE_FALSE(error);
      REQUIRE(next_report(producer).code == RD_KAFKA_RESP_ERR_NO_ERROR);
    }
    client.reset(GroupClient::make(shared_cluster().settings(), Reader::reading("billing"), nullptr));
  }

  /// Where the partitions of a topic begin, "0:5 1:0 2:2".
  std::string starts(const SubscriptionSpec& spec) { return starts(spec, topic); }
  std::string starts(SubscriptionSpec spec, const std::string& of) {
    spec.topic = topic;
    const Offsets list = new_offsets();
    for (int i = 0; i < 3; ++i) rd_kafka_topic_partition_list_add(list.get(), of.c_str(), i);
    const Result<> result = resolve_starts(client.get(), *list, spec, patience_ms);
    if (!result) return result.error().message();
    std::string text;
    for (int i = 0; i < list->cnt; ++i) {
      const auto& each = list->elems[i];
      text += (text.empty() ? "" : " ") + std::to_string(each.partition) + ":" +
              (each.offset == RD_KAFKA_OFFSET_BEGINNING ? "first" : std::to_string(each.offset));
      if (each.metadata_size == 0) continue;
      text.append("'").append(static_cast<const char*>(each.metadata), each.metadata_size).append("'");
    }
    return text;
  }
  /// The group has done everything before this offset of partition 0.
  void commit(std::int64_t offset, std::string_view metadata) {
    const Offsets list = new_offsets();
    auto& one = *rd_kafka_topic_partition_list_add(list.get(), topic.c_str(), 0);
    one.offset = offset;
    set_metadata(one, metadata);
    REQUIRE(rd_kafka_commit(client.get(), list.get(), 0) == RD_KAFKA_RESP_ERR_NO_ERROR);
  }
};

SubscriptionSpec spec(std::string group, Start::From from = Start::From::earliest) {
  SubscriptionSpec made;
  made.topic = "orders";
  made.group = std::move(group);
  made.start.from = from;
  return made;
}

}  // namespace

TEST_CASE("kafka: who begins early begins with the first, and who begins late after the last") {
  StartsBench bench;
  CHECK(bench.starts(spec("", Start::From::earliest)) == "0:first 1:first 2:first");
  CHECK(bench.starts(spec("", Start::From::latest)) == "0:5 1:0 2:2");
}

TEST_CASE("kafka: who begins at positions begins with the first where none is given") {
  StartsBench bench;
  SubscriptionSpec at = spec("", Start::From::position);
  at.start.positions = {{2, {1, 0}}, {0, {4, 0}}, {7, {9, 0}}};
  CHECK(bench.starts(at) == "0:4 1:first 2:1");
}

TEST_CASE("kafka: a time after everything is the end") {
  StartsBench bench;
  SubscriptionSpec at = spec("", Start::From::time);
  at.start.time = std::chrono::system_clock::now() + 24h;
  CHECK(bench.starts(at) == "0:5 1:0 2:2");
}

TEST_CASE("kafka: a group goes on where it was, with what is written beside it") {
  StartsBench bench;
  Marks marks{3};
  marks.add(4);
  bench.commit(3, marks.text());
  for (const auto from : {Start::From::earliest, Start::From::position}) {
    CHECK(bench.starts(spec("billing", from)) == "0:3'omnibus1:C' 1:first 2:first");
  }
  CHECK(bench.starts(spec("billing", Start::From::latest)) == "0:3'omnibus1:C' 1:0 2:2");
  bench.commit(0, {});
  CHECK(bench.starts(spec("billing", Start::From::latest)) == "0:0 1:0 2:2");
}

TEST_CASE("kafka: a reader without a group asks for no group's offsets") {
  StartsBench bench;
  bench.commit(3, {});
  CHECK(bench.starts(spec("")) == "0:first 1:first 2:first");
}

TEST_CASE("kafka: topics other than the subscription's own begin with their first message") {
  StartsBench bench;
  for (const auto from : {Start::From::latest, Start::From::position, Start::From::time}) {
    SubscriptionSpec at = spec("billing", from);
    at.start.positions = {{0, {4, 0}}};
    at.start.time = std::chrono::system_clock::now() + 24h;
    CHECK(bench.starts(at, bench.other) == "0:first 1:first 2:first");
  }
}

TEST_CASE("kafka: no partitions need no answer") {
  const Owned<rd_kafka_t, rd_kafka_destroy> client{
      GroupClient::make({}, Reader::reading("billing"), nullptr)};
  const Offsets none = new_offsets();
  CHECK(resolve_starts(client.get(), *none, spec("billing", Start::From::latest), 0).has_value());
}

TEST_CASE("kafka: where nobody answers there is no start, and that is said in time") {
  const Owned<rd_kafka_t, rd_kafka_destroy> client{GroupClient::make(
      {"127.0.0.1:1", {}, {}, {}}, Reader::reading("billing"), nullptr)};
  for (const bool group : {true, false}) {
    const Offsets list = new_offsets();
    rd_kafka_topic_partition_list_add(list.get(), "orders", 0);
    const auto begin = std::chrono::steady_clock::now();
    const Result<> result = resolve_starts(client.get(), *list,
                                           spec(group ? "billing" : "", Start::From::latest), 50);
    CHECK(std::chrono::steady_clock::now() - begin < patience);
    REQUIRE_FALSE(result.has_value());
    CHECK(result.error().code == Errc::unavailable);
    CHECK(result.error().operation.find(group ? "group \"billing\"" : "ends") != std::string::npos);
  }
}

TEST_CASE("kafka: what the coordinator says of offsets is passed on") {
  StartsBench bench;
  rd_kafka_mock_push_request_errors(shared_cluster().get(), 9 /* OffsetFetch */, 1,
                                    RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED);
  const Offsets list = new_offsets();
  rd_kafka_topic_partition_list_add(list.get(), "orders", 0);
  const Result<> result = resolve_starts(bench.client.get(), *list, spec("billing"), patience_ms);
  REQUIRE_FALSE(result.has_value());
  CHECK(result.error().code == Errc::access_denied);
}

TEST_CASE("kafka: the ends of a partition") {
  StartsBench bench;
  const auto ends = watermarks(bench.client.get(), bench.topic.c_str(), 2, patience_ms);
  REQUIRE(ends.has_value());
  CHECK(ends->low == 0);
  CHECK(ends->high == 2);
}
