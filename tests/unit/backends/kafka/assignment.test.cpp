// SPDX-License-Identifier: MIT
#include <omnibus/backends/kafka/assignment.hpp>

#include <set>
#include <vector>

#include "catch.hpp"
#include "unit/backends/kafka/tools.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::kafka;
using namespace omnibus::unit;

namespace {

struct At {
  const char* topic;
  std::int32_t partition;
  std::int64_t offset = RD_KAFKA_OFFSET_BEGINNING;
  std::string_view marks{};
};

Offsets list_of(std::initializer_list<At> all) {
  Offsets list = new_offsets();
  for (const At& each : all) {
    auto& one = *rd_kafka_topic_partition_list_add(list.get(), each.topic, each.partition);
    one.offset = each.offset;
    set_metadata(one, each.marks);
  }
  return list;
}

void add(Assignment& assignment, std::initializer_list<At> all) {
  assignment.add(*list_of(all), [](const rd_kafka_topic_partition_t&) { return Queue{}; });
}

Partition* find(Assignment& assignment, const char* topic, std::int32_t partition) {
  return assignment.find(list_of({{topic, partition}})->elems[0]);
}

/// What is to be committed: "orders/0:5'marks' orders/1:7".
std::string text_of_commit(const Offsets& offsets) {
  std::string text;
  for (int i = 0; i < offsets->cnt; ++i) {
    const auto& each = offsets->elems[i];
    text += (text.empty() ? "" : " ") + std::string{each.topic} + "/" +
            std::to_string(each.partition) + ":" + std::to_string(each.offset);
    if (each.metadata_size == 0) continue;
    text.append("'").append(static_cast<const char*>(each.metadata), each.metadata_size).append("'");
  }
  return text;
}

void answer(Assignment& assignment, const Offsets& offsets,
            rd_kafka_resp_err_t all = RD_KAFKA_RESP_ERR_NO_ERROR) {
  assignment.note_committed(all, *offsets);
}

}  // namespace

TEST_CASE("kafka: an assignment is of the topic, and of those in which its messages wait") {
  Assignment assignment{"orders"};
  REQUIRE(assignment.topics().size() == 1 + tiers.size());
  CHECK(assignment.topics().front() == "orders");
  CHECK(assignment.topics()[1] == "orders.later.0s");
  CHECK(assignment.topics().back() == "orders.later.1d");
  CHECK(assignment.all_ours().empty());
  CHECK_FALSE(assignment.needs_commit());
  CHECK_FALSE(assignment.has_leavers());
}

TEST_CASE("kafka: a partition is ours from when it is added until it is removed") {
  Assignment assignment{"orders"};
  add(assignment, {{"orders", 0}, {"orders", 3}, {"orders.later.5s", 0}});
  CHECK(assignment.all_ours().size() == 3);
  REQUIRE(find(assignment, "orders", 3) != nullptr);
  CHECK(find(assignment, "orders", 1) == nullptr);
  CHECK(find(assignment, "orders.later.1s", 0) == nullptr);
  CHECK_FALSE(find(assignment, "orders", 0)->waits);
  CHECK(find(assignment, "orders.later.5s", 0)->waits);
  CHECK(*find(assignment, "orders.later.5s", 0)->topic == "orders.later.5s");
  assignment.remove(*find(assignment, "orders", 3));
  CHECK(find(assignment, "orders", 3) == nullptr);
  CHECK(assignment.all_ours().size() == 2);
  CHECK_FALSE(assignment.has_leavers());
  add(assignment, {{"orders", 3}});
  CHECK(find(assignment, "orders", 3) != nullptr);
}

TEST_CASE("kafka: numbers among all of the subscription are each partition's own") {
  for (const std::int32_t partitions : {1, 32, 33, 64, 500}) {
    CAPTURE(partitions);
    Assignment assignment{"orders"};
    const Offsets list = new_offsets();
    for (std::int32_t i = 0; i < partitions; ++i) {
      for (const std::string& topic : assignment.topics()) {
        rd_kafka_topic_partition_list_add(list.get(), topic.c_str(), i);
      }
    }
    assignment.add(*list, [](const rd_kafka_topic_partition_t&) { return Queue{}; });
    std::set<std::int32_t> ids;
    for (const Partition& each : assignment) {
      ids.insert(each.id);
      if (!each.waits) CHECK(each.id == each.number);  // as Kafka numbers them
    }
    CHECK(ids.size() == static_cast<std::size_t>(partitions) * assignment.topics().size());
  }
}

