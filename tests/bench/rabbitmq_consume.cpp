// SPDX-License-Identifier: MIT
// rabbitmq.consume, rabbitmq.consume.quorum: from the start of consuming until the last of the
// 256-byte messages that wait in the broker is handled, against rabbitmq-c doing the same. Both
// begin without a connection, because a subscription opens its own; first_ms is what passes until
// the first message is handled.

#include <atomic>
#include <chrono>
#include <optional>
#include <semaphore>
#include <stdexcept>
#include <string>
#include <string_view>

#include "rabbitmq_bench.hpp"
#include "rabbitmq_twin.hpp"

namespace {

const std::string payload(256, 'x');

/// Counts what is handled, which is all that a handler does here.
class Handled {
 public:
  explicit Handled(std::size_t messages) : expected_{messages} {}
  void begin() { watch_ = {}; }
  void one() {
    const std::size_t before = count_.fetch_add(1, std::memory_order_relaxed);
    if (before == 0) first_ms_ = watch_.seconds() * 1e3;
    if (before + 1 == expected_) all_.release();
  }
  void wait() {
    if (!all_.try_acquire_for(std::chrono::seconds{60})) {
      throw std::runtime_error{"messages are missing"};
    }
  }
  double first_ms() const { return first_ms_; }

 private:
  const std::size_t expected_;
  std::atomic<std::size_t> count_{0};
  std::binary_semaphore all_{0};
  bench::Stopwatch watch_;
  double first_ms_ = 0;
};

bench::Run twin(bench::RabbitMqCase& its) {
  const std::string queue = its.new_topic("twin");
  bench::RabbitMqTwin owner{its.url};
  owner.declare(queue, its.quorum);
  for (std::size_t i = 0; i < its.messages; ++i) owner.publish(queue, payload);
  owner.flush();
  bench::settle();
  Handled handled{its.messages};
  bench::Run run = bench::timed(its.messages, [&] {
    handled.begin();
    bench::RabbitMqTwin client{its.url};
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
  Handled handled{its.messages};
  bench::RabbitMqBus bus{its.config()};
  bench::make_queues(bus, topic);
  bench::publish_all(bus, topic, payload, keys, its.messages);
  bench::settle();
  std::optional<omnibus::Subscription> subscription;  // it ends after the clock has stopped
  bench::Run run = bench::timed(its.messages, [&] {
    handled.begin();
    subscription = bus.subscribe(
        topic, [&handled](const omnibus::Delivery&) { handled.one(); }, {.concurrency = 1});
    handled.wait();
  });
  run.first_ms = handled.first_ms();
  return run;
}

}  // namespace

int main(int argc, char** argv) {
  return bench::rabbitmq_main(argc, argv, "rabbitmq.consume", 100'000,
                              [](bench::RabbitMqCase& its) { bench::compare(its, twin, bus); });
}
