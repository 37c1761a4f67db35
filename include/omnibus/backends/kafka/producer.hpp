// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <omnibus/backends/kafka/client.hpp>
#include <omnibus/backends/kafka/record.hpp>
#include <omnibus/backends/kafka/settings.hpp>
#include <omnibus/detail/smaller.hpp>
#include <omnibus/headers.hpp>
#include <omnibus/result.hpp>

// librdkafka's producer and its topics, as the publisher uses them.

namespace omnibus::kafka {

/// What one record is made of, kept elsewhere.
struct RecordView {
  std::string_view key;  ///< empty: none
  std::string_view payload;
  std::int64_t time = 0;       ///< milliseconds since 1970
  std::string_view envelope;   ///< the value of our own header; empty: none
  HeadersView headers;         ///< the others
};

/// One record that owns its bytes.
struct Record {
  std::string key, payload, envelope;
  std::int64_t time = 0;
  Headers headers;

  Record() = default;
  explicit Record(const RecordView& view)
      : key{view.key},
        payload{view.payload},
        envelope{view.envelope},
        time{view.time},
        headers{view.headers} {}
  /// What librdkafka gives back, to be sent again.
  explicit Record(const rd_kafka_message_t& sent)
      : key{static_cast<const char*>(sent.key), sent.key_len},
        payload{static_cast<const char*>(sent.payload), sent.len} {
    time = time_of(sent);
    rd_kafka_headers_t* found = nullptr;
    if (rd_kafka_message_headers(&sent, &found) != RD_KAFKA_RESP_ERR_NO_ERROR) return;
    const char* name = nullptr;
    const void* value = nullptr;
    std::size_t size = 0;
    for (std::size_t i = 0; rd_kafka_header_get_all(found, i, &name, &value, &size) == 0; ++i) {
      const std::string_view text{static_cast<const char*>(value), size};
      if (name == own_header) {
        envelope = text;
      } else {
        headers.add(name, text);
      }
    }
  }
  RecordView view() const noexcept { return {key, payload, time, envelope, headers}; }

