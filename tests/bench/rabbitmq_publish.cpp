// SPDX-License-Identifier: MIT
// rabbitmq.publish, rabbitmq.publish.quorum: from the first publish to the last confirm, 256-byte
// messages, against rabbitmq-c doing the same. Connections are open before the clock starts.

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>

#include "rabbitmq_bench.hpp"
#include "rabbitmq_twin.hpp"

namespace {

const std::string payload(256, 'x');

bench::Run twin(bench::RabbitMqCase& its) {
  const std::string queue = its.new_topic("twin");
  bench::RabbitMqTwin client{its.endpoint};
  client.declare(queue, its.quorum);
  client.publish(queue, payload);
  client.flush();
  bench::settle();
  const bench::Run run = bench::timed(its.messages, [&] {
    for (std::size_t i = 0; i < its.messages; ++i) client.publish(queue, payload);
    client.flush();
  });
  client.remove(queue);
  return run;
}

bench::Run bus(bench::RabbitMqCase& its) {
  static const auto keys = bench::ten_thousand_keys();
  const std::string topic = its.new_topic("omnibus");
  std::atomic<std::size_t> handled{0};
  bench::RabbitMqBus bus{its.config()};
  bench::make_queues(bus, topic);
  bus.publish(topic, payload).value();
  bench::settle();
  const bench::Run run = bench::timed(
      its.messages, [&] { bench::publish_all(bus, topic, payload, keys, its.messages); });
  // Reads them again: none is missing, and nothing stays behind in the broker.
  const auto reader =
      bus.subscribe(topic, [&handled](const omnibus::Delivery&) { handled.fetch_add(1); });
  const bench::Stopwatch watch;
  while (handled <= its.messages) {
    if (watch.seconds() > 60) throw std::runtime_error{"messages are missing"};
    std::this_thread::sleep_for(std::chrono::milliseconds{1});
  }
  return run;
}

void measure(bench::RabbitMqCase& its) { bench::compare(its, {{"", twin}}, bus); }

}  // namespace

int main(int argc, char** argv) {
  return bench::broker_main(argc, argv, "rabbitmq.publish", 50'000, measure);
}
