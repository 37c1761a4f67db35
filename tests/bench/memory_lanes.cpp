// SPDX-License-Identifier: MIT
// memory.lanes: how well slow handlers run in parallel. Handlers that take 5 ms, 100 keys, 32 at
// once, against one at a time. `efficiency` is rate / (32 x rate of one).

#include <atomic>
#include <chrono>
#include <string>
#include <thread>

#include <omnibus/omnibus.hpp>

#include "bench.hpp"

namespace ob = omnibus;
using namespace std::chrono_literals;

namespace {

double rate(std::size_t concurrency, std::size_t messages) {
  ob::EventBus<ob::Memory> bus{{.group = "bench"}};
  std::atomic<std::size_t> handled{0};
  for (std::size_t i = 0; i < messages; ++i) {
    bus.publish("orders", "x", {.key = "order-" + std::to_string(i % 100)}).value();
  }
  const bench::Stopwatch watch;
  const auto subscription = bus.subscribe("orders",
                                          [&handled](const ob::Delivery&) {
                                            std::this_thread::sleep_for(5ms);
                                            handled.fetch_add(1);
                                          },
                                          {.concurrency = concurrency});
  while (handled < messages) std::this_thread::sleep_for(1ms);
  return static_cast<double>(messages) / watch.seconds();
}

}  // namespace

int main() {
  std::vector<double> ones, many, ratios;
  for (int i = 0; i < 5; ++i) {
    ones.push_back(rate(1, 200));
    many.push_back(rate(32, 6'400));
    ratios.push_back(many.back() / (32 * ones.back()));
  }
  bench::print("memory.lanes", {{"rate", bench::median(many)},
                                {"rate_one", bench::median(ones)},
                                {"efficiency", bench::median(ratios)}});
}
