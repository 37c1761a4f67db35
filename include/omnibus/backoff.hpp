// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>

#include <omnibus/time.hpp>

// How long to wait before the next attempt: a pure function of the attempt and of random bits.

namespace omnibus {

/// Exponential back-off. Full jitter, the default, waits for a random time between zero and the
/// exponential delay: of the usual variants it keeps contending clients apart with the fewest calls
/// (AWS Architecture Blog, "Exponential Backoff And Jitter").
struct Backoff {
  Duration initial = std::chrono::milliseconds{100};  ///< the longest first delay
  Duration max = std::chrono::seconds{30};            ///< no delay is longer
  double factor = 2.0;                                ///< growth from one attempt to the next
  bool jitter = true;                                 ///< false: exactly the exponential delay
};

/// The delay after failed attempt number `attempt`, counted from 1. `random` is 64 random bits.
/// A pure function; never negative, never above `max`, whatever the attempt.
inline Duration backoff(const Backoff& policy, std::uint32_t attempt, std::uint64_t random) noexcept {
  if (policy.initial <= Duration::zero() || policy.max <= Duration::zero()) return Duration::zero();
  double growth = 1.0;  // factor to the power of attempt - 1, in at most 32 steps
  double power = policy.factor;
  for (std::uint32_t left = attempt > 0 ? attempt - 1 : 0; left > 0; left /= 2, power *= power) {
    if (left % 2 == 1) growth *= power;
  }
  double longest = static_cast<double>(policy.initial.count()) * growth;
  const double cap = static_cast<double>(policy.max.count());
  if (!(longest < cap)) {
    if (!policy.jitter) return policy.max;
    longest = cap;
  }
  const double share = policy.jitter ? static_cast<double>(random >> 11) * 0x1p-53 : 1.0;
  return Duration{static_cast<Duration::rep>(longest * share)};
}

}  // namespace omnibus
