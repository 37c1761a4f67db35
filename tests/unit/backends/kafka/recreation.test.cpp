// SPDX-License-Identifier: MIT
#include <omnibus/backends/kafka/recreation.hpp>

#include "catch.hpp"
#include "unit/backends/kafka/tools.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::kafka;
using namespace omnibus::unit;

namespace {

/// A member of a group that has one partition, of which the group had committed an offset, as it was told.
struct Made {
  const std::string topic = new_topic(1);
  Assignment assignment{topic};
  Listener listener;
  GroupClient client{shared_cluster().settings(), Reader::reading(topic), listener};

  Made() {
    const Offsets list = one(10);
    set_recorded(list->elems[0]);
    assignment.add(*list, [](const rd_kafka_topic_partition_t&) { return Queue{}; });
  }
  Offsets one(std::int64_t offset) const {
    Offsets list = new_offsets();
    rd_kafka_topic_partition_list_add(list.get(), topic.c_str(), 0)->offset = offset;
    return list;
  }
  bool known(bool has_news) {
    return logs_are_known(client, assignment, [has_news](const Partition&) { return has_news; }, patience_ms);
  }
};

}  // namespace

TEST_CASE("kafka: a log of which the group has an offset is there") {
  Made made;
  REQUIRE(rd_kafka_commit(made.client.get(), made.one(10).get(), 0) == RD_KAFKA_RESP_ERR_NO_ERROR);
  CHECK(made.known(true));
  CHECK_FALSE(made.assignment.remade());
}

TEST_CASE("kafka: a log of which the group has no offset any more is gone") {
  Made made;
  CHECK(made.known(false));  // nothing is to be committed, so nobody asks
  CHECK_FALSE(made.assignment.remade());
  CHECK(made.known(true));
  CHECK(made.assignment.remade());
}

TEST_CASE("kafka: while the broker does not say, nothing is known") {
  Made made;
  Settings away = shared_cluster().settings();
  away.endpoint = "127.0.0.1:1";
  const GroupClient client{away, Reader::reading(made.topic), made.listener};
  CHECK_FALSE(logs_are_known(client, made.assignment, [](const Partition&) { return true; }, 50));
  CHECK_FALSE(made.assignment.remade());
}
