// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include <omnibus/backends/memory.hpp>

#include "faulty.hpp"
#include "suite.hpp"

namespace conformance {

/// The embedded backend, with a broker of its own for every case, and with a fault if wanted.
struct MemoryFixture {
  using Backend = Faulty<ob::Memory>;

  Fault fault = Fault::none;
  std::chrono::milliseconds deadline = std::chrono::seconds{20};
  std::size_t scale = 2000;
  static constexpr std::chrono::seconds takeover{0};  ///< until what a dead member held comes again
  std::uint64_t seed = 1;
  std::shared_ptr<Sabotage> sabotage = std::make_shared<Sabotage>(fault);
  int number = next_number();
  int topics = 0;

  std::string name() const { return "conformance-" + std::to_string(number); }
  Backend::Config config(std::string group = "g") const {
    return {{.endpoint = name(), .group = std::move(group)}, sabotage};
  }
  Backend::Config small_config(std::string group) const {
    return {{.endpoint = name() + "-small", .group = std::move(group), .log_bytes = 64 << 10},
            sabotage};
  }
  std::string topic() { return "topic-" + std::to_string(++topics); }
  void crash(ob::EventBus<Backend>& bus) const { bus.backend().crash(); }
  void answer(const std::string& topic_name, ob::Errc code, int times) const {
    sabotage->answer(topic_name, code, times);
  }
  std::size_t answered(const std::string& topic_name) const {
    return sabotage->answered(topic_name);
  }

  static int next_number() {
    static std::atomic<int> count{0};
    return ++count;
  }
};

}  // namespace conformance
