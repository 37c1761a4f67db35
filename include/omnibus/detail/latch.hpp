// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <mutex>

#include <semaphore.h>

// Two ways to wait for something once.

namespace omnibus::detail {

/// Waits until a number of things have happened. Costs no lock when they happen before the wait.
/// May be destroyed as soon as `wait` has returned, even while the last `arrive` returns.
class Latch {
 public:
  explicit Latch(std::size_t count) : left_{count << 1} {}

  /// One of them has happened.
  void arrive() noexcept {
    if (left_.fetch_sub(2, std::memory_order_acq_rel) != (2 | waiting)) return;
    std::lock_guard lock{mutex_};
    opened_ = true;
    signal_.notify_one();
  }
  /// Blocks until all have happened.
  void wait() {
    if (left_.load(std::memory_order_acquire) == 0) return;
    if (left_.fetch_or(waiting, std::memory_order_acq_rel) == 0) return;
    std::unique_lock lock{mutex_};
    signal_.wait(lock, [this] { return opened_; });
  }

 private:
  static constexpr std::size_t waiting = 1;
  std::atomic<std::size_t> left_;  // twice the count, plus 1 when someone waits
  std::mutex mutex_;
  std::condition_variable signal_;
  bool opened_ = false;
};

/// A flag that a signal handler may raise: sem_post is async-signal-safe (POSIX.1-2017, 2.4.3).
class StopSignal {
 public:
  StopSignal() noexcept { sem_init(&semaphore_, 0, 0); }
  ~StopSignal() { sem_destroy(&semaphore_); }
  StopSignal(const StopSignal&) = delete;

  /// Lets one `wait` return, now or later.
  void raise() noexcept { sem_post(&semaphore_); }
  /// Blocks until raised.
  void wait() noexcept {
    while (sem_wait(&semaphore_) != 0) {
    }
  }

 private:
  sem_t semaphore_;
};

}  // namespace omnibus::detail
