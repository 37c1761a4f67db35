// SPDX-License-Identifier: MIT
// memory.letters: what it takes to park messages of 256 bytes as dead letters, and to redrive them all, for
// each message; 10,000 of them and, as `_many`, 100,000. peak_mib: resident memory, the topics' own
// included.

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include <omnibus/letters.hpp>
#include <omnibus/omnibus.hpp>

#include "bench.hpp"

namespace ob = omnibus;
using namespace std::chrono_literals;

namespace {

struct Cost {
  double park_us;
  double redrive_us;
};

Cost cost(std::size_t messages) {
  ob::EventBus<ob::Memory> bus{{.group = "bench"}};
  const std::string payload(256, 'x');
  std::atomic<bool> broken{true};
  std::atomic<std::size_t> handled{0}, failed{0};
  const auto wait_for = [&](const std::atomic<std::size_t>& count) {
    const bench::Stopwatch watch;
    while (count < messages) {
      if (watch.seconds() > 60) throw std::runtime_error{"memory.letters: messages are missing"};
      std::this_thread::sleep_for(1ms);
    }
  };
  const bench::Stopwatch parking;
  const auto subscription = bus.subscribe(
      "orders",
      [&](const ob::Delivery&) -> ob::Result<> {
        ++(broken ? failed : handled);
        return broken ? ob::Result<>{ob::permanent("broken")} : ob::Result<>{};
      } | ob::dead_letter("orders.dlq"),
      {.concurrency = 4});
  for (std::size_t i = 0; i < messages; ++i) {
    bus.publish("orders", payload, {.key = "order-" + std::to_string(i % 10'000)}).value();
  }
  wait_for(failed);
  const double parked = parking.seconds();
  broken = false;
  const bench::Stopwatch redriving;
  ob::DeadLetters letters{bus, "orders.dlq"};
  letters.redrive_all().ending.value();
  wait_for(handled);
  const auto each = [messages](double seconds) { return seconds / static_cast<double>(messages) * 1e6; };
  return {each(parked), each(redriving.seconds())};
}

}  // namespace

int main() try {
  const Cost few = cost(10'000);
  const double before = bench::peak_mib();
  const Cost many = cost(100'000);
  bench::print("memory.letters", {{"park_us", few.park_us},
                                  {"redrive_us", few.redrive_us},
                                  {"peak_mib", before},
                                  {"park_us_many", many.park_us},
                                  {"redrive_us_many", many.redrive_us},
                                  {"peak_mib_many", bench::peak_mib()}});
} catch (const std::exception& failure) {
  std::fprintf(stderr, "%s\n", failure.what());
  return 1;
}
