// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include <omnibus/backends/kafka.hpp>

#include "broker_bench.hpp"
#include "kafka_twin.hpp"

// What the benchmarks of Kafka share.

namespace bench {

using KafkaBus = omnibus::EventBus<omnibus::Kafka>;

/// What is measured: PROGRAM [MESSAGES]. Both sides read and write topics of the same shape, with the
/// same time to gather what is sent at once.
struct KafkaCase : BrokerCase {
  static constexpr const char* broker = "kafka";
  static constexpr const char* variable = "OMNIBUS_KAFKA";
  static constexpr const char* kinds = "";
  static constexpr int partitions = 4;

  omnibus::Kafka::Config config() const {
    return {.endpoint = endpoint, .group = "bench", .partitions = partitions};
  }
  KafkaTwinProducer twin_producer(const std::string& topic) const {
    return KafkaTwinProducer{endpoint, topic, config().linger};
  }
};

/// A topic while it is needed.
class KafkaTopic {
 public:
  KafkaTopic(KafkaCase& its, const std::string& of)
      : name_{its.new_topic(of)}, topics_{its.endpoint} {
    topics_.create(name_, KafkaCase::partitions);
  }
  ~KafkaTopic() { topics_.remove(name_); }
  const std::string& name() const noexcept { return name_; }

 private:
  std::string name_;
  KafkaTopics topics_;
};

/// As large as the value of the header that omnibus writes: an id, and the name of a type.
inline const std::string& twin_header() {
  static const std::string header = "01890a5d-ac96-774b-bcce-b302099a8057\n";
  return header;
}

/// Publishes `messages` messages with 10,000 keys; returns when all are confirmed.
inline void publish_all(KafkaTwinProducer& producer, const std::string& payload,
                        const std::vector<std::string>& keys, std::size_t messages) {
  for (std::size_t i = 0; i < messages; ++i) {
    producer.publish(key_of(keys, i), payload, twin_header());
  }
  producer.flush();
}

/// A topic that all runs of a program read, each as a group of its own; filled once.
inline const KafkaTopic& full_topic(KafkaCase& its, const std::string& payload,
                                    const std::vector<std::string>& keys) {
  static const KafkaTopic topic{its, "full"};
  static const bool filled = [&] {
    KafkaBus bus{its.config()};
    publish_all(bus, topic.name(), payload, keys, its.messages);
    return true;
  }();
  (void)filled;
  return topic;
}

}  // namespace bench
