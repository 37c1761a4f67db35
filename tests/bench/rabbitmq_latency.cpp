// SPDX-License-Identifier: MIT
// rabbitmq.latency, rabbitmq.latency.quorum: from just before the call that publishes to the entry
// of the handler, 500 messages of 256 bytes a second, against rabbitmq-c doing the same with a
// connection and a thread for each side. The first messages warm everything up and are not counted.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <future>
#include <semaphore>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "rabbitmq_bench.hpp"
#include "rabbitmq_twin.hpp"

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kWarmUp = 250;
constexpr std::chrono::milliseconds kEvery{2};

/// A payload that says when it was sent.
std::string stamped() {
  std::string payload(256, 'x');
  const Clock::rep now = Clock::now().time_since_epoch().count();
  std::memcpy(payload.data(), &now, sizeof now);
  return payload;
}

/// The latencies of all messages but the first ones.
class Latencies {
 public:
  explicit Latencies(std::size_t messages) : expected_{kWarmUp + messages} {
    us_.reserve(expected_);
  }

  /// Called at the entry of the handler, by one thread. True: that was the last message.
  bool note(std::string_view payload) {
    const Clock::rep now = Clock::now().time_since_epoch().count();
    if (us_.size() == expected_) return false;
    Clock::rep sent = 0;
    std::memcpy(&sent, payload.data(), sizeof sent);
    const std::chrono::duration<double, std::micro> taken = Clock::duration{now - sent};
    us_.push_back(taken.count());
    return us_.size() == expected_;
  }

  struct Quantiles {
    double p50 = 0;
    double p99 = 0;
  };
  Quantiles quantiles() const {
    std::vector<double> counted(us_.begin() + kWarmUp, us_.end());
    std::sort(counted.begin(), counted.end());
    return {counted[counted.size() / 2], counted[counted.size() * 99 / 100]};
  }

 private:
  std::size_t expected_;
  std::vector<double> us_;
};

/// Calls `publish(i, due)` 500 times a second; `due` is when the next call is due.
template <class F>
void at_500_a_second(std::size_t messages, F publish) {
  auto due = Clock::now();
  for (std::size_t i = 0; i < kWarmUp + messages; ++i) {
    std::this_thread::sleep_until(due);
    due += kEvery;
    publish(i, due);
  }
}

Latencies::Quantiles twin(bench::RabbitMqCase& its) {
  const std::string queue = its.new_topic("twin");
  bench::RabbitMqTwin publisher{its.url};
  publisher.declare(queue, its.quorum);
  bench::RabbitMqTwin consumer{its.url};
  consumer.start_consuming(queue);
  bench::settle();
  Latencies latencies{its.messages};
  auto consumed = std::async(std::launch::async, [&] {
    consumer.consume(kWarmUp + its.messages,
                     [&latencies](std::string_view payload) { latencies.note(payload); });
  });
  at_500_a_second(its.messages, [&](std::size_t, Clock::time_point due) {
    publisher.publish(queue, stamped());
    publisher.read_confirms_until(due);
  });
  publisher.flush();
  consumed.get();
  publisher.remove(queue);
  return latencies.quantiles();
}

Latencies::Quantiles bus(bench::RabbitMqCase& its) {
  static const auto keys = bench::ten_thousand_keys();
  const std::string topic = its.new_topic("omnibus");
  Latencies latencies{its.messages};
  std::binary_semaphore all{0};
  static std::atomic<bool> failed{false};  // outlives the completions, whatever is thrown
  bench::RabbitMqBus bus{its.config()};
  const auto subscription = bus.subscribe(topic, [&](const omnibus::Delivery& delivery) {
    if (latencies.note(delivery.payload())) all.release();
  });
  bench::wait_until_ok(subscription);
  bench::settle();
  at_500_a_second(its.messages, [&](std::size_t i, Clock::time_point) {
    bus.publish_async(
        topic, stamped(),
        [](const omnibus::Result<omnibus::Receipt>& result) {
          if (!result) failed = true;
        },
        {.key = keys[i % keys.size()]});
  });
  bus.flush().value();
  if (failed || !all.try_acquire_for(std::chrono::seconds{60})) {
    throw std::runtime_error{"messages are missing"};
  }
  return latencies.quantiles();
}

void measure(bench::RabbitMqCase& its) {
  std::vector<double> p50s, p99s, twin_p50s, twin_p99s;
  for (int i = 0; i < 3; ++i) {
    const auto theirs = twin(its);
    const auto ours = bus(its);
    p50s.push_back(ours.p50);
    p99s.push_back(ours.p99);
    twin_p50s.push_back(theirs.p50);
    twin_p99s.push_back(theirs.p99);
  }
  bench::print(its.name, {{"p50_us", bench::median(p50s)},
                          {"p99_us", bench::median(p99s)},
                          {"twin_p50_us", bench::median(twin_p50s)},
                          {"twin_p99_us", bench::median(twin_p99s)},
                          {"messages", static_cast<double>(its.messages)}});
}

}  // namespace

int main(int argc, char** argv) {
  return bench::rabbitmq_main(argc, argv, "rabbitmq.latency", 2'000, measure);
}
