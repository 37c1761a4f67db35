// SPDX-License-Identifier: MIT
#pragma once

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <optional>
#include <semaphore>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <omnibus/omnibus.hpp>

#include "bench.hpp"

// What the benchmarks beside real brokers share: their arguments, what is published and handled, and
// the comparison with a twin, which is the same work done with the plain C client.

namespace bench {

/// What is measured: PROGRAM [KIND] [MESSAGES]. One for each broker derives from it and adds `broker`,
/// as tests/brokers/with calls it, and `variable`, where that leaves the address.
struct BrokerCase {
  std::string name;  ///< such as rabbitmq.publish.quorum
  std::string endpoint;
  std::size_t messages = 0;
  int topics = 0;

  /// A name that no other measurement has, nor another run beside the same broker.
  std::string new_topic(const std::string& of) {
    return name + "." + of + "." + std::to_string(getpid()) + "." + std::to_string(++topics);
  }
  /// Takes an argument that is no number. False: it means nothing here.
  bool take_kind(std::string_view) { return false; }
};

inline std::vector<std::string> ten_thousand_keys() {
  std::vector<std::string> keys;
  for (int i = 0; i < 10'000; ++i) keys.push_back("order-" + std::to_string(i));
  return keys;
}
/// The key of each of many messages.
inline const std::string& key_of(const std::vector<std::string>& keys, std::size_t message) {
  return keys[(message * 7919) % keys.size()];
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

/// Publishes `messages` messages with 10,000 keys; returns when all are confirmed.
template <class Bus>
void publish_all(Bus& bus, const std::string& topic, const std::string& payload,
                 const std::vector<std::string>& keys, std::size_t messages) {
  static std::atomic<std::size_t> stored;  // outlives the completions, whatever is thrown
  stored = 0;
  for (std::size_t i = 0; i < messages; ++i) {
    bus.publish_async(
        topic, payload,
        [](const omnibus::Result<omnibus::Receipt>& result) {
          if (result) stored.fetch_add(1, std::memory_order_relaxed);
        },
        {.key = key_of(keys, i)});
  }
  bus.flush().value();
  if (stored != messages) throw std::runtime_error{"not every message was stored"};
}

/// Gives the broker a moment to tidy up, so that one measurement does not pay for the one before.
inline void settle() { std::this_thread::sleep_for(std::chrono::milliseconds{300}); }

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
  Stopwatch watch_;
  double first_ms_ = 0;
};

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

/// What a handler looks at besides counting: nothing.
struct LookAtNothing {
  void operator()(const omnibus::Delivery&) const noexcept {}
};

/// Consumes what waits in a topic, from the call that subscribes to the last message.
template <class Bus, class Look = LookAtNothing>
Run consume_all(Bus& bus, const std::string& topic, std::size_t messages,
                const typename Bus::SubscribeOptions& options, Look look = {}) {
  Handled handled{messages};
  std::optional<omnibus::Subscription> subscription;  // it ends after the clock has stopped
  Run run = timed(messages, [&] {
    handled.begin();
    subscription = bus.subscribe(
        topic,
        [&handled, look](const omnibus::Delivery& delivery) {
          look(delivery);
          handled.one();
        },
        options);
    handled.wait();
  });
  run.first_ms = handled.first_ms();
  return run;
}

/// The medians of one figure, and of its ratio in each pair of runs.
inline double middle(const std::vector<Run>& runs, double Run::*figure) {
  std::vector<double> values;
  for (const Run& run : runs) values.push_back(run.*figure);
  return median(std::move(values));
}
inline double ratio(const std::vector<Run>& ours, const std::vector<Run>& theirs,
                    double Run::*figure) {
  std::vector<double> values;
  for (std::size_t i = 0; i < ours.size(); ++i) {
    values.push_back(ours[i].*figure / theirs[i].*figure);
  }
  return median(std::move(values));
}

using Figures = std::vector<std::pair<std::string, double>>;

/// Adds what a twin took, and omnibus in comparison: "twin_rate", "rate_ratio", ...
inline void add_twin(Figures& figures, const std::string& name, const std::vector<Run>& ours,
                     const std::vector<Run>& theirs) {
  const std::string prefix = name.empty() ? name : name + "_";
  figures.emplace_back("twin_" + prefix + "rate", middle(theirs, &Run::rate));
  figures.emplace_back("twin_" + prefix + "cpu_us", middle(theirs, &Run::cpu_us));
  figures.emplace_back(prefix + "rate_ratio", ratio(ours, theirs, &Run::rate));
  figures.emplace_back(prefix + "cpu_ratio", ratio(ours, theirs, &Run::cpu_us));
  if (ours.front().first_ms > 0) {
    figures.emplace_back("twin_" + prefix + "first_ms", middle(theirs, &Run::first_ms));
  }
}

/// One way in which the plain client does the work.
template <class Case>
struct Twin {
  std::string name;  ///< empty where there is one alone
  Run (*run)(Case&);
};

/// Runs the twins and omnibus five times by turns; prints medians, also of the five ratios.
template <class Case>
void compare(Case& its, const std::vector<Twin<Case>>& twins, Run (*omnibus)(Case&)) {
  std::vector<Run> ours;
  std::vector<std::vector<Run>> theirs(twins.size());
  for (int i = 0; i < 5; ++i) {
    for (std::size_t twin = 0; twin < twins.size(); ++twin) {
      theirs[twin].push_back(twins[twin].run(its));
    }
    ours.push_back(omnibus(its));
  }
  Figures figures{{"rate", middle(ours, &Run::rate)}, {"cpu_us", middle(ours, &Run::cpu_us)}};
  if (ours.front().first_ms > 0) figures.emplace_back("first_ms", middle(ours, &Run::first_ms));
  for (std::size_t twin = 0; twin < twins.size(); ++twin) {
    add_twin(figures, twins[twin].name, ours, theirs[twin]);
  }
  figures.emplace_back("messages", static_cast<double>(its.messages));
  print(its.name, figures);
}

/// The `main` of a benchmark: reads the arguments and says what went wrong.
template <class Case>
int broker_main(int argc, char** argv, const char* name, std::size_t messages,
                void (*measure)(Case&)) {
  Case its;
  its.name = name;
  its.messages = messages;
  const char* endpoint = std::getenv(Case::variable);
  const auto misused = [argv] {
    std::fprintf(stderr, "usage: tests/brokers/with %s -- %s %s[MESSAGES]\n", Case::broker, argv[0],
                 Case::kinds);
    return 2;
  };
  if (endpoint == nullptr) return misused();
  its.endpoint = endpoint;
  for (int i = 1; i < argc; ++i) {
    if (its.take_kind(argv[i])) {
      its.name.append(".").append(argv[i]);
    } else {
      its.messages = std::strtoul(argv[i], nullptr, 10);
      if (its.messages == 0) return misused();
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
