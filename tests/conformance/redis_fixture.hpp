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

#include <omnibus/backends/redis_streams.hpp>

#include "faulty.hpp"
#include "suite.hpp"

namespace conformance {

/// A real Redis, whose URL is in OMNIBUS_REDIS: tests/brokers/with redis -- program.
struct RedisStreamsFixture {
  using Backend = Faulty<ob::RedisStreams>;

  std::chrono::milliseconds deadline = std::chrono::seconds{30};
  std::size_t scale = 1000;
  static constexpr std::chrono::seconds takeover{2};  ///< until what a dead member held comes again
  std::uint64_t seed = 1;
  std::shared_ptr<Sabotage> sabotage = std::make_shared<Sabotage>(Fault::none);

  static std::string endpoint() {
    const char* given = std::getenv("OMNIBUS_REDIS");
    if (given == nullptr) throw std::runtime_error{"OMNIBUS_REDIS names no server"};
    return given;
  }
  Backend::Config config(std::string group = "g") const {
    return {{.endpoint = endpoint(), .group = std::move(group), .lease = std::chrono::seconds{2}},
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
