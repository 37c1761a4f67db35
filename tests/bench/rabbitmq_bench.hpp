// SPDX-License-Identifier: MIT
#pragma once

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <omnibus/backends/rabbitmq.hpp>
#include <omnibus/omnibus.hpp>

#include "bench.hpp"

// What the benchmarks of RabbitMQ share: their arguments, the bus, and the comparison.

namespace bench {

using RabbitMqBus = omnibus::EventBus<omnibus::RabbitMq>;

/// What is measured: PROGRAM [quorum] [MESSAGES].
struct RabbitMqCase {
  std::string name;  ///< such as rabbitmq.publish.quorum
  std::string url;
  bool quorum = false;
  std::size_t messages = 0;
  int topics = 0;

  /// A name that no other measurement has, nor another run beside the same broker.
  std::string new_topic(const std::string& of) {
    return name + "." + of + "." + std::to_string(getpid()) + "." + std::to_string(++topics);
  }
  omnibus::RabbitMq::Config config() const {
    omnibus::RabbitMq::Config config{.endpoint = url, .group = "bench"};
    if (!quorum) config.queues = omnibus::RabbitMqQueues::classic;
    return config;
  }
};

inline std::vector<std::string> ten_thousand_keys() {
  std::vector<std::string> keys;
  for (int i = 0; i < 10'000; ++i) keys.push_back("order-" + std::to_string(i));
  return keys;
}

/// Waits until the subscription is registered.
inline void wait_until_ok(const omnibus::Subscription& subscription) {
  const Stopwatch watch;
  while (true) {
    const auto health = subscription.health();
    if (health.ok) return;
    if (watch.seconds() > 30) throw std::runtime_error{"not subscribed: " + health.problem};
    std::this_thread::sleep_for(std::chrono::milliseconds{1});
  }
}

/// A group must have subscribed before what is published is kept for it.
inline void make_queues(RabbitMqBus& bus, const std::string& topic) {
  wait_until_ok(bus.subscribe(topic, [](const omnibus::Delivery&) {}));
}

/// Publishes `messages` messages with 10,000 keys; returns when all are confirmed.
inline void publish_all(RabbitMqBus& bus, const std::string& topic, const std::string& payload,
                        const std::vector<std::string>& keys, std::size_t messages) {
  static std::atomic<std::size_t> stored;  // outlives the completions, whatever is thrown
  stored = 0;
  for (std::size_t i = 0; i < messages; ++i) {
    bus.publish_async(
        topic, payload,
        [](const omnibus::Result<omnibus::Receipt>& result) {
          if (result) stored.fetch_add(1, std::memory_order_relaxed);
        },
        {.key = keys[(i * 7919) % keys.size()]});
  }
  bus.flush().value();
  if (stored != messages) throw std::runtime_error{"not every message was stored"};
}

/// Gives the broker a moment to tidy up, so that one measurement does not pay for the one before.
inline void settle() { std::this_thread::sleep_for(std::chrono::milliseconds{300}); }

/// What doing something with `messages` messages took.
struct Run {
  double rate = 0;
  double cpu_us = 0;
  double first_ms = 0;  ///< until the first was handled; 0 where nothing is handled
};

template <class F>
Run timed(std::size_t messages, F work) {
  const double cpu = cpu_seconds();
  const Stopwatch watch;
  work();
  const double seconds = watch.seconds();
  const auto count = static_cast<double>(messages);
  return {count / seconds, (cpu_seconds() - cpu) / count * 1e6, 0};
}

/// Runs the twin and omnibus five times by turns; prints medians, also of the five ratios.
template <class Twin, class Omnibus>
void compare(RabbitMqCase& its, Twin twin, Omnibus omnibus) {
  std::vector<Run> ours, theirs;
  for (int i = 0; i < 5; ++i) {
    theirs.push_back(twin(its));
    ours.push_back(omnibus(its));
  }
  const auto middle = [](const std::vector<Run>& runs, double Run::*figure) {
    std::vector<double> values;
    for (const Run& run : runs) values.push_back(run.*figure);
    return median(std::move(values));
  };
  const auto ratio = [&](double Run::*figure) {
    std::vector<double> values;
    for (std::size_t i = 0; i < ours.size(); ++i) {
      values.push_back(ours[i].*figure / theirs[i].*figure);
    }
    return median(std::move(values));
  };
  std::vector<std::pair<std::string, double>> figures{
      {"rate", middle(ours, &Run::rate)},
      {"cpu_us", middle(ours, &Run::cpu_us)},
      {"twin_rate", middle(theirs, &Run::rate)},
      {"twin_cpu_us", middle(theirs, &Run::cpu_us)},
      {"rate_ratio", ratio(&Run::rate)},
      {"cpu_ratio", ratio(&Run::cpu_us)},
      {"messages", static_cast<double>(its.messages)}};
  if (ours.front().first_ms > 0) {
    figures.emplace_back("first_ms", middle(ours, &Run::first_ms));
    figures.emplace_back("twin_first_ms", middle(theirs, &Run::first_ms));
  }
  print(its.name, figures);
}

/// The `main` of a benchmark: reads the arguments and says what went wrong.
template <class F>
int rabbitmq_main(int argc, char** argv, const std::string& name, std::size_t messages, F measure) {
  const char* url = std::getenv("OMNIBUS_RABBITMQ");
  if (url == nullptr) {
    std::fprintf(stderr, "usage: tests/brokers/with rabbitmq -- %s [quorum] [MESSAGES]\n", argv[0]);
    return 2;
  }
  RabbitMqCase its{name, url, false, messages};
  for (int i = 1; i < argc; ++i) {
    if (std::string_view{argv[i]} == "quorum") {
      its.quorum = true;
      its.name += ".quorum";
    } else {
      its.messages = std::max(1ul, std::strtoul(argv[i], nullptr, 10));
    }
  }
  try {
    measure(its);
    return 0;
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "%s: %s\n", its.name.c_str(), failure.what());
    return 1;
  }
}

}  // namespace bench
