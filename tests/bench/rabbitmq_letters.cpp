// SPDX-License-Identifier: MIT
// rabbitmq.letters: parking and redriving beside a real RabbitMQ; see broker_letters.hpp.

#include "broker_letters.hpp"
#include "rabbitmq_bench.hpp"

int main(int argc, char** argv) {
  return bench::broker_main(argc, argv, "rabbitmq.letters", 20'000, bench::measure_letters<bench::RabbitMqBus, bench::RabbitMqCase>);
}
