// SPDX-License-Identifier: MIT
// rabbitmq.consume, rabbitmq.consume.quorum: from the start of consuming until the last of the
// 256-byte messages that wait in the broker is handled, against rabbitmq-c doing the same. Both
// begin without a connection, because a subscription opens its own; first_ms is what passes until
// the first message is handled.

#include <string>
#include <string_view>

#include "rabbitmq_bench.hpp"
#include "rabbitmq_twin.hpp"

namespace {

const std::string payload(256, 'x');

bench::Run twin(bench::RabbitMqCase& its) {
  const std::string queue = its.new_topic("twin");
  bench::RabbitMqTwin owner{its.endpoint};
  owner.declare(queue, its.quorum);
  for (std::size_t i = 0; i < its.messages; ++i) owner.publish(queue, payload);
  owner.flush();
  bench::settle();
  bench::Handled handled{its.messages};
  bench::Run run = bench::timed(its.messages, [&] {
    handled.begin();
    bench::RabbitMqTwin client{its.endpoint};
    client.declare(queue, its.quorum);
    client.start_consuming(queue);
    client.consume(its.messages, [&handled](std::string_view) { handled.one(); });
    handled.wait();
  });
  run.first_ms = handled.first_ms();
  owner.remove(queue);
  return run;
}

bench::Run bus(bench::RabbitMqCase& its) {
  static const auto keys = bench::ten_thousand_keys();
  const std::string topic = its.new_topic("omnibus");
  bench::RabbitMqBus bus{its.config()};
  bench::make_queues(bus, topic);
  bench::publish_all(bus, topic, payload, keys, its.messages);
  bench::settle();
  return bench::consume_all(bus, topic, its.messages, {.concurrency = 1});
}

void measure(bench::RabbitMqCase& its) { bench::compare(its, {{"", twin}}, bus); }

}  // namespace

int main(int argc, char** argv) {
  return bench::broker_main(argc, argv, "rabbitmq.consume", 100'000, measure);
}
