// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <semaphore>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "broker_bench.hpp"

// Latency beside a real broker: from just before the call that publishes to the entry of the handler,
// 500 messages of 256 bytes a second. The first messages warm everything up and are not counted.

namespace bench {

using Clock = std::chrono::steady_clock;

inline constexpr std::size_t kWarmUp = 250;
inline constexpr std::chrono::milliseconds kEvery{2};

/// A payload that says when it was sent.
inline std::string stamped() {
  std::string payload(256, 'x');
  const Clock::rep now = Clock::now().time_since_epoch().count();
  std::memcpy(payload.data(), &now, sizeof now);
  return payload;
}

struct Quantiles {
  double p50 = 0;
  double p99 = 0;
};
inline Quantiles quantiles_of(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return {values[values.size() / 2], values[values.size() * 99 / 100]};
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

  Quantiles quantiles() const { return quantiles_of({us_.begin() + kWarmUp, us_.end()}); }

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

/// The latencies of messages through a bus, which subscribes to what it publishes.
template <class Bus>
Quantiles bus_latency(Bus& bus, const std::string& topic, std::size_t messages) {
  static const auto keys = ten_thousand_keys();
  static std::atomic<bool> failed{false};  // outlives the completions, whatever is thrown
  Latencies latencies{messages};
  std::binary_semaphore all{0};
  const auto subscription = bus.subscribe(topic, [&](const omnibus::Delivery& delivery) {
    if (latencies.note(delivery.payload())) all.release();
  });
  wait_until_ok(subscription);
  settle();
  at_500_a_second(messages, [&](std::size_t i, Clock::time_point) {
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

/// How long each of many calls takes.
template <class F>
Quantiles call_latency(std::size_t calls, F call) {
  std::vector<double> us;
  for (std::size_t i = 0; i < calls; ++i) {
    const Stopwatch watch;
    call(i);
    us.push_back(watch.seconds() * 1e6);
  }
  return quantiles_of(std::move(us));
}

/// Medians of p50 and p99, as figures.
inline void add_latency(Figures& figures, const std::string& prefix,
                        const std::vector<Quantiles>& runs) {
  std::vector<double> p50s, p99s;
  for (const Quantiles& run : runs) {
    p50s.push_back(run.p50);
    p99s.push_back(run.p99);
  }
  figures.emplace_back(prefix + "p50_us", median(std::move(p50s)));
  figures.emplace_back(prefix + "p99_us", median(std::move(p99s)));
}

/// One way to measure, and how it is called in the figures.
template <class Case>
struct LatencyPair {
  std::string prefix;  ///< empty where there is one alone
  Quantiles (*omnibus)(Case&);
  Quantiles (*twin)(Case&);
};

/// Runs twins and omnibus three times by turns; prints medians.
template <class Case>
void compare_latency(Case& its, const std::vector<LatencyPair<Case>>& pairs) {
  Figures figures;
  for (const LatencyPair<Case>& pair : pairs) {
    std::vector<Quantiles> ours, theirs;
    for (int i = 0; i < 3; ++i) {
      theirs.push_back(pair.twin(its));
      ours.push_back(pair.omnibus(its));
    }
    add_latency(figures, pair.prefix, ours);
    add_latency(figures, "twin_" + pair.prefix, theirs);
  }
  figures.emplace_back("messages", static_cast<double>(its.messages));
  print(its.name, figures);
}

}  // namespace bench