 private:
  /// librdkafka tells no time of what failed, though it has it.
  static std::int64_t time_of(const rd_kafka_message_t& sent) noexcept {
    auto& message = const_cast<rd_kafka_message_t&>(sent);
    const auto code = std::exchange(message.err, RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_timestamp_type_t type{};
    const std::int64_t time = rd_kafka_message_timestamp(&sent, &type);
    message.err = code;
    return time;
  }
};

/// What is known of a topic.
struct TopicFacts {
  int partitions = 0;
  int fewest_in_sync = 0;  ///< in-sync replicas of the partition that has fewest
  int replicas = 0;        ///< of the partition that has most
};

/// Asks what there is of a topic. Blocks for at most `ms`. Errors: those of librdkafka; not_found is
/// the broker's word.
inline Result<TopicFacts> describe(rd_kafka_t* client, rd_kafka_topic_t* topic, int ms) {
  const std::string operation = "look up topic \"" + std::string{rd_kafka_topic_name(topic)} + "\"";
  const struct rd_kafka_metadata* found = nullptr;
  if (const auto code = rd_kafka_metadata(client, 0, topic, &found, ms);
      code != RD_KAFKA_RESP_ERR_NO_ERROR) {
    return to_error(code, operation);
  }
  const Owned<const struct rd_kafka_metadata, rd_kafka_metadata_destroy> owned{found};
  if (found->topic_cnt != 1) return to_error(RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, operation);
  const rd_kafka_metadata_topic& what = found->topics[0];
  if (what.err != RD_KAFKA_RESP_ERR_NO_ERROR) return to_error(what.err, operation);
  TopicFacts facts{what.partition_cnt, INT32_MAX};
  for (int i = 0; i < what.partition_cnt; ++i) {
    if (what.partitions[i].leader < 0) {
      return to_error(RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE, operation);
    }
    facts.fewest_in_sync = omnibus::detail::smaller(facts.fewest_in_sync, what.partitions[i].isr_cnt);
    facts.replicas = omnibus::detail::larger(facts.replicas, what.partitions[i].replica_cnt);
  }
  if (facts.partitions == 0) return to_error(RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE, operation);
  return facts;
}

/// Asks the leaders of a topic that is there themselves. A broker names them a moment before they know that
/// they lead, and a new leader that refuses a producer's first batch may take the second, which is under way
/// behind it: the first one is then lost for good (KAFKA-15591). Blocks for at most `ms`.
inline Result<> check_leaders(rd_kafka_t* client, rd_kafka_topic_t* topic, int partitions, int ms) {
  const char* name = rd_kafka_topic_name(topic);
  const Offsets asked = new_offsets(static_cast<std::size_t>(partitions));
  for (int i = 0; i < partitions; ++i) {
    rd_kafka_topic_partition_list_add(asked.get(), name, i)->offset = 0;  // milliseconds since 1970
  }
  auto code = rd_kafka_offsets_for_times(client, asked.get(), ms);
  for (int i = 0; i < partitions && code == RD_KAFKA_RESP_ERR_NO_ERROR; ++i) code = asked->elems[i].err;
  if (code == RD_KAFKA_RESP_ERR_NO_ERROR) return {};
  // It does not know of it yet.
  if (errc_of(code) == Errc::not_found) code = RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE;
  return to_error(code, "ask the leaders of topic \"" + std::string{name} + "\"");
}

/// What a topic is to be like when it is made.
struct TopicPlan {
  std::string name;
  int partitions = 4;
  int replicas = -1;  ///< -1: as many as the broker makes by itself
  std::chrono::milliseconds retention{0};  ///< 0: the broker's choice
};

/// Asks the broker to make a topic. The answer comes to the queue, as an event that carries `opaque`.
inline Result<> create(rd_kafka_t* client, const TopicPlan& plan, rd_kafka_queue_t* answers,
                       void* opaque) {
  char why[256];
  const Owned<rd_kafka_NewTopic_t, rd_kafka_NewTopic_destroy> topic{rd_kafka_NewTopic_new(
      plan.name.c_str(), plan.partitions, plan.replicas, why, sizeof why)};
  if (!topic) return Error::make(Errc::invalid_argument, "create topic \"" + plan.name + "\"", why);
  if (plan.retention.count() > 0) {
    rd_kafka_NewTopic_set_config(topic.get(), "retention.ms",
                                 std::to_string(plan.retention.count()).c_str());
  }
  const Owned<rd_kafka_AdminOptions_t, rd_kafka_AdminOptions_destroy> options{
      rd_kafka_AdminOptions_new(client, RD_KAFKA_ADMIN_OP_CREATETOPICS)};
  rd_kafka_AdminOptions_set_request_timeout(options.get(), 5000, why, sizeof why);
  rd_kafka_AdminOptions_set_opaque(options.get(), opaque);
  rd_kafka_NewTopic_t* topics[]{topic.get()};
  rd_kafka_CreateTopics(client, topics, 1, options.get(), answers);
  return {};
}

/// How making a topic ended; that it was there before is fine.
inline Result<> created(rd_kafka_event_t* event) {
  if (const auto code = rd_kafka_event_error(event); code != RD_KAFKA_RESP_ERR_NO_ERROR) {
    return to_error(code, "create topic", text_of(rd_kafka_event_error_string(event)));
  }
  std::size_t count = 0;
  const auto* results =
      rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count);
  for (std::size_t i = 0; i < count; ++i) {
    const auto code = rd_kafka_topic_result_error(results[i]);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR || code == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) continue;
    return to_error(code,
                    "create topic \"" + std::string{rd_kafka_topic_result_name(results[i])} + "\"",
                    text_of(rd_kafka_topic_result_error_string(results[i])));
  }
  return {};
}

/// The broker ends a transaction that is open for so long. Until then nobody reads beyond it who reads committed
/// messages alone, and nobody takes over the partitions of a process that died in it.
inline constexpr Duration longest_transaction = std::chrono::seconds{15};

/// One producer. Thread safety: one thread produces at a time, one polls.
class Producer {
 public:
  /// `batch_bytes`: of messages that travel together, at most; 0: as the settings say. With a `transactional_id`
  /// it publishes in transactions alone, and reports go to the callbacks.
  Producer(const Settings& settings, Duration linger, Callbacks& callbacks, std::size_t batch_bytes = 0,
           const std::string& transactional_id = {})
      : client_{make(settings, linger, &callbacks, batch_bytes, transactional_id)},
        batch_bytes_{number_of(client_.get(), "batch.size")},
        events_{rd_kafka_queue_get_main(client_.get())} {}
  ~Producer() { events_.reset(); }
  Producer(const Producer&) = delete;

