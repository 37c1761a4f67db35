// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <omnibus/backends/kafka/client.hpp>
#include <omnibus/backends/kafka/producer.hpp>
#include <omnibus/backends/kafka/refill.hpp>
#include <omnibus/backends/kafka/settings.hpp>
#include <omnibus/backends/kafka/transaction.hpp>
#include <omnibus/detail/smaller.hpp>
#include <omnibus/detail/uuid.hpp>
#include <omnibus/detail/wakeup.hpp>
#include <omnibus/result.hpp>
#include <omnibus/subscription_spec.hpp>

// librdkafka's consumer, as a subscription uses it.

namespace omnibus::kafka {

/// What is read, and how.
struct Reading {
  SubscriptionSpec spec;
  TopicPlan plan;  ///< of the topic, where it has to be made
  bool create_topics = true;
  std::string member{};  ///< a name that survives restarts; empty: none
  Duration session_timeout{};
  Duration commit_interval{};
  Duration drain_timeout{};
  Duration linger{};  ///< of what is published in transactions

  /// How its transactions are made. Of one without a name for its member, each time by another producer.
  TransactorPlan transactor() const {
    std::string name = member;
    if (name.empty()) {
      const omnibus::detail::UuidText unique = omnibus::detail::UuidGenerator{}.next(std::chrono::system_clock::now());
      name.assign(unique.data(), unique.size());
    }
    return {transactional_id(spec.group, spec.topic, name), linger, create_topics, plan};
  }

  /// True for one that joins no group and commits nothing.
  bool alone() const noexcept { return spec.group.empty() || spec.use == Use::look; }
};

/// One consumer. Thread safety: one thread at a time.
class GroupClient {
 public:
  GroupClient(const Settings& settings, const Reading& reading, Callbacks& callbacks)
      : client_{make(settings, reading, &callbacks)} {
    rd_kafka_poll_set_consumer(client_.get());
    answers_ = Queue{rd_kafka_queue_new(client_.get())};
    events_ = Queue{rd_kafka_queue_get_consumer(client_.get())};
    hear(answers_.get());
    hear(events_.get());
    if (Refill::is_needed()) refill_.emplace(client_.get());
  }
  ~GroupClient() {
    empty_retired();
    refill_.reset();
    topic_.reset();
    answers_.reset();
    events_.reset();
  }
  GroupClient(const GroupClient&) = delete;

