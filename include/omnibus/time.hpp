// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>

// The three kinds of time omnibus speaks of.

namespace omnibus {

/// A length of time; chrono literals such as `100ms` and `5min` convert to it.
using Duration = std::chrono::nanoseconds;
/// A moment on a monotonic clock: delays, back-off and deadlines are computed with it.
using Instant = std::chrono::steady_clock::time_point;
/// A moment of wall time: what a message is stamped with.
using Time = std::chrono::system_clock::time_point;

/// `delay` after `moment`; the end of time where the sum would lie beyond it, so that a delay of
/// Duration::max() means for ever.
constexpr Instant after(Instant moment, Duration delay) noexcept {
  return delay > Instant::max() - moment ? Instant::max() : moment + delay;
}

}  // namespace omnibus
