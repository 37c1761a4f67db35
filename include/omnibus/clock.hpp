// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include <omnibus/detail/unique_function.hpp>
#include <omnibus/time.hpp>

// Who tells the time: the machine's clocks, or a VirtualClock that a test drives by hand.

namespace omnibus {

/// Tells the time to a backend and to the subscriptions on it.
/// Thread safety: all members may be called from any thread.
/// Lifetime: a clock given to a backend must outlive it.
class Clock {
 public:
  virtual ~Clock() = default;
  /// The monotonic time.
  virtual Instant now() const noexcept = 0;
  /// The wall time.
  virtual Time wall() const noexcept = 0;
  /// Calls `wake` after every jump of a clock that is driven by hand; other clocks ignore it.
  /// Returns a handle for `forget`.
  virtual std::uint64_t on_jump(detail::UniqueFunction<void()>) { return 0; }
  /// Ends what `on_jump` began; afterwards `wake` is not running and will not run.
  virtual void forget(std::uint64_t) noexcept {}
  /// For those who live by a clock that is driven by hand, which thereby knows who has something left to
  /// do, and when: someone sleeps until then or until woken, Instant::max() being for ever; and wakes from
  /// that. Who is new wakes, who ends sleeps for ever. Told by whoever wakes, before the sleeper stirs.
  virtual void sleeps(Instant) {}
  virtual void wakes(Instant) {}
  /// True when time passes only when someone says so, so that waiting for it would never end.
  virtual bool by_hand() const noexcept { return false; }
};

/// The machine's clocks.
class SystemClock final : public Clock {
 public:
  Instant now() const noexcept override { return std::chrono::steady_clock::now(); }
  Time wall() const noexcept override { return std::chrono::system_clock::now(); }
};

}  // namespace omnibus
