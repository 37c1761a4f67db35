// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <utility>

#include <omnibus/clock.hpp>

// A clock for tests: time passes when the test says so.

namespace omnibus {

/// A clock that stands still until `advance` is called, so that a test of a five-minute back-off
/// takes microseconds. It governs what happens to messages: stamps, delays, back-off, leases. The
/// deadlines that bound how long a caller blocks stay on the machine's clock.
/// Thread safety: shared objects are safe.
class VirtualClock final : public Clock {
 public:
  /// Starts at `start`; the monotonic time starts at the same distance from its epoch.
  explicit VirtualClock(Time start = Time{std::chrono::hours{24 * 365 * 50}})
      : since_epoch_{std::chrono::duration_cast<Duration>(start.time_since_epoch())} {}

  Instant now() const noexcept override {
    std::lock_guard lock{mutex_};
    return Instant{std::chrono::duration_cast<Instant::duration>(since_epoch_)};
  }
  Time wall() const noexcept override {
    std::lock_guard lock{mutex_};
    return Time{std::chrono::duration_cast<Time::duration>(since_epoch_)};
  }
  bool by_hand() const noexcept override { return true; }

  /// Moves time forward and wakes everyone who waits for it. Returns when all have been woken;
  /// what they do then happens on their own threads.
  void advance(Duration by) {
    {
      std::lock_guard lock{mutex_};
      since_epoch_ += by;
    }
    std::lock_guard lock{listeners_mutex_};
    for (auto& [handle, wake] : listeners_) wake();
  }

  std::uint64_t on_jump(detail::UniqueFunction<void()> wake) override {
    std::lock_guard lock{listeners_mutex_};
    listeners_.emplace(++last_handle_, std::move(wake));
    return last_handle_;
  }
  void forget(std::uint64_t handle) noexcept override {
    std::lock_guard lock{listeners_mutex_};
    listeners_.erase(handle);
  }

  /// Those who live by this clock.
  struct Sleepers {
    std::size_t awake = 0;              ///< who may be doing something now
    Instant earliest = Instant::max();  ///< when the first of those asleep has something to do
    std::uint64_t woken = 0;            ///< how often someone woke: the same later means nobody did since
    bool operator==(const Sleepers&) const = default;
  };
  Sleepers sleepers() const {
    std::lock_guard lock{mutex_};
    return {awake_, asleep_.empty() ? Instant::max() : asleep_.begin()->first, woken_};
  }
  void sleeps(Instant until) override {
    std::lock_guard lock{mutex_};
    --awake_;
    if (until != Instant::max()) ++asleep_[until];
  }
  void wakes(Instant from) override {
    std::lock_guard lock{mutex_};
    ++awake_;
    ++woken_;
    if (from != Instant::max() && --asleep_[from] == 0) asleep_.erase(from);
  }

 private:
  mutable std::mutex mutex_;
  Duration since_epoch_;
  std::size_t awake_ = 0;
  std::map<Instant, std::size_t> asleep_;  ///< how many sleep until then
  std::uint64_t woken_ = 0;
  std::mutex listeners_mutex_;
  std::map<std::uint64_t, detail::UniqueFunction<void()>> listeners_;
  std::uint64_t last_handle_ = 0;
};

}  // namespace omnibus
