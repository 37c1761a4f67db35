// SPDX-License-Identifier: MIT
#pragma once

#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// What omnibus is measured against: librdkafka as a good engineer uses it by the book. Every call
// throws when it does not do what was asked.

namespace bench {

inline void check(rd_kafka_resp_err_t code, const char* what) {
  if (code == RD_KAFKA_RESP_ERR_NO_ERROR) return;
  throw std::runtime_error{std::string{"librdkafka: "} + what + ": " + rd_kafka_err2str(code)};
}

template <auto destroy>
struct Destroy {
  template <class T>
  void operator()(T* object) const noexcept {
    destroy(object);
  }
};
template <class T, auto destroy>
using Own = std::unique_ptr<T, Destroy<destroy>>;
using KafkaClient = Own<rd_kafka_t, rd_kafka_destroy>;
using KafkaQueue = Own<rd_kafka_queue_t, rd_kafka_queue_destroy>;

/// The configuration of a client, property by property.
class KafkaConf {
 public:
  explicit KafkaConf(const std::string& endpoint) {
    set("bootstrap.servers", endpoint);
    set("socket.nagle.disable", "true");
  }
  KafkaConf& set(const char* name, const std::string& value) {
    char why[256];
    if (rd_kafka_conf_set(conf_, name, value.c_str(), why, sizeof why) != RD_KAFKA_CONF_OK) {
      throw std::runtime_error{std::string{"librdkafka: "} + why};
    }
    return *this;
  }
  rd_kafka_conf_t* get() const noexcept { return conf_; }
  /// Makes a client. Once.
  KafkaClient make(rd_kafka_type_t type) {
    char why[256];
    KafkaClient client{rd_kafka_new(type, conf_, why, sizeof why)};
    if (!client) throw std::runtime_error{std::string{"librdkafka: "} + why};
    return client;
  }

 private:
  rd_kafka_conf_t* conf_ = rd_kafka_conf_new();  // the client takes it
};

/// Makes topics, and deletes them with what is in them. All of it blocks.
class KafkaTopics {
 public:
  explicit KafkaTopics(const std::string& endpoint)
      : client_{KafkaConf{endpoint}.make(RD_KAFKA_PRODUCER)},
        answers_{rd_kafka_queue_new(client_.get())} {}
  ~KafkaTopics() { answers_.reset(); }

  void create(const std::string& name, int partitions) {
    char why[256];
    const Own<rd_kafka_NewTopic_t, rd_kafka_NewTopic_destroy> topic{
        rd_kafka_NewTopic_new(name.c_str(), partitions, -1, why, sizeof why)};
    rd_kafka_NewTopic_t* topics[]{topic.get()};
    rd_kafka_CreateTopics(client_.get(), topics, 1, nullptr, answers_.get());
    await("create a topic");
  }
  void remove(const std::string& name) {
    const Own<rd_kafka_DeleteTopic_t, rd_kafka_DeleteTopic_destroy> topic{
        rd_kafka_DeleteTopic_new(name.c_str())};
    rd_kafka_DeleteTopic_t* topics[]{topic.get()};
    rd_kafka_DeleteTopics(client_.get(), topics, 1, nullptr, answers_.get());
    await("delete a topic");
  }

