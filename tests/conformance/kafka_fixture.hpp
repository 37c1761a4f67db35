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

#include <omnibus/backends/kafka.hpp>

#include "faulty.hpp"
#include "suite.hpp"

namespace conformance {

/// A real Kafka, whose address is in OMNIBUS_KAFKA: tests/brokers/with kafka -- program.
struct KafkaFixture {
  using Backend = Faulty<ob::Kafka>;

  std::chrono::milliseconds deadline = std::chrono::seconds{60};
  std::size_t scale = 1000;
  static constexpr std::chrono::seconds takeover{6};  ///< until what a dead member held comes again
  std::uint64_t seed = 1;
  std::shared_ptr<Sabotage> sabotage = std::make_shared<Sabotage>(Fault::none);

  static std::string endpoint() {
    const char* given = std::getenv("OMNIBUS_KAFKA");
    if (given == nullptr) throw std::runtime_error{"OMNIBUS_KAFKA names no broker"};
    return given;
  }
  Backend::Config config(std::string group = "g") const {
    return {{.endpoint = endpoint(),
             .group = std::move(group),
             .session_timeout = std::chrono::seconds{6},
             .drain_timeout = std::chrono::seconds{6}},
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
