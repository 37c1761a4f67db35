// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>

#include <omnibus/backends/rabbitmq.hpp>

#include "faulty.hpp"
#include "suite.hpp"

namespace conformance {

/// A real RabbitMQ, whose URL is in OMNIBUS_RABBITMQ: tests/brokers/with rabbitmq -- program. Groups
/// get what was published before them (`hold`), readers without a group the whole log.
struct RabbitMqFixture {
  using Backend = Faulty<ob::RabbitMq>;
  /// Attempts are what the broker counts: deliveries, begun or not.
  static constexpr bool counts_deliveries = true;
  static constexpr std::size_t largest_window = 256;  ///< what one shard queue hands out

  std::chrono::milliseconds deadline = std::chrono::seconds{30};
  std::size_t scale = 1000;
  static constexpr std::chrono::seconds takeover{0};  ///< until what a dead member held comes again
  std::uint64_t seed = 1;
  std::shared_ptr<Sabotage> sabotage = std::make_shared<Sabotage>(Fault::none);

  static std::string endpoint() {
    const char* given = std::getenv("OMNIBUS_RABBITMQ");
    if (given == nullptr) throw std::runtime_error{"OMNIBUS_RABBITMQ names no broker"};
    return given;
  }
  Backend::Config config(std::string group = "g") const {
    const bool reader = group.empty();
    return {{.endpoint = endpoint(), .group = std::move(group), .hold = !reader, .log = reader},
            sabotage};
  }
  std::string topic() {
    static const std::string run = std::to_string(std::random_device{}());
    static std::atomic<int> count{0};
    return "t" + run + "." + std::to_string(++count);
  }
  void crash(ob::EventBus<Backend>& bus) const { bus.backend().crash(); }
  void answer(const std::string& topic_name, ob::Errc code, int times) const {
    sabotage->answer(topic_name, code, times);
  }
  std::size_t answered(const std::string& topic_name) const {
    return sabotage->answered(topic_name);
  }
};

}  // namespace conformance
