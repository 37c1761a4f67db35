// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>

#include <omnibus/clock.hpp>
#include <omnibus/backoff.hpp>
#include <omnibus/detail/smaller.hpp>
#include <omnibus/pipeline.hpp>
#include <omnibus/retry_budget.hpp>

// Try again while the error allows it. The stage decides and the dispatcher waits: no thread
// sleeps, and only the failing key is held up.

namespace omnibus {

/// When to try again, how often and for how long.
struct RetryOptions {
  std::uint32_t attempts = 5;                         ///< in all, the first one counted
  Duration initial = std::chrono::milliseconds{100};  ///< the longest first delay
  Duration max = std::chrono::seconds{30};            ///< no delay is longer
  double factor = 2.0;                                ///< growth of the delay
  bool jitter = true;                                 ///< a random part of the delay, or all of it
  Duration total = std::chrono::minutes{15};          ///< no attempt begins later after the first failure
  bool (*when)(const Error&) = nullptr;               ///< says false: give up on this error at once
  /// Shared by those who depend on one thing: when it is used up, a retry waits for `max`. Has to outlive
  /// the subscription. nullptr: no bound.
  RetryBudget* budget = nullptr;
};

/// The stage that `retry` makes.
class RetryStage {
 public:
  static constexpr Rank rank = Rank::attempt;

  explicit RetryStage(RetryOptions options) : options_{std::move(options)} {
    const auto require = [](bool good, const char* what) {
      if (!good) throw std::invalid_argument{std::string{"omnibus: retry: "} + what};
    };
    require(options_.attempts >= 1, "attempts must be at least 1");
    require(options_.initial >= Duration::zero(), "initial must not be negative");
    require(options_.max >= options_.initial, "max must not be below initial");
    require(options_.factor >= 1.0, "factor must be at least 1");
    require(options_.total >= Duration::zero(), "total must not be negative");
  }

  Result<> operator()(Next next, Delivery& delivery) const {
    Result<> result = detail::guarded([&] { return next(delivery); });
    if (result) {
      if (options_.budget != nullptr && delivery.attempted()) options_.budget->earn();
      return result;
    }
    if (result.error().code == Errc::interrupted) return result;
    delivery.mark_attempted();  // also when a stage to the left failed before the handler began
    decide(result.error(), delivery);
    return result;
  }

 private:
  void decide(Error& error, Delivery& delivery) const {
    DeliveryContext& context = delivery.context();
    const Instant now = context.clock().now();
    const auto& history = delivery.remember(error, now);
    if (!error.retryable || (options_.when && !options_.when(error))) return give_up(error, "");
    if (delivery.attempt() >= options_.attempts) {
      return give_up(error, "gave up after " + std::to_string(delivery.attempt()) + " attempts");
    }
    const Backoff policy{options_.initial, options_.max, options_.factor, options_.jitter};
    Duration delay =
        error.again() ? error.retry_after : backoff(policy, delivery.attempt(), context.random());
    if (options_.budget != nullptr && !options_.budget->spend()) delay = detail::larger(delay, options_.max);
    if (delay > options_.total - (now - history.first_failure)) {
      return give_up(error, "gave up because the next attempt would begin too late");
    }
    error.retry_after = delay;
  }

  /// Marks the error so that no stage around this one tries again either.
  static void give_up(Error& error, const std::string& why) {
    error.retryable = false;
    error.retry_after = Error::not_again;
    if (!why.empty()) error.context.append(error.context.empty() ? "" : "; ").append(why);
  }

  RetryOptions options_;
};

/// Tries again while the error is retryable: exponential back-off with full jitter, up to `attempts`
/// and `total`. What a handler says with `permanent` or `later(delay)` goes before the policy.
/// Attempts count redeliveries. Order: only messages of the failing key wait (Order::strict).
/// Errors: passes the handler's on, marked as not retryable once it has given up; throws
/// std::invalid_argument for options that contradict each other.
inline Chain<RetryStage> retry(RetryOptions options = {}) {
  return {std::tuple{RetryStage{std::move(options)}}};
}

}  // namespace omnibus
