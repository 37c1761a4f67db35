// SPDX-License-Identifier: MIT
#include <omnibus/backends/kafka/commits.hpp>

#include "catch.hpp"
#include "unit/backends/kafka/tools.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::kafka;
using namespace omnibus::unit;

namespace {

/// One partition of a topic, of which the test says what is done.
struct Made {
  const std::string topic = new_topic(1);
  Assignment assignment{topic};
  Listener listener;
  GroupClient client{shared_cluster().settings(), Reader::reading(topic), listener};
  Commits commits{assignment, 1s};
  const Instant start{1h};

  Made() {
    const Offsets list = new_offsets();
    rd_kafka_topic_partition_list_add(list.get(), topic.c_str(), 0)->offset = 10;
    assignment.add(*list, [](const rd_kafka_topic_partition_t&) { return Queue{}; });
  }
  void done(std::int64_t offset) {
    Partition& partition = *assignment.all_ours().front();
    partition.progress.done(partition.progress.add(offset));
  }
  std::int64_t committed() const {
    const Offsets found = new_offsets();
    rd_kafka_topic_partition_list_add(found.get(), topic.c_str(), 0);
    rd_kafka_committed(client.get(), found.get(), patience_ms);
    return found->elems[0].offset;
  }
};

}  // namespace

TEST_CASE("kafka: what is done is committed now and then") {
  Made made;
  made.done(10);
  made.commits.turn(made.client, made.start, false);
  CHECK(eventually([&] {
    made.client.poll([](const rd_kafka_message_t&) {});
    return made.listener.commits() == 1;
  }));
  CHECK(made.committed() == 11);
  made.done(11);
  CHECK(made.commits.next(made.start + 1ms) == made.start + 1s);
  made.commits.turn(made.client, made.start + 1s, false);  // the answer was not told: one is under way
  CHECK(made.commits.next(made.start + 1s) == made.start + 2s);
}

TEST_CASE("kafka: at the end what is done is committed at once, unless no broker is in sight") {
  Made made;
  made.done(10);
  CHECK_FALSE(made.commits.finish(made.client, std::chrono::steady_clock::now() + patience, true));
  CHECK(made.committed() == RD_KAFKA_OFFSET_INVALID);
  CHECK(made.commits.finish(made.client, std::chrono::steady_clock::now() + patience, false));
  CHECK(made.committed() == 11);
  CHECK_FALSE(made.assignment.needs_commit());
  CHECK(made.commits.next(Instant::min()) == Instant::max());
}

TEST_CASE("kafka: an answer ends a commit, and a refusal leaves it to the next") {
  Made made;
  made.done(10);
  made.commits.turn(made.client, made.start, false);
  made.commits.ended(RD_KAFKA_RESP_ERR__TRANSPORT, nullptr);
  CHECK(made.assignment.needs_commit());
  made.commits.turn(made.client, made.start + 1s, false);
  CHECK(eventually([&] {
    made.client.poll([](const rd_kafka_message_t&) {});
    return made.listener.commits() == 2;
  }));
}

TEST_CASE("kafka: what is done of a log that is gone is not committed") {
  Made made;
  made.done(10);
  made.assignment.all_ours().front()->recorded = true;  // and the broker has nothing of it
  made.commits.turn(made.client, made.start, false);
  CHECK(made.assignment.remade());
  CHECK_FALSE(made.assignment.needs_commit());
  CHECK(made.commits.finish(made.client, std::chrono::steady_clock::now() + patience, false));
  CHECK(made.committed() == RD_KAFKA_OFFSET_INVALID);
}

TEST_CASE("kafka: who has no time left commits all the same") {
  Made made;
  made.done(10);
  CHECK(made.commits.finish(made.client, std::chrono::steady_clock::now() + patience, false));
  made.done(11);
  (void)made.commits.finish(made.client, Instant::min(), false);
  CHECK(eventually([&] { return made.committed() == 12; }));
}
