// SPDX-License-Identifier: MIT
// memory.throughput: from publish to handled in one process. 256-byte messages with 10,000 keys, one
// publisher, four lanes at work, through retry | dead_letter.

#include <array>
#include <atomic>
#include <cstdlib>
#include <string>
#include <vector>

#include <omnibus/omnibus.hpp>

#include "bench.hpp"

namespace ob = omnibus;

namespace {

struct Run {
  double seconds = 0;
  double cpu = 0;
};

Run run(std::size_t messages) {
  ob::EventBus<ob::Memory> bus{{.group = "bench", .log_bytes = 64u << 20}};
  std::vector<std::string> keys;
  for (int i = 0; i < 10'000; ++i) keys.push_back("order-" + std::to_string(i));
  const std::string payload(256, 'x');
  struct alignas(64) Counter {
    std::atomic<std::size_t> handled{0};
  };
  std::array<Counter, 16> counters;
  const auto handler = [&](const ob::Delivery& delivery) {
    auto& counter = counters[static_cast<std::size_t>(delivery.partition()) % counters.size()];
    counter.handled.fetch_add(1, std::memory_order_relaxed);
  };
  const bench::Stopwatch watch;
  const double cpu = bench::cpu_seconds();
  const auto subscription = bus.subscribe(
      "orders", handler | ob::retry({.attempts = 5}) | ob::dead_letter("orders.dlq"),
      {.concurrency = 4, .window = 8192});
  for (std::size_t i = 0; i < messages; ++i) {
    bus.publish("orders", payload, {.key = keys[(i * 7919) % keys.size()]}).value();
  }
  while (subscription.stats().handled < messages) std::this_thread::yield();
  return {watch.seconds(), bench::cpu_seconds() - cpu};
}

}  // namespace

int main(int argc, char** argv) {
  const std::size_t messages = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 2'000'000;
  run(messages / 4);
  const double before = bench::peak_mib();
  std::vector<double> rates, cpus;
  for (int i = 0; i < 5; ++i) {
    const Run each = run(messages);
    rates.push_back(static_cast<double>(messages) / each.seconds);
    cpus.push_back(each.cpu / static_cast<double>(messages) * 1e6);
  }
  bench::print("memory.throughput", {{"rate", bench::median(rates)},
                                     {"cpu_us", bench::median(cpus)},
                                     {"peak_mib_before", before},
                                     {"peak_mib", bench::peak_mib()},
                                     {"messages", static_cast<double>(messages)}});
}
