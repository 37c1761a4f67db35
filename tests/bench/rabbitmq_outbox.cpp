// SPDX-License-Identifier: MIT
// rabbitmq.outbox: relaying an outbox to a real RabbitMQ; see broker_outbox.hpp.

#include "broker_outbox.hpp"
#include "rabbitmq_bench.hpp"

int main(int argc, char** argv) {
  return bench::broker_main(argc, argv, "rabbitmq.outbox", 50'000, +[](bench::RabbitMqCase& its) {
    bench::measure_outbox<bench::RabbitMqBus>(its, bench::make_queues);
  });
}
