// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>
#include <stdexcept>

// How many retries there may be beside successes, so that what fails is not hammered by those who try it
// again.

namespace omnibus {

/// What a retry budget allows.
struct RetryBudgetOptions {
  double ratio = 0.2;           ///< retries for each success
  std::uint32_t reserve = 100;  ///< retries at most that are saved up; so many there are at first
};

/// Thread safety: shared objects are safe: one stands for one thing that handlers depend on, in however
/// many subscriptions.
class RetryBudget {
 public:
  /// Throws std::invalid_argument.
  explicit RetryBudget(RetryBudgetOptions options = {})
      : each_{static_cast<std::int64_t>(options.ratio * whole)}, most_{options.reserve * whole}, left_{most_} {
    if (!(options.ratio >= 0.001 && options.ratio <= 100)) {
      throw std::invalid_argument{"omnibus: retry budget: ratio must be 0.001 to 100"};
    }
    if (options.reserve < 1) throw std::invalid_argument{"omnibus: retry budget: reserve must be at least 1"};
  }

  /// Something has succeeded.
  void earn() noexcept {
    std::int64_t left = left_.load(std::memory_order_relaxed);
    while (left < most_) {
      const std::int64_t more = left + each_ < most_ ? left + each_ : most_;
      if (left_.compare_exchange_weak(left, more, std::memory_order_relaxed)) return;
    }
  }
  /// True when there may be a retry, which is then counted.
  bool spend() noexcept {
    std::int64_t left = left_.load(std::memory_order_relaxed);
    while (left >= whole) {
      if (left_.compare_exchange_weak(left, left - whole, std::memory_order_relaxed)) return true;
    }
    return false;
  }

 private:
  static constexpr std::int64_t whole = 1000;  // thousandths of a retry

  const std::int64_t each_;
  const std::int64_t most_;
  std::atomic<std::int64_t> left_;
};

}  // namespace omnibus
