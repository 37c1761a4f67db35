// SPDX-License-Identifier: MIT
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include <cstdint>
#include <cstdio>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include <omnibus/backends/kafka/group_client.hpp>
#include <omnibus/backends/kafka/producer.hpp>
#include <omnibus/backends/kafka/settings.hpp>

#include "unit/tools.hpp"

// What the tests of the Kafka backend share: librdkafka's own mock of a cluster, and what comes of
// records that are sent to it.

namespace omnibus::unit {

/// Longer than the mock needs for anything.
inline constexpr int patience_ms = 20'000;

/// The keys of requests in Kafka's protocol.
inline constexpr std::int16_t produce_request = 0, init_producer_id = 22, end_transaction = 26, commit_offsets = 28;

/// One broker is away, and all of them are.
inline constexpr auto transport = RD_KAFKA_RESP_ERR__TRANSPORT, all_down = RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN;

/// Hears what librdkafka says, and keeps it.
class Listener final : public kafka::Callbacks {
 public:
  void log(int, std::string_view line) noexcept override {
    std::lock_guard lock{mutex_};
    lines_.emplace_back(line);
  }
  void committed(rd_kafka_resp_err_t, const rd_kafka_topic_partition_list_t*) noexcept override {
    ++commits_;
  }
  int commits() const noexcept { return commits_; }
  std::vector<std::string> lines() const {
    std::lock_guard lock{mutex_};
    return lines_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> lines_;
  int commits_ = 0;
};

/// A cluster inside this process. Its end takes a second.
class MockCluster {
 public:
  explicit MockCluster(int brokers = 1)
      : host_{kafka::Producer::make({}, {}, nullptr)},
        cluster_{rd_kafka_mock_cluster_new(host_.get(), brokers)} {}

  rd_kafka_mock_cluster_t* get() const noexcept { return cluster_.get(); }
  std::string endpoint() const { return rd_kafka_mock_cluster_bootstraps(cluster_.get()); }
  kafka::Settings settings() const { return {endpoint(), {}, {}, {}}; }
  void make_topic(const std::string& name, int partitions, int replicas = 1) const {
    rd_kafka_mock_topic_create(cluster_.get(), name.c_str(), partitions, replicas);
  }

 private:
  kafka::Owned<rd_kafka_t, rd_kafka_destroy> host_;
  kafka::Owned<rd_kafka_mock_cluster_t, rd_kafka_mock_cluster_destroy> cluster_;
};

/// One for all tests that leave nothing behind but topics of their own.
inline const MockCluster& shared_cluster() {
  static const MockCluster cluster;
  return cluster;
}
/// A topic of that cluster that no other test uses.
inline std::string new_topic(int partitions) {
  static int count = 0;
  std::string name = "orders-" + std::to_string(++count);
  shared_cluster().make_topic(name, partitions);
  return name;
}

/// What the report of a record said.
struct Report {
  rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;
  std::int32_t partition = -1;
  std::int64_t offset = -1;
  std::uint64_t number = 0;
  kafka::Record again;
};

/// The next report; one of `__TIMED_OUT` when none comes.
inline Report next_report(kafka::Producer& producer) {
  const Instant until = std::chrono::steady_clock::now() + patience;
  while (std::chrono::steady_clock::now() < until) {
    const kafka::Event event = producer.poll(100);
    if (!event || rd_kafka_event_type(event.get()) != RD_KAFKA_EVENT_DR) continue;
    const rd_kafka_message_t* sent = rd_kafka_event_message_next(event.get());
    return {sent->err, sent->partition, sent->offset,
            reinterpret_cast<std::uint64_t>(sent->_private), kafka::Record{*sent}};
  }
  Report none;
  none.code = RD_KAFKA_RESP_ERR__TIMED_OUT;
  return none;
}

/// Reads one partition from its beginning, without a group.
class Reader {
 public:
  Reader(kafka::Settings settings, const std::string& topic, std::int32_t partition) {
    settings.properties["fetch.wait.max.ms"] = "10";  // what is asked for holds up the end
    client_.reset(kafka::GroupClient::make(settings, reading(), nullptr));
    rd_kafka_poll_set_consumer(client_.get());
    const kafka::Offsets list = kafka::new_offsets(1);
    rd_kafka_topic_partition_list_add(list.get(), topic.c_str(), partition)->offset = 0;
    rd_kafka_assign(client_.get(), list.get());
  }
  ~Reader() { rd_kafka_consumer_close(client_.get()); }
  Reader(const Reader&) = delete;

  /// The next record, the caller's to destroy; null when none comes.
  rd_kafka_message_t* next() {
    const Instant until = std::chrono::steady_clock::now() + patience;
    while (std::chrono::steady_clock::now() < until) {
      rd_kafka_message_t* raw = rd_kafka_consumer_poll(client_.get(), 100);
      if (raw == nullptr) continue;
      if (raw->err == RD_KAFKA_RESP_ERR_NO_ERROR) return raw;
      rd_kafka_message_destroy(raw);
    }
    return nullptr;
  }
  static kafka::Reading reading(std::string group = {}) {
    kafka::Reading reading;
    reading.spec.group = std::move(group);
    reading.session_timeout = 6s;
    return reading;
  }
  rd_kafka_t* get() const noexcept { return client_.get(); }

 private:
  kafka::Owned<rd_kafka_t, rd_kafka_destroy> client_;
};

/// What a client was told, as text; "?" for a property that librdkafka does not know.
inline std::string property(const rd_kafka_conf_t* conf, const std::string& name) {
  char value[512];
  std::size_t size = sizeof value;
  if (rd_kafka_conf_get(conf, name.c_str(), value, &size) != RD_KAFKA_CONF_OK) return "?";
  return value;
}

/// What is written to stderr while this runs.
template <class Do>
std::string stderr_of(Do&& what) {
  std::fflush(stderr);
  std::FILE* file = std::tmpfile();
  const int kept = ::dup(STDERR_FILENO);
  ::dup2(::fileno(file), STDERR_FILENO);
  what();
  std::fflush(stderr);
  ::dup2(kept, STDERR_FILENO);
  ::close(kept);
  std::string text;
  std::rewind(file);
  for (int c = std::fgetc(file); c != EOF; c = std::fgetc(file)) text.push_back(static_cast<char>(c));
  std::fclose(file);
  return text;
}

/// Printable text, an escape for each other byte.
inline std::string visible(std::string_view bytes) {
  constexpr char digits[] = "0123456789abcdef";
  std::string text;
  for (const char c : bytes) {
    if (c > ' ' && c <= '~') {
      text.push_back(c);
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    text.append("\\x").append({digits[byte / 16], digits[byte % 16]});
  }
  return text;
}

/// Every byte value there is.
inline std::string every_byte() {
  std::string bytes;
  for (int byte = 0; byte < 256; ++byte) bytes.push_back(static_cast<char>(byte));
  return bytes;
}

}  // namespace omnibus::unit
