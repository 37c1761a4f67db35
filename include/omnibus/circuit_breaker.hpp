// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <stdexcept>
#include <string>

#include <omnibus/backoff.hpp>
#include <omnibus/detail/smaller.hpp>
#include <omnibus/time.hpp>

// Whether something that handlers depend on is worth being asked. A state machine without I/O.

namespace omnibus {

/// When a circuit breaker opens, and for how long.
struct CircuitBreakerOptions {
  std::uint32_t failures = 5;                     ///< in a row, after which it opens
  Duration open_for = std::chrono::seconds{10};   ///< the first time; doubles while it does not help
  Duration max = std::chrono::minutes{5};         ///< and is no longer than this
};

/// Closed, everything goes through; open, nothing does; half open, one at a time does, to see.
/// Thread safety: shared objects are safe: one stands for one thing that handlers depend on, in however
/// many subscriptions.
class CircuitBreaker {
 public:
  enum class State : std::uint8_t { closed, open, half_open };

  /// Throws std::invalid_argument for options that contradict each other.
  explicit CircuitBreaker(CircuitBreakerOptions options = {}) : options_{options} {
    const auto require = [](bool good, const char* what) {
      if (!good) throw std::invalid_argument{std::string{"omnibus: circuit breaker: "} + what};
    };
    require(options.failures >= 1, "failures must be at least 1");
    require(options.open_for > Duration::zero(), "open_for must be positive");
    require(options.max >= options.open_for, "max must not be below open_for");
  }

  /// The answer to who wants to go through.
  struct Admission {
    bool admitted = true;
    std::uint64_t turn = 0;  ///< to be given back with the ending
    Instant again{};         ///< where it is not: when to ask again
  };
  Admission admit(Instant now) {
    if (state_.load(std::memory_order_acquire) == State::closed) {
      return {true, turn_.load(std::memory_order_relaxed), {}};
    }
    std::lock_guard lock{mutex_};
    const std::uint64_t turn = turn_.load(std::memory_order_relaxed);
    switch (state_.load(std::memory_order_relaxed)) {
      case State::closed: return {true, turn, {}};
      case State::open:
        if (now < open_until_) return {false, turn, open_until_};
        state_.store(State::half_open, std::memory_order_release);
        return {true, turn_.fetch_add(1, std::memory_order_relaxed) + 1, {}};
      case State::half_open: break;
    }
    return {false, turn, after(now, look_again)};
  }
  /// What was admitted has ended well, or has failed.
  void succeeded(std::uint64_t turn) {
    if (failures_.load(std::memory_order_relaxed) == 0 &&
        state_.load(std::memory_order_relaxed) == State::closed) {
      return;
    }
    std::lock_guard lock{mutex_};
    if (turn != turn_.load(std::memory_order_relaxed)) return;
    failures_.store(0, std::memory_order_relaxed);
    times_open_ = 0;
    state_.store(State::closed, std::memory_order_release);
  }
  void failed(std::uint64_t turn, Instant now) {
    std::lock_guard lock{mutex_};
    if (turn != turn_.load(std::memory_order_relaxed)) return;
    const bool closed = state_.load(std::memory_order_relaxed) == State::closed;
    if (closed && failures_.fetch_add(1, std::memory_order_relaxed) + 1 < options_.failures) return;
    const Backoff policy{options_.open_for, options_.max, 2.0, false};
    open_until_ = after(now, backoff(policy, ++times_open_, 0));
    turn_.fetch_add(1, std::memory_order_relaxed);
    state_.store(State::open, std::memory_order_release);
  }
  /// What was admitted has ended in a way that says nothing: the next one is to find out.
  void abstained(std::uint64_t turn) {
    if (state_.load(std::memory_order_relaxed) == State::closed) return;
    std::lock_guard lock{mutex_};
    if (turn != turn_.load(std::memory_order_relaxed)) return;
    if (state_.load(std::memory_order_relaxed) == State::half_open) {
      open_until_ = Instant::min();
      state_.store(State::open, std::memory_order_release);
    }
  }

  State state() const noexcept { return state_.load(std::memory_order_acquire); }

 private:
  static constexpr Duration look_again = std::chrono::milliseconds{100};

  const CircuitBreakerOptions options_;
  std::atomic<State> state_{State::closed};
  std::atomic<std::uint32_t> failures_{0};  // in a row
  std::atomic<std::uint64_t> turn_{0};      // what was admitted before it last opened no longer counts
  std::mutex mutex_;
  std::uint32_t times_open_ = 0;  // since it was closed
  Instant open_until_{};
};

}  // namespace omnibus
