// SPDX-License-Identifier: MIT
// kafka.outbox: relaying an outbox to a real Kafka; see broker_outbox.hpp.

#include "broker_outbox.hpp"
#include "kafka_bench.hpp"

int main(int argc, char** argv) {
  return bench::broker_main(argc, argv, "kafka.outbox", 100'000, +[](bench::KafkaCase& its) {
    bench::measure_outbox<bench::KafkaBus>(its, [](bench::KafkaBus&, const std::string&) {});
  });
}
