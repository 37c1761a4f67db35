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

}  // namespace omnibus
