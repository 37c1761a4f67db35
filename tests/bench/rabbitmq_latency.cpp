// SPDX-License-Identifier: MIT
// rabbitmq.latency, rabbitmq.latency.quorum: from just before the call that publishes to the entry
// of the handler, 500 messages of 256 bytes a second, against rabbitmq-c doing the same with a
// connection and a thread for each side. The first messages warm everything up and are not counted.

#include <cstddef>
#include <future>
#include <string>
#include <string_view>

#include "broker_latency.hpp"
#include "rabbitmq_bench.hpp"
#include "rabbitmq_twin.hpp"

namespace {

bench::Quantiles twin(bench::RabbitMqCase& its) {
  const std::string queue = its.new_topic("twin");
  bench::RabbitMqTwin publisher{its.endpoint};
  publisher.declare(queue, its.quorum);
  bench::RabbitMqTwin consumer{its.endpoint};
  consumer.start_consuming(queue);
  bench::settle();
  bench::Latencies latencies{its.messages};
  auto consumed = std::async(std::launch::async, [&] {
    consumer.consume(bench::kWarmUp + its.messages,
                     [&latencies](std::string_view payload) { latencies.note(payload); });
  });
  bench::at_500_a_second(its.messages, [&](std::size_t, bench::Clock::time_point due) {
    publisher.publish(queue, bench::stamped());
    publisher.read_confirms_until(due);
  });
  publisher.flush();
  consumed.get();
  publisher.remove(queue);
  return latencies.quantiles();
}

bench::Quantiles bus(bench::RabbitMqCase& its) {
  bench::RabbitMqBus bus{its.config()};
  return bench::bus_latency(bus, its.new_topic("omnibus"), its.messages);
}

void measure(bench::RabbitMqCase& its) { bench::compare_latency(its, {{"", bus, twin}}); }

}  // namespace

int main(int argc, char** argv) {
  return bench::broker_main(argc, argv, "rabbitmq.latency", 2'000, measure);
}
