// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "suite.hpp"

// How cases are run: what one case says of one fixture, with an end to every hang.

namespace conformance {

/// The seed of this run: OMNIBUS_SEED, or a random one.
inline std::uint64_t run_seed() {
  static const std::uint64_t seed = [] {
    const char* given = std::getenv("OMNIBUS_SEED");
    return given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  }();
  return seed;
}

/// Ends the program, naming the case, when the case does not end by itself.
class Watchdog {
 public:
  Watchdog(std::string_view name, std::chrono::milliseconds limit)
      : thread_{[this, name, limit] {
          std::unique_lock lock{mutex_};
          if (signal_.wait_for(lock, limit, [this] { return over_; })) return;
          std::fprintf(stderr, "conformance: the case \"%.*s\" hangs\n",
                       static_cast<int>(name.size()), name.data());
          std::abort();
        }} {}
  ~Watchdog() {
    {
      std::lock_guard lock{mutex_};
      over_ = true;
      signal_.notify_all();
    }
    thread_.join();
  }
  Watchdog(const Watchdog&) = delete;

 private:
  std::mutex mutex_;
  std::condition_variable signal_;
  bool over_ = false;
  std::thread thread_;
};

/// Runs one case. Returns what it found wrong, if anything.
template <class F>
std::optional<std::string> verdict(const typename Suite<F>::Case& each, F& fixture) {
  const Watchdog watchdog{each.name, fixture.deadline * 5 + std::chrono::seconds{20}};
  try {
    each.run(fixture);
    return {};
  } catch (const std::exception& problem) {
    return problem.what();
  }
}

/// Says which cases do not hold for a fixture, and why.
template <class F>
void print_left_out(const Suite<F>& suite, std::string_view fixture) {
  for (const auto& each : suite.left_out()) {
    std::cout << fixture << ": left out: \"" << each.name << "\" needs " << each.missing << "\n";
  }
}

}  // namespace conformance
