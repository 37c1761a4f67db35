// SPDX-License-Identifier: MIT
// memory.failing: 256-byte messages of 1,000 keys through retry and four workers, while the handler fails
// one key for ever, against the same with a key that no message has. rate_ratio: messages of the other keys
// in a second.

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <omnibus/omnibus.hpp>

#include "bench.hpp"

namespace ob = omnibus;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t keys = 1'000, each = 500;

double rate(std::string_view failing, bool fails) {
  ob::EventBus<ob::Memory> bus{{.group = "bench"}};
  const std::string payload(256, 'x');
  for (std::size_t i = 0; i < keys * each; ++i) {
    bus.publish("orders", payload, {.key = "order-" + std::to_string(i % keys)}).value();
  }
  const std::size_t expected = fails ? (keys - 1) * each : keys * each;
  std::atomic<std::size_t> handled{0};
  const bench::Stopwatch watch;
  const auto subscription = bus.subscribe(
      "orders",
      [&](const ob::Delivery& delivery) -> ob::Result<> {
        if (delivery.key() == failing) return ob::retryable("it never works");
        handled.fetch_add(1, std::memory_order_relaxed);
        return {};
      } | ob::retry({.attempts = 1'000'000, .initial = 10ms, .max = 100ms, .total = 24h}),
      {.concurrency = 4});
  while (handled < expected) {
    if (watch.seconds() > 60) throw std::runtime_error{"memory.failing: messages are missing"};
    std::this_thread::sleep_for(1ms);
  }
  return static_cast<double>(expected) / watch.seconds();
}

}  // namespace

int main() try {
  std::vector<double> well, beside, ratios;
  for (int i = 0; i < 5; ++i) {
    well.push_back(rate("order-x00", false));
    beside.push_back(rate("order-500", true));
    ratios.push_back(beside.back() / well.back());
  }
  bench::print("memory.failing", {{"rate", bench::median(beside)},
                                  {"rate_without", bench::median(well)},
                                  {"rate_ratio", bench::median(ratios)}});
} catch (const std::exception& failure) {
  std::fprintf(stderr, "%s\n", failure.what());
  return 1;
}
