// SPDX-License-Identifier: MIT
// kafka.latency: from just before the call that publishes to the entry of the handler, 500 messages of
// 256 bytes a second, against librdkafka doing the same with a thread for each side and the same linger.
// wait_: how long a call takes that publishes and waits for the report, one after the other.

#include <chrono>
#include <cstddef>
#include <future>
#include <string>
#include <string_view>
#include <vector>

#include "broker_latency.hpp"
#include "kafka_bench.hpp"

namespace {

const auto keys = bench::ten_thousand_keys();

bench::Quantiles twin(bench::KafkaCase& its) {
  const bench::KafkaTopic topic{its, "twin"};
  auto producer = its.twin_producer(topic.name());
  bench::KafkaTwinConsumer consumer{its.endpoint, topic.name(), topic.name()};
  consumer.await_assignment();
  bench::settle();
  bench::Latencies latencies{its.messages};
  auto consumed = std::async(std::launch::async, [&] {
    consumer.consume(bench::kWarmUp + its.messages, [&latencies](const rd_kafka_message_t& message) {
      latencies.note({static_cast<const char*>(message.payload), message.len});
    });
  });
  bench::at_500_a_second(its.messages, [&](std::size_t i, bench::Clock::time_point) {
    producer.publish(keys[i % keys.size()], bench::stamped(), bench::twin_header());
    producer.serve(std::chrono::milliseconds{0});
  });
  producer.flush();
  consumed.get();
  return latencies.quantiles();
}

bench::Quantiles bus(bench::KafkaCase& its) {
  const bench::KafkaTopic topic{its, "omnibus"};
  bench::KafkaBus bus{its.config()};
  return bench::bus_latency(bus, topic.name(), its.messages);
}

bench::Quantiles twin_that_waits(bench::KafkaCase& its) {
  const bench::KafkaTopic topic{its, "twin"};
  auto producer = its.twin_producer(topic.name());
  const auto publish = [&](std::size_t i) {
    producer.publish(keys[i % keys.size()], bench::stamped(), bench::twin_header());
    producer.flush();
  };
  (void)bench::call_latency(bench::kWarmUp, publish);
  return bench::call_latency(its.messages, publish);
}

bench::Quantiles bus_that_waits(bench::KafkaCase& its) {
  const bench::KafkaTopic topic{its, "omnibus"};
  bench::KafkaBus bus{its.config()};
  const auto publish = [&](std::size_t i) {
    bus.publish(topic.name(), bench::stamped(), {.key = keys[i % keys.size()]}).value();
  };
  (void)bench::call_latency(bench::kWarmUp, publish);
  return bench::call_latency(its.messages, publish);
}

void measure(bench::KafkaCase& its) {
  bench::compare_latency(its, {{"", bus, twin}, {"wait_", bus_that_waits, twin_that_waits}});
}

}  // namespace

int main(int argc, char** argv) {
  return bench::broker_main(argc, argv, "kafka.latency", 2'000, measure);
}
