// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <omnibus/event_bus.hpp>

#include "bench.hpp"

// What publishing as one costs: 256-byte messages with keys, ten to a batch, by publish_atomic: by 16 threads that
// wait for each batch (rate), and by one (rate_one), beside the same messages by publish_async, which waits for none
// (rate_async). All are messages a second; ratio is that of rate to rate_async in each of five turns.

namespace bench {

inline const std::string atomic_payload(256, 'x');
inline std::string atomic_key(std::size_t message) { return "order-" + std::to_string(message * 7919 % 10'000); }

template <class Bus>
double publish_atomically(Bus& bus, const std::string& topic, std::size_t messages, std::size_t threads) {
  constexpr std::size_t together = 10;
  std::atomic<std::size_t> next{0};
  std::atomic<bool> good{true};
  std::vector<std::thread> all;
  const Stopwatch watch;
  for (std::size_t thread = 0; thread < threads; ++thread) {
    all.emplace_back([&] {
      for (std::size_t first = next.fetch_add(together); first < messages; first = next.fetch_add(together)) {
        omnibus::MessageBatch batch;
        for (std::size_t i = first; i < std::min(first + together, messages); ++i) {
          if (!batch.add(topic, atomic_payload, {.key = atomic_key(i)})) good = false;
        }
        if (!bus.publish_atomic(batch)) good = false;
      }
    });
  }
  for (auto& each : all) each.join();
  if (!good) throw std::runtime_error{"a batch was not stored"};
  return static_cast<double>(messages) / watch.seconds();
}

template <class Bus>
double publish_apart(Bus& bus, const std::string& topic, std::size_t messages) {
  std::atomic<std::size_t> stored{0};
  const Stopwatch watch;
  for (std::size_t i = 0; i < messages; ++i) {
    bus.publish_async(
        topic, atomic_payload, [&](const omnibus::Result<omnibus::Receipt>& result) { stored += result ? 1u : 0u; },
        {.key = atomic_key(i)});
  }
  bus.flush(std::chrono::minutes{1}).value();
  if (stored != messages) throw std::runtime_error{"a message was not stored"};
  return static_cast<double>(messages) / watch.seconds();
}

/// `new_topic()` names a topic that nobody has used.
template <class Bus, class NewTopic>
void measure_atomic(const std::string& name, Bus& bus, std::size_t messages, NewTopic new_topic) {
  std::vector<double> together, one, apart, ratios;
  for (int i = 0; i < 5; ++i) {
    const std::string topic = new_topic();
    bus.publish(topic, atomic_payload).value();  // the topic is made
    apart.push_back(publish_apart(bus, topic, messages));
    together.push_back(publish_atomically(bus, topic, messages, 16));
    one.push_back(publish_atomically(bus, topic, messages / 10, 1));
    ratios.push_back(together.back() / apart.back());
  }
  print(name, {{"rate", median(together)},
               {"rate_one", median(one)},
               {"rate_async", median(apart)},
               {"ratio", median(ratios)},
               {"messages", static_cast<double>(messages)}});
}

}  // namespace bench