  /// Throws std::invalid_argument where the settings are wrong. Without `callbacks`, nothing
  /// is heard of it.
  static rd_kafka_t* make(const Settings& settings, const Reading& reading, Callbacks* callbacks) {
    ConfBuilder conf;
    conf.add(settings)
        .set("group.id", reading.spec.group.empty() ? "omnibus-reader" : reading.spec.group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")  // where nothing is found any more, see check_gap
        .set("allow.auto.create.topics", "false")
        .set("session.timeout.ms", reading.session_timeout)
        .set("topic.metadata.refresh.interval.ms", std::chrono::seconds{1})
        .set_if("group.instance.id", reading.member)
        .leave("enabled_events");
    conf.set_default(settings.properties, "max.poll.interval.ms", longest_silence(reading));
    // Fetched and not taken, for each partition.
    conf.set_default(settings.properties, "queued.max.messages.kbytes", "8192");
    // One request at a time is under way to a broker: when full queues have been emptied, it may be one
    // that waits for news of empty partitions.
    conf.set_default(settings.properties, "fetch.wait.max.ms", "100");
    if (!Refill::is_needed()) {
      conf.set_default(settings.properties, "fetch.queue.backoff.ms", "10");
    }
    // Cooperative rebalances lose assignments, or loop, before librdkafka 2.6.1 (its changelog).
    conf.set_default(settings.properties, "partition.assignment.strategy",
                     rd_kafka_version() >= 0x020601ff ? "cooperative-sticky" : "range,roundrobin");
    // Who takes over must not look past an offset that somebody may still commit.
    if (reading.spec.transactional) conf.set("isolation.level", "read_committed");
    conf.add(settings.properties).serve_consumer();
    callbacks != nullptr ? conf.call(*callbacks) : conf.quiet();
    return conf.make(RD_KAFKA_CONSUMER, secrets_of(settings));
  }

  /// How long a member may not poll, in milliseconds. We always do, but while handlers end and what is done
  /// is committed. Nobody waits longer for an answer to joining the group either, which may be lost with its
  /// connection, and in the meantime says nothing.
  static std::string longest_silence(const Reading& reading) {
    using omnibus::detail::smaller;
    constexpr Duration most = std::chrono::hours{12}, commits = std::chrono::seconds{10};
    const Duration longest =
        smaller(reading.session_timeout, most) + smaller(reading.drain_timeout, most - commits) + commits;
    return std::to_string(std::chrono::ceil<std::chrono::milliseconds>(longest).count());
  }

  /// Throws std::invalid_argument where the settings are wrong.
  static void check(const Settings& settings, const Reading& reading) {
    destroy(make(settings, reading, nullptr));
  }

  rd_kafka_t* get() const noexcept { return client_.get(); }
  /// Can be read when there is something to take.
  int fd() const noexcept { return bell_.get(); }
  void woken() const noexcept { bell_.clear(); }

  /// Serves callbacks; what else comes is a problem.
  template <class Problem>
  void poll(Problem problem) {
    while (rd_kafka_message_t* raw = rd_kafka_consumer_poll(client_.get(), 0)) {
      problem(*raw);
      rd_kafka_message_destroy(raw);
    }
  }

  /// Asks the broker to make a topic; the answer comes from `created`, once.
  void create(const TopicPlan& plan) {
    if (const Result<> asked = kafka::create(client_.get(), plan, answers_.get(), nullptr); !asked) {
      answer_ = asked;
    }
  }
  std::optional<Result<>> created() {
    if (answer_) return std::exchange(answer_, std::nullopt);
    const Event event{rd_kafka_queue_poll(answers_.get(), 0)};
    if (!event || rd_kafka_event_type(event.get()) != RD_KAFKA_EVENT_CREATETOPICS_RESULT) return {};
    return kafka::created(event.get());
  }

  Result<> subscribe(const std::vector<std::string>& topics) {
    const Offsets list = new_offsets(topics.size());
    for (const std::string& topic : topics) {
      rd_kafka_topic_partition_list_add(list.get(), topic.c_str(), RD_KAFKA_PARTITION_UA);
    }
    const auto code = rd_kafka_subscribe(client_.get(), list.get());
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return to_error(code, "join the group");
    return {};
  }

  /// Leaves the group for now. That all partitions are taken away follows.
  void unsubscribe() { rd_kafka_unsubscribe(client_.get()); }

  /// All partitions of those topics that are there; the first one has to be. Blocks for a short time.
  Result<Offsets> all_partitions(const std::vector<std::string>& topics) {
    Offsets all = new_offsets();
    for (const std::string& name : topics) {
      const Topic topic{rd_kafka_topic_new(client_.get(), name.c_str(), nullptr)};
      const Result<TopicFacts> facts = describe(client_.get(), topic.get(), 500);
      if (!facts && &name == &topics.front()) return facts.error();
      for (int i = 0; facts && i < facts->partitions; ++i) {
        rd_kafka_topic_partition_list_add(all.get(), name.c_str(), i);
      }
    }
    return all;
  }

  /// True when a broker answers. Blocks for a short time.
  bool reachable(const std::string& name) {
    if (!topic_) topic_ = Topic{rd_kafka_topic_new(client_.get(), name.c_str(), nullptr)};
    const struct rd_kafka_metadata* found = nullptr;
    if (rd_kafka_metadata(client_.get(), 0, topic_.get(), &found, 200) != RD_KAFKA_RESP_ERR_NO_ERROR) {
      return false;
    }
    rd_kafka_metadata_destroy(found);
    return true;
  }

  /// Records were taken from the queue of a partition.
  void taken(Taken& all, const std::string& topic, std::int32_t partition) {
    if (refill_) refill_->taken(all, topic, partition);
  }

  /// The queue of a partition, apart from all others.
  Queue detach(const rd_kafka_topic_partition_t& what) const {
    Queue queue{rd_kafka_queue_get_partition(client_.get(), what.topic, what.partition)};
    if (!queue) return queue;
    rd_kafka_queue_forward(queue.get(), nullptr);
    hear(queue.get());
    return queue;
  }

  /// A partition is no longer read. Its queue is emptied later: what stands in it, or still comes,
  /// refers to the partition, and before librdkafka 2.1 (its changelog, #4187) it kept one whose topic
  /// was deleted for ever, and rd_kafka_destroy waiting for it.
  void retire(Queue& queue) {
    if (queue) retired_.push_back(std::move(queue));
  }
  /// Empties the queues of partitions that have been stopped.
  void empty_retired() {
    rd_kafka_message_t* left[64];
    for (const Queue& each : retired_) {
      while (const auto count = rd_kafka_consume_batch_queue(each.get(), 0, left, 64)) {
        if (count < 0) break;
        for (std::ptrdiff_t i = 0; i < count; ++i) rd_kafka_message_destroy(left[i]);
      }
    }
    retired_.clear();
  }

  Result<> assign(const rd_kafka_topic_partition_list_t& list) {
    if (!cooperative()) return assign_all(list);
    const LibraryError error{rd_kafka_incremental_assign(client_.get(), &list)};
    if (!error) return {};
    return to_error(rd_kafka_error_code(error.get()), "assign", rd_kafka_error_string(error.get()));
  }
  Result<> assign_all(const rd_kafka_topic_partition_list_t& list) {
    const auto code = rd_kafka_assign(client_.get(), &list);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return to_error(code, "assign");
    return {};
  }
  void unassign(const rd_kafka_topic_partition_list_t& list) {
    if (cooperative()) {
      const LibraryError error{rd_kafka_incremental_unassign(client_.get(), &list)};
    } else {
      rd_kafka_assign(client_.get(), nullptr);
    }
  }
  /// Takes none of what was assigned. An empty list: without one, librdkafka takes it for the answer to a revocation,
  /// and waits for ever for the one to the assignment.
  void assign_nothing() { (void)assign(*new_offsets(1)); }
  /// Others may have the partitions already.
  bool assignment_lost() const noexcept { return rd_kafka_assignment_lost(client_.get()) != 0; }

  /// Who we are in the group. Nothing when we are none of its members, or others may have our partitions: the broker
  /// would take offsets of somebody without a name from anybody.
  Membership membership() const {
    Membership found{rd_kafka_consumer_group_metadata(client_.get())};
    char* name = rd_kafka_memberid(client_.get());  // asked for last: it is not had again before `rebalance`
    const bool member = name != nullptr && *name != '\0';
    if (name != nullptr) rd_kafka_mem_free(client_.get(), name);
    return member && !assignment_lost() ? std::move(found) : Membership{};
  }

  /// Looks up what the group has committed of these. Blocks until the answer, or for so long.
  Result<> look_up(rd_kafka_topic_partition_list_t& list, int ms) const {
    auto code = rd_kafka_committed(client_.get(), &list, ms);
    for (int i = 0; i < list.cnt && code == RD_KAFKA_RESP_ERR_NO_ERROR; ++i) code = list.elems[i].err;
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return to_error(code, "look up what the group has committed");
    return {};
  }

  /// Begins a commit; the callback says how it ended. Returns false when there will be no callback.
  bool commit(const rd_kafka_topic_partition_list_t& offsets) {
    return rd_kafka_commit(client_.get(), &offsets, 1) == RD_KAFKA_RESP_ERR_NO_ERROR;
  }
  /// Commits, and waits for the broker's answer. Nothing when there is none by then.
  Event commit(const rd_kafka_topic_partition_list_t& offsets, Instant until) {
    const Queue answer{rd_kafka_queue_new(client_.get())};
    if (rd_kafka_commit_queue(client_.get(), &offsets, answer.get(), nullptr, nullptr) !=
        RD_KAFKA_RESP_ERR_NO_ERROR) {
      return {};
    }
    const int ms = ms_until(until, std::chrono::steady_clock::now());
    return Event{rd_kafka_queue_poll(answer.get(), ms)};
  }

  /// Leaves the group. False when that did not work in time.
  bool close(Instant until) {
    const LibraryError error{rd_kafka_consumer_close_queue(client_.get(), events_.get())};
    if (error) return false;
    while (rd_kafka_consumer_closed(client_.get()) == 0) {
      const auto now = std::chrono::steady_clock::now();
      const Event event{rd_kafka_queue_poll(events_.get(), ms_until(until, now))};
      // It waits for an answer to each rebalance, and so would its destructor.
      const bool asked = event && rd_kafka_event_type(event.get()) == RD_KAFKA_EVENT_REBALANCE;
      if (asked || now >= until) rd_kafka_assign(client_.get(), nullptr);
      if (now >= until) return false;
    }
    return true;
  }

  Error fatal_problem() const {
    char why[256];
    const auto code = rd_kafka_fatal_error(client_.get(), why, sizeof why);
    return to_error(code, "", why);
  }

 private:
  /// The bell rings when the queue is no longer empty.
  void hear(rd_kafka_queue_t* queue) const {
    constexpr std::uint64_t one = 1;
    rd_kafka_queue_io_event_enable(queue, bell_.get(), &one, sizeof one);
  }
  /// A consumer that was not closed dies without a word, like its process.
  static void destroy(rd_kafka_t* client) noexcept {
    rd_kafka_destroy_flags(client, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
  }
  bool cooperative() const noexcept {
    return text_of(rd_kafka_rebalance_protocol(client_.get())) == "COOPERATIVE";
  }

  const omnibus::detail::EventFd bell_;
  Owned<rd_kafka_t, destroy> client_;
  Queue answers_;
  Queue events_;
  Topic topic_;
  std::vector<Queue> retired_;
  std::optional<Result<>> answer_;
  std::optional<Refill> refill_;
};

}  // namespace omnibus::kafka
