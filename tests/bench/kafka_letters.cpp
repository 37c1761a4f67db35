// SPDX-License-Identifier: MIT
// kafka.letters: parking and redriving beside a real Kafka; see broker_letters.hpp.

#include "broker_letters.hpp"
#include "kafka_bench.hpp"

int main(int argc, char** argv) {
  return bench::broker_main(argc, argv, "kafka.letters", 20'000, bench::measure_letters<bench::KafkaBus, bench::KafkaCase>);
}