 private:
  void await(const char* what) {
    const Own<rd_kafka_event_t, rd_kafka_event_destroy> event{
        rd_kafka_queue_poll(answers_.get(), 30'000)};
    if (!event) throw std::runtime_error{std::string{"librdkafka: no answer: "} + what};
    check(rd_kafka_event_error(event.get()), what);
  }

  KafkaClient client_;
  KafkaQueue answers_;
};

/// Publishes: idempotent, acknowledged by all in-sync replicas, one header with each message. Callbacks
/// are served between publishes, where there is nobody else who has to be woken.
/// Thread safety: one thread at a time.
class KafkaTwinProducer {
 public:
  KafkaTwinProducer(const std::string& endpoint, const std::string& topic,
                    std::chrono::duration<double, std::milli> linger) {
    KafkaConf conf{endpoint};
    conf.set("enable.idempotence", "true")
        .set("acks", "all")
        .set("partitioner", "murmur2_random")
        .set("linger.ms", std::to_string(linger.count()));
    rd_kafka_conf_set_opaque(conf.get(), this);
    rd_kafka_conf_set_dr_msg_cb(conf.get(), [](rd_kafka_t*, const rd_kafka_message_t* sent, void* to) {
      auto& self = *static_cast<KafkaTwinProducer*>(to);
      ++(sent->err == RD_KAFKA_RESP_ERR_NO_ERROR ? self.stored_ : self.failed_);
    });
    client_ = conf.make(RD_KAFKA_PRODUCER);
    topic_.reset(rd_kafka_topic_new(client_.get(), topic.c_str(), nullptr));
  }
  KafkaTwinProducer(const KafkaTwinProducer&) = delete;
  ~KafkaTwinProducer() { topic_.reset(); }

  /// Hands over one message; while librdkafka's queue is full, waits for reports.
  void publish(std::string_view key, std::string_view body, std::string_view header) {
    rd_kafka_resp_err_t code;
    while ((code = produce(key, body, header)) == RD_KAFKA_RESP_ERR__QUEUE_FULL) {
      rd_kafka_poll(client_.get(), 10);
    }
    check(code, "produce");
    if (++published_ % kServeEvery == 0) rd_kafka_poll(client_.get(), 0);
  }
  /// Serves reports for at most so long.
  void serve(std::chrono::milliseconds time) {
    rd_kafka_poll(client_.get(), static_cast<int>(time.count()));
  }

  /// Waits until everything is stored.
  void flush() {
    check(rd_kafka_flush(client_.get(), 60'000), "flush");
    if (failed_ > 0 || stored_ != published_) throw std::runtime_error{"librdkafka: not all is stored"};
  }

 private:
  static constexpr std::uint64_t kServeEvery = 64;

  rd_kafka_resp_err_t produce(std::string_view key, std::string_view body, std::string_view header) {
    rd_kafka_vu_t parts[5];
    parts[0].vtype = RD_KAFKA_VTYPE_RKT;
    parts[0].u.rkt = topic_.get();
    parts[1].vtype = RD_KAFKA_VTYPE_MSGFLAGS;
    parts[1].u.i = RD_KAFKA_MSG_F_COPY;
    parts[2].vtype = RD_KAFKA_VTYPE_VALUE;
    parts[2].u.mem = {const_cast<char*>(body.data()), body.size()};
    parts[3].vtype = RD_KAFKA_VTYPE_KEY;
    parts[3].u.mem = {const_cast<char*>(key.data()), key.size()};
    parts[4].vtype = RD_KAFKA_VTYPE_HEADER;
    parts[4].u.header = {"omnibus", header.data(), static_cast<std::int64_t>(header.size())};
    const Own<rd_kafka_error_t, rd_kafka_error_destroy> error{
        rd_kafka_produceva(client_.get(), parts, 5)};
    return error ? rd_kafka_error_code(error.get()) : RD_KAFKA_RESP_ERR_NO_ERROR;
  }

  KafkaClient client_;
  Own<rd_kafka_topic_t, rd_kafka_topic_destroy> topic_;
  std::uint64_t published_ = 0;
  std::uint64_t stored_ = 0;
  std::uint64_t failed_ = 0;
};

/// Consumes as a member of a group, at least once: an offset is stored after the handler has returned,
/// and what is stored is committed every second, as omnibus does.
/// Thread safety: one thread at a time.
class KafkaTwinConsumer {
 public:
  KafkaTwinConsumer(const std::string& endpoint, const std::string& group, const std::string& topic) {
    KafkaConf conf{endpoint};
    conf.set("group.id", group)
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.offset.store", "false")
        .set("auto.commit.interval.ms", "1000");
    client_ = conf.make(RD_KAFKA_CONSUMER);
    rd_kafka_poll_set_consumer(client_.get());
    const Own<rd_kafka_topic_partition_list_t, rd_kafka_topic_partition_list_destroy> topics{
        rd_kafka_topic_partition_list_new(1)};
    rd_kafka_topic_partition_list_add(topics.get(), topic.c_str(), RD_KAFKA_PARTITION_UA);
    check(rd_kafka_subscribe(client_.get(), topics.get()), "subscribe");
    queue_.reset(rd_kafka_queue_get_consumer(client_.get()));
  }
  ~KafkaTwinConsumer() {
    queue_.reset();
    rd_kafka_consumer_close(client_.get());
  }

  /// Waits until there are partitions to read from.
  void await_assignment() {
    while (true) {
      rd_kafka_topic_partition_list_t* list = nullptr;
      check(rd_kafka_assignment(client_.get(), &list), "assignment");
      const bool assigned = list->cnt > 0;
      rd_kafka_topic_partition_list_destroy(list);
      if (assigned) return;
      if (rd_kafka_message_t* message = rd_kafka_consumer_poll(client_.get(), 1)) {
        rd_kafka_message_destroy(message);
        throw std::runtime_error{"librdkafka: something came too early"};
      }
    }
  }

  /// Calls `handler` with each of the next `messages` messages, as they come one by one.
  template <class Handler>
  void consume(std::uint64_t messages, Handler handler) {
    while (messages > 0) {
      rd_kafka_message_t* message = rd_kafka_consumer_poll(client_.get(), kPatienceMs);
      if (message == nullptr) throw std::runtime_error{"librdkafka: no message"};
      check(message->err, "consume");
      handler(*message);
      check(rd_kafka_offset_store(message->rkt, message->partition, message->offset), "store");
      rd_kafka_message_destroy(message);
      --messages;
    }
  }

  /// The same in batches: waits for one message, then takes what there is.
  template <class Handler>
  void consume_batches(std::uint64_t messages, Handler handler) {
    std::vector<rd_kafka_message_t*> batch(kBatch);
    while (messages > 0) {
      batch[0] = rd_kafka_consumer_poll(client_.get(), kPatienceMs);
      if (batch[0] == nullptr) throw std::runtime_error{"librdkafka: no message"};
      const auto wanted = std::min<std::uint64_t>(messages, kBatch) - 1;
      const auto more = rd_kafka_consume_batch_queue(queue_.get(), 0, batch.data() + 1, wanted);
      const auto count = static_cast<std::size_t>(1 + std::max<ssize_t>(more, 0));
      for (std::size_t i = 0; i < count; ++i) {
        check(batch[i]->err, "consume");
        handler(*batch[i]);
      }
      store(batch, count);
      for (std::size_t i = 0; i < count; ++i) rd_kafka_message_destroy(batch[i]);
      messages -= count;
    }
  }

 private:
  static constexpr int kPatienceMs = 30'000;
  static constexpr std::size_t kBatch = 500;

  /// Stores the last offset of each run of one partition; the last of them holds.
  static void store(const std::vector<rd_kafka_message_t*>& batch, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      const rd_kafka_message_t& message = *batch[i];
      if (i + 1 < count && batch[i + 1]->partition == message.partition) continue;
      check(rd_kafka_offset_store(message.rkt, message.partition, message.offset), "store");
    }
  }

  KafkaClient client_;
  KafkaQueue queue_;
};

}  // namespace bench
