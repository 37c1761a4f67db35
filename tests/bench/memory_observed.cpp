// SPDX-License-Identifier: MIT
// memory.observed: what an observer adds to a message: the calls of Metrics alone, from one thread and from
// four at once, beside the clock that is read twice.

#include <string>
#include <thread>
#include <vector>

#include <omnibus/metrics.hpp>
#include <omnibus/omnibus.hpp>

#include "bench.hpp"
#include "stage_context.hpp"

namespace ob = omnibus;

namespace {

/// Nanoseconds that an observer takes for one message that is handled well, in each of so many threads.
template <class Observer>
double per_message(Observer& observer, std::size_t threads) {
  constexpr std::size_t messages = 2'000'000;
  const auto work = [&observer] {
    bench::NoContext context;
    const ob::MessageView message{"id", "", "key", {}, "payload", {}, {}};
    const ob::Incoming incoming{&message, "orders", 0, {}, 0, 0};
    for (std::size_t i = 0; i < messages; ++i) {
      ob::Delivery delivery{incoming, context};
      delivery.mark_began(context.clock().now());
      observer.delivered(delivery);
      observer.handled(delivery);
    }
  };
  const double cpu = bench::cpu_seconds();
  std::vector<std::thread> all;
  for (std::size_t i = 0; i < threads; ++i) all.emplace_back(work);
  for (auto& thread : all) thread.join();
  return (bench::cpu_seconds() - cpu) / static_cast<double>(messages * threads) * 1e9;
}

/// The clock alone.
struct Nothing {
  void delivered(const ob::Delivery&) {}
  void handled(const ob::Delivery& delivery) {
    last = delivery.context().clock().now() - delivery.began();
  }
  ob::Duration last{};
};

}  // namespace

int main() {
  ob::Metrics metrics;
  Nothing nothing;
  const auto median = [](auto& observer, std::size_t threads) {
    return bench::median_of_five([&] { return per_message(observer, threads); });
  };
  bench::print("memory.observed", {{"clock_ns", median(nothing, 1)},
                                   {"metrics_ns", median(metrics, 1)},
                                   {"metrics_ns_of_four", median(metrics, 4)}});
}