TEST_CASE("kafka: a partition begins at its offset, with the marks beside it, or at any") {
  Assignment assignment{"orders"};
  add(assignment, {{"orders", 0, 17, "omnibus1:C"}, {"orders", 1}, {"orders", 2, 0, "foreign"}});
  Partition& known = *find(assignment, "orders", 0);
  CHECK(known.expected == 17);
  CHECK(known.progress.committable() == 17);
  CHECK(known.progress.was_done_before(18));
  CHECK_FALSE(known.progress.was_done_before(17));
  CHECK(find(assignment, "orders", 1)->expected == Progress::none);
  CHECK(find(assignment, "orders", 1)->progress.committable() == Progress::none);
  CHECK(find(assignment, "orders", 2)->expected == 0);
  CHECK_FALSE(find(assignment, "orders", 2)->progress.was_done_before(0));
}

TEST_CASE("kafka: what is done is committed once, and again while the broker has not taken it") {
  Assignment assignment{"orders"};
  add(assignment, {{"orders", 0, 5}, {"orders", 1}});
  CHECK(assignment.needs_commit());
  answer(assignment, assignment.uncommitted());
  CHECK_FALSE(assignment.needs_commit());
  Progress& progress = find(assignment, "orders", 0)->progress;
  for (const std::int64_t offset : {5, 6, 7}) (void)progress.add(offset);
  CHECK_FALSE(assignment.needs_commit());
  progress.done(0);
  progress.done(2);
  CHECK(text_of_commit(assignment.uncommitted()) == "orders/0:6'omnibus1:C'");
  answer(assignment, assignment.uncommitted(), RD_KAFKA_RESP_ERR_NOT_COORDINATOR);
  CHECK(assignment.needs_commit());
  Offsets offsets = assignment.uncommitted();
  offsets->elems[0].err = RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS;
  answer(assignment, offsets);
  CHECK(assignment.needs_commit());
  answer(assignment, assignment.uncommitted());
  CHECK_FALSE(assignment.needs_commit());
  CHECK(assignment.uncommitted()->cnt == 0);
}

TEST_CASE("kafka: what is done while a commit is under way is news after it") {
  Assignment assignment{"orders"};
  add(assignment, {{"orders", 0, 5}});
  Progress& progress = find(assignment, "orders", 0)->progress;
  (void)progress.add(5);
  (void)progress.add(6);
  progress.done(0);
  const Offsets offsets = assignment.uncommitted();
  progress.done(1);
  answer(assignment, offsets);
  CHECK(text_of_commit(assignment.uncommitted()) == "orders/0:7");
}

TEST_CASE("kafka: where the broker takes no marks, offsets are committed without") {
  Assignment assignment{"orders"};
  add(assignment, {{"orders", 0, 5}, {"orders", 1, 5}});
  for (const std::int32_t number : {0, 1}) {
    Progress& progress = find(assignment, "orders", number)->progress;
    for (const std::int64_t offset : {5, 6}) (void)progress.add(offset);
    progress.done(1);
  }
  Offsets offsets = assignment.uncommitted();
  CHECK(text_of_commit(offsets) == "orders/0:5'omnibus1:C' orders/1:5'omnibus1:C'");
  offsets->elems[0].err = RD_KAFKA_RESP_ERR_OFFSET_METADATA_TOO_LARGE;
  answer(assignment, offsets);
  CHECK(text_of_commit(assignment.uncommitted()) == "orders/0:5");
}

TEST_CASE("kafka: nothing is committed of a partition that was taken away") {
  Assignment assignment{"orders"};
  add(assignment, {{"orders", 0, 5}});
  const Offsets offsets = assignment.uncommitted();
  Partition& partition = *find(assignment, "orders", 0);
  partition.held = 1;  // unsettled: it stays
  assignment.remove(partition);
  CHECK(assignment.has_leavers());
  CHECK_FALSE(assignment.needs_commit());
  CHECK(assignment.uncommitted()->cnt == 0);
  answer(assignment, offsets);  // late
  CHECK(partition.committed == Partition::never);
}

