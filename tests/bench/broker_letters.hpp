// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <thread>

#include <omnibus/letters.hpp>
#include <omnibus/middleware/dead_letter.hpp>

#include "broker_bench.hpp"

// What it takes, beside a real broker, to park messages of 256 bytes as dead letters, and to redrive them all, for
// each message: of a quarter of them, of half and, as `_all`, of all. Time that grows with their number alone keeps
// these figures equal. park_cpu_us: what this program takes of it, whatever else the machine does. peak_mib: its
// resident memory.

namespace bench {

struct LettersCost {
  double park_us = 0;
  double park_cpu_us = 0;
  double redrive_us = 0;
  double redrive_cpu_us = 0;
};

/// `Bus` is an EventBus of the case's broker.
template <class Bus, class Case>
LettersCost letters_cost(Case& its, std::size_t messages) {
  const std::string topic = its.new_topic("letters"), letters_topic = topic + ".dlq";
  const std::string payload(256, 'x');
  static const auto keys = ten_thousand_keys();
  Bus bus{its.config()};
  std::atomic<bool> broken{true};
  std::atomic<std::size_t> handled{0};
  const auto subscription = bus.subscribe(
      topic,
      [&](const omnibus::Delivery&) -> omnibus::Result<> {
        if (broken) return omnibus::permanent("broken");
        ++handled;
        return {};
      } | omnibus::dead_letter(letters_topic),
      {.concurrency = 4});
  wait_until_ok(subscription);
  const auto wait_for = [&](auto count) {
    const Stopwatch watch;
    while (count() < messages) {
      if (watch.seconds() > 240) throw std::runtime_error{"messages are missing"};
      std::this_thread::sleep_for(std::chrono::milliseconds{1});
    }
  };
  const Run parked = timed(messages, [&] {
    publish_all(bus, topic, payload, keys, messages);
    wait_for([&] { return subscription.stats().dead_lettered; });
  });
  broken = false;
  const Run redriven = timed(messages, [&] {
    omnibus::DeadLetters letters{bus, letters_topic};
    letters.redrive_all().ending.value();
    wait_for([&] { return handled.load(); });
  });
  return {1e6 / parked.rate, parked.cpu_us, 1e6 / redriven.rate, redriven.cpu_us};
}

template <class Bus, class Case>
void measure_letters(Case& its) {
  Figures figures;
  const auto add = [&](const std::string& suffix, std::size_t messages) {
    const LettersCost cost = letters_cost<Bus>(its, messages);
    figures.emplace_back("park_us" + suffix, cost.park_us);
    figures.emplace_back("park_cpu_us" + suffix, cost.park_cpu_us);
    figures.emplace_back("redrive_us" + suffix, cost.redrive_us);
    figures.emplace_back("redrive_cpu_us" + suffix, cost.redrive_cpu_us);
    figures.emplace_back("peak_mib" + suffix, peak_mib());
  };
  add("_quarter", its.messages / 4);
  add("_half", its.messages / 2);
  add("_all", its.messages);
  figures.emplace_back("messages", static_cast<double>(its.messages));
  print(its.name, figures);
}

}  // namespace bench
