// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>

#include <omnibus/time.hpp>

// Those who wait on a publisher: for room, or for everything to have its ending.

namespace omnibus::detail {

/// Thread safety: `tell` from any thread, without the mutex; the rest with the mutex held.
class Waiters {
 public:
  explicit Waiters(std::mutex& mutex) : mutex_{mutex} {}

  /// Blocks until there is room, or there will be none, at most until this moment. Returns `has_room()`.
  template <class HasRoom, class Closed>
  bool wait_for_room(std::unique_lock<std::mutex>& lock, Instant until, HasRoom has_room,
                     Closed closed) {
    for_room_.fetch_add(1);
    while (!closed() && !has_room() && progress_.wait_until(lock, until) != std::cv_status::timeout) {
    }
    for_room_.fetch_sub(1);
    return has_room();
  }
  /// Blocks until everything has its ending, at most until this moment. Returns `ended()`.
  template <class Ended>
  bool wait_for_end(std::unique_lock<std::mutex>& lock, Instant until, Ended ended) {
    for_end_.fetch_add(1);
    const bool all = progress_.wait_until(lock, until, ended);
    for_end_.fetch_sub(1);
    return all;
  }

  /// Messages may have got endings. `quiet`: nothing more is to be expected soon. Who waits for room is
  /// woken when there is room for many, not at every message.
  template <class MuchRoom, class AllEnded>
  void tell(bool quiet, MuchRoom much_room, AllEnded all_ended) {
    const bool room = for_room_.load() > 0 && (quiet || much_room());
    const bool end = for_end_.load() > 0 && (quiet || all_ended());
    if (!room && !end) return;
    std::lock_guard lock{mutex_};
    progress_.notify_all();
  }
  /// Everything has changed. With the mutex held.
  void tell_all() noexcept { progress_.notify_all(); }

 private:
  std::mutex& mutex_;
  std::condition_variable progress_;
  std::atomic<int> for_room_{0};
  std::atomic<int> for_end_{0};
};

}  // namespace omnibus::detail