  /// Throws std::invalid_argument where the settings are wrong. Without `callbacks`, nothing
  /// is heard of it.
  static rd_kafka_t* make(const Settings& settings, Duration linger, Callbacks* callbacks,
                          std::size_t batch_bytes = 0, const std::string& transactional_id = {}) {
    ConfBuilder conf;
    const bool transactional = !transactional_id.empty();
    conf.add(settings)
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("partitioner", "murmur2_random")
        .set("allow.auto.create.topics", "false")
        .set("message.timeout.ms", transactional ? longest_transaction : std::chrono::minutes{5})
        .set("queue.buffering.max.messages", "10000000")  // the window is ours
        .set("queue.buffering.max.kbytes", "2147483647")
        .set("message.max.bytes", "100000000");  // the broker's own limit counts
    conf.set("linger.ms", std::to_string(std::chrono::duration<double, std::milli>(linger).count()));
    // Every message has its report.
    conf.leave("delivery.report.only.error").leave("transactional.id").leave("enabled_events");
    if (transactional) {
      conf.set("transactional.id", transactional_id).set("transaction.timeout.ms", longest_transaction);
      conf.serve_reports();
    }
    conf.add(settings.properties);
    if (batch_bytes > 0) conf.set("batch.size", std::to_string(batch_bytes));
    if (!transactional) conf.events(RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR);
    callbacks != nullptr ? conf.call(*callbacks) : conf.quiet();
    return conf.make(RD_KAFKA_PRODUCER, secrets_of(settings));
  }

  rd_kafka_t* get() const noexcept { return client_.get(); }
  std::size_t batch_bytes() const noexcept { return batch_bytes_; }
  Topic topic(const std::string& name) const {
    return Topic{rd_kafka_topic_new(client_.get(), name.c_str(), nullptr)};
  }

  /// Hands one record to librdkafka, which copies it. Its report carries `number`.
  rd_kafka_resp_err_t produce(rd_kafka_topic_t* topic, const RecordView& record, std::uint64_t number) {
    std::size_t count = 0;
    const auto next = [&](rd_kafka_vtype_t type) -> rd_kafka_vu_t& {
      if (count == parts_.size()) parts_.resize(count * 2);
      parts_[count].vtype = type;
      return parts_[count++];
    };
    next(RD_KAFKA_VTYPE_RKT).u.rkt = topic;
    next(RD_KAFKA_VTYPE_MSGFLAGS).u.i = RD_KAFKA_MSG_F_COPY;
    // Without a pointer it would be a tombstone, which is something else than no bytes.
    const std::string_view payload = record.payload.empty() ? std::string_view{""} : record.payload;
    next(RD_KAFKA_VTYPE_VALUE).u.mem = {const_cast<char*>(payload.data()), payload.size()};
    if (!record.key.empty()) {
      next(RD_KAFKA_VTYPE_KEY).u.mem = {const_cast<char*>(record.key.data()), record.key.size()};
    }
    if (record.time > 0) next(RD_KAFKA_VTYPE_TIMESTAMP).u.i64 = record.time;
    next(RD_KAFKA_VTYPE_OPAQUE).u.ptr = reinterpret_cast<void*>(number);
    // As a list of our own: of single ones librdkafka before 2.12 (its changelog) lets go twice where
    // the topic turns out not to be there.
    HeaderList headers{rd_kafka_headers_new(record.headers.size() + 1)};
    const auto header = [&](std::string_view name, std::string_view value) {
      rd_kafka_header_add(headers.get(), name.data(), static_cast<ssize_t>(name.size()), value.data(),
                          static_cast<ssize_t>(value.size()));
    };
    if (!record.envelope.empty()) header(own_header, record.envelope);
    for (const Header each : record.headers) header(each.name, each.value);
    next(RD_KAFKA_VTYPE_HEADERS).u.headers = headers.get();
    const LibraryError error{rd_kafka_produceva(client_.get(), parts_.data(), count)};
    if (error) return rd_kafka_error_code(error.get());
    (void)headers.release();  // they are the message's now
    return RD_KAFKA_RESP_ERR_NO_ERROR;
  }

  /// Lets librdkafka send what it has without lingering. It hears of that by itself when everything has
  /// its report, and it has surely begun by then or after a short time. From any thread.
  void hurry() noexcept {
    constexpr int to_begin_ms = 1;
    rd_kafka_flush(client_.get(), to_begin_ms);
  }

  /// The next event; nothing after `ms`, or after `wake`.
  Event poll(int ms) { return Event{rd_kafka_queue_poll(events_.get(), ms)}; }
  /// Makes `poll` return. From any thread.
  void wake() noexcept { rd_kafka_queue_yield(events_.get()); }
  rd_kafka_queue_t* events() const noexcept { return events_.get(); }

 private:
  using HeaderList = Owned<rd_kafka_headers_t, rd_kafka_headers_destroy>;

  Owned<rd_kafka_t, rd_kafka_destroy> client_;
  const std::size_t batch_bytes_;
  Queue events_;
  std::vector<rd_kafka_vu_t> parts_ = std::vector<rd_kafka_vu_t>(16);
};

}  // namespace omnibus::kafka
