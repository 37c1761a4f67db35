// SPDX-License-Identifier: MIT
// sqlite.throughput: 256-byte messages with 10,000 keys through one file and one process, four lanes at work,
// through retry | dead_letter: published and handled at once (rate), and read from a full file (rate_read).
// latency_us: from publish to handled, the median of messages one after another; latency_other_us: to a
// handler of another bus, as another process would be.

#include <atomic>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include <omnibus/backends/sqlite.hpp>
#include <omnibus/omnibus.hpp>

#include "bench.hpp"
#include "sqlite_bench.hpp"

namespace ob = omnibus;

namespace {

using Bus = ob::EventBus<ob::Sqlite>;

const std::string payload(256, 'x');

void publish(Bus& bus, int messages) {
  for (int i = 0; i < messages; ++i) {
    bus.publish_async("orders", payload, [](const ob::Result<ob::Receipt>& result) { result.value(); },
                      {.key = "order-" + std::to_string(i * 7919 % 10'000)});
  }
}

ob::Subscription subscribe(Bus& bus, std::atomic<int>& handled, std::string group) {
  return bus.subscribe("orders",
                       [&](const ob::Delivery&) { handled.fetch_add(1, std::memory_order_relaxed); } |
                           ob::retry({.attempts = 5}) | ob::dead_letter("orders.dlq"),
                       {.group = std::move(group), .concurrency = 4, .window = 4096});
}

double wait_for(const std::atomic<int>& handled, int messages, const bench::Stopwatch& watch) {
  while (handled.load() < messages) std::this_thread::sleep_for(std::chrono::milliseconds{1});
  return messages / watch.seconds();
}

double latency_us(Bus& publisher, Bus& consumer) {
  std::atomic<int> handled{0};
  const auto subscription = subscribe(consumer, handled, "latency");
  std::vector<double> took;
  for (int i = 0; i < 200; ++i) {
    const bench::Stopwatch watch;
    publisher.publish("orders", payload).value();
    while (handled.load() <= i) std::this_thread::yield();
    if (i >= 20) took.push_back(watch.seconds() * 1e6);
  }
  return bench::median(took);
}

}  // namespace

int main(int argc, char** argv) {
  const int messages = argc > 1 ? std::atoi(argv[1]) : 200'000;
  const bench::Folder folder;
  std::vector<double> rates, reads, latencies, others;
  for (int i = 0; i < 5; ++i) {
    const std::string path = folder.file(std::to_string(i));
    {
      Bus bus{{.endpoint = path, .group = "bench"}};
      std::atomic<int> handled{0}, read{0};
      const bench::Stopwatch watch;
      const auto subscription = subscribe(bus, handled, "first");
      publish(bus, messages);
      rates.push_back(wait_for(handled, messages, watch));
      const bench::Stopwatch again;
      const auto second = subscribe(bus, read, "second");
      reads.push_back(wait_for(read, messages, again));
    }
    Bus one{{.endpoint = path + ".latency"}};
    latencies.push_back(latency_us(one, one));
    Bus third{{.endpoint = path + ".other"}};
    Bus fourth{{.endpoint = path + ".other"}};
    others.push_back(latency_us(third, fourth));
  }
  bench::print("sqlite.throughput", {{"rate", bench::median(rates)},
                                     {"rate_read", bench::median(reads)},
                                     {"latency_us", bench::median(latencies)},
                                     {"latency_other_us", bench::median(others)},
                                     {"peak_mib", bench::peak_mib()}});
}
