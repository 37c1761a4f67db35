// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <stdexcept>
#include <tuple>

#include <omnibus/clock.hpp>
#include <omnibus/detail/smaller.hpp>
#include <omnibus/pipeline.hpp>

// No more handler calls in a second than something can bear.

namespace omnibus {

/// How many calls a rate limit lets through.
struct RateLimitOptions {
  double per_second = 0;
  std::uint32_t burst = 1;  ///< at once, after a time of fewer calls
};

/// Gives each call its time, in the order in which they ask.
/// Thread safety: shared objects are safe, also by several subscriptions, which then share the rate.
class RateLimit {
 public:
  /// Throws std::invalid_argument.
  explicit RateLimit(RateLimitOptions options)
      : each_{static_cast<Duration::rep>(1e9 / checked(options).per_second)},
        burst_{each_ * (options.burst - 1)} {}

  /// When the caller may go; not before now.
  Instant reserve(Instant now) {
    std::lock_guard lock{mutex_};
    const Instant turn = detail::larger(next_, now - burst_);
    next_ = turn + each_;
    return detail::larger(turn, now);
  }

 private:
  static const RateLimitOptions& checked(const RateLimitOptions& options) {
    if (!(options.per_second >= 0.001 && options.per_second <= 1e9)) {
      throw std::invalid_argument{"omnibus: rate limit: per_second must be 0.001 to 1e9"};
    }
    if (options.burst < 1 || options.burst > 1'000'000) {
      throw std::invalid_argument{"omnibus: rate limit: burst must be 1 to 1,000,000"};
    }
    return options;
  }

  const Duration each_;
  const Duration burst_;
  std::mutex mutex_;
  Instant next_{};
};

/// The stage that `rate_limit` makes.
class RateLimitStage {
 public:
  static constexpr Rank rank = Rank::gate;

  explicit RateLimitStage(RateLimit& limit) : limit_{&limit} {}

  Result<> operator()(Next next, Delivery& delivery) const {
    if (delivery.given_up()) return next(delivery);
    const Instant now = delivery.context().clock().now();
    if (delivery.turn() == Instant{}) delivery.set_turn(limit_->reserve(now));
    const Instant turn = delivery.turn();
    if (turn <= now) return next(delivery);
    delivery.context().pause(turn, nullptr);
    Error error = Error::make(Errc::unavailable, "handle", "the rate limit is reached");
    error.retry_after = turn - now;
    return error;
  }

 private:
  RateLimit* limit_;
};

/// Calls the handler at most `per_second` times a second, retries included. What is too early waits in its
/// lane, in order, without using up attempts, and nothing more is taken from the broker meanwhile.
/// Stands behind the other stages: handler | retry | dead_letter | idempotent | rate_limit.
/// Lifetime: the limit must outlive the subscription.
inline Chain<RateLimitStage> rate_limit(RateLimit& limit) {
  return {std::tuple{RateLimitStage{limit}}};
}

}  // namespace omnibus
