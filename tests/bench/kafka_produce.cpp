// SPDX-License-Identifier: MIT
// kafka.produce: from the first publish to the last report, 256-byte messages with a key and a header,
// to four partitions, against librdkafka doing the same. Clients are connected before the clock starts.

#include <cstddef>
#include <string>

#include "kafka_bench.hpp"

namespace {

const std::string payload(256, 'x');
const auto keys = bench::ten_thousand_keys();

bench::Run twin(bench::KafkaCase& its) {
  const bench::KafkaTopic topic{its, "twin"};
  auto producer = its.twin_producer(topic.name());
  bench::publish_all(producer, payload, keys, 100);
  bench::settle();
  return bench::timed(its.messages,
                      [&] { bench::publish_all(producer, payload, keys, its.messages); });
}

bench::Run bus(bench::KafkaCase& its) {
  const bench::KafkaTopic topic{its, "omnibus"};
  bench::KafkaBus bus{its.config()};
  bench::publish_all(bus, topic.name(), payload, keys, 100);
  bench::settle();
  return bench::timed(its.messages, [&] {
    bench::publish_all(bus, topic.name(), payload, keys, its.messages);
  });
}

void measure(bench::KafkaCase& its) { bench::compare(its, {{"", twin}}, bus); }

}  // namespace

int main(int argc, char** argv) {
  return bench::broker_main(argc, argv, "kafka.produce", 500'000, measure);
}