TEST_CASE("kafka: a partition that was taken away stays until its last record is settled") {
  const std::string topic = new_topic(1);
  Listener listener;
  Producer producer{shared_cluster().settings(), Duration{}, listener};
  Reader reader{shared_cluster().settings(), topic, 0};
  Assignment assignment{topic};
  add(assignment, {{topic.c_str(), 0, 0}});
  Partition& partition = *find(assignment, topic.c_str(), 0);
  std::vector<Held*> held;
  for (int i = 0; i < 3; ++i) {
    REQUIRE(producer.produce(producer.topic(topic).get(), {"k", "p", 1, {}, {}}, 0) ==
            RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_message_t* raw = reader.next();
    REQUIRE(raw != nullptr);
    Held& one = assignment.hold(partition);
    one.take(raw);
    one.number = partition.progress.add(one.offset);
    held.push_back(&one);
  }
  CHECK(partition.held == 3);
  assignment.finish(*held[0], true);
  CHECK(partition.progress.committable() == 1);
  assignment.finish(*held[1], false);
  CHECK(partition.progress.committable() == 1);
  assignment.remove(partition);
  CHECK(assignment.has_leavers());
  add(assignment, {{topic.c_str(), 0, 1}});  // ours again, while the other one still leaves
  CHECK(find(assignment, topic.c_str(), 0) != &partition);
  assignment.finish(*held[2], true);
  CHECK_FALSE(assignment.has_leavers());
  CHECK(assignment.all_ours().size() == 1);
  CHECK(find(assignment, topic.c_str(), 0)->progress.committable() == 1);
}

TEST_CASE("kafka: of a log that is gone nothing is committed, and it is said") {
  Assignment assignment{"orders"};
  const char* const later = assignment.topics()[1].c_str();
  const Offsets list = list_of({{"orders", 0, 5}, {"orders", 1, 5}, {"orders", 2, 5}, {later, 0, 5}});
  set_recorded(list->elems[0]);
  set_recorded(list->elems[1]);
  assignment.add(*list, [](const rd_kafka_topic_partition_t&) { return Queue{}; });
  for (Partition& each : assignment) each.progress.done(each.progress.add(5));
  CHECK(text_of_commit(assignment.recorded([](const Partition& each) { return each.number == 2; })) ==
        "orders/0:-1001 orders/1:-1001");
  CHECK(assignment.recorded([](const Partition&) { return false; })->cnt == 0);

  assignment.note_recorded(*list_of({{"orders", 0, 5}, {"orders", 1, 5}, {"orders", 2, RD_KAFKA_OFFSET_INVALID}}));
  CHECK_FALSE(assignment.remade());  // of 2 nothing was committed before
  CHECK_FALSE(assignment.problem());

  // Where one partition is another one, the whole topic is.
  assignment.note_recorded(*list_of({{"orders", 0, RD_KAFKA_OFFSET_INVALID}, {"orders", 1, 5}}));
  CHECK(assignment.remade());
  REQUIRE(assignment.problem());
  CHECK(assignment.problem()->code == Errc::position_lost);
  CHECK(text_of_commit(assignment.uncommitted()) == std::string{later} + "/0:6");
  CHECK(assignment.recorded([](const Partition&) { return true; })->cnt == 0);

  for (const int number : {0, 1, 2}) assignment.remove(*find(assignment, "orders", number));
  CHECK_FALSE(assignment.problem());
  CHECK(assignment.remade());
}

TEST_CASE("kafka: what was committed once has to stay so") {
  Assignment assignment{"orders"};
  add(assignment, {{"orders", 0, 5}});
  const auto any = [](const Partition&) { return true; };
  CHECK(assignment.recorded(any)->cnt == 0);
  Partition& partition = *find(assignment, "orders", 0);
  partition.progress.done(partition.progress.add(5));
  answer(assignment, assignment.uncommitted(), RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
  CHECK(assignment.recorded(any)->cnt == 0);
  answer(assignment, assignment.uncommitted());
  CHECK(assignment.recorded(any)->cnt == 1);
}
