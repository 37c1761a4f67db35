// SPDX-License-Identifier: MIT
#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <climits>
#include <cstdint>

// A number that grows, and threads that sleep until it is there. Linux: futex(2).

namespace omnibus::detail {

/// Many who wait for one number are woken by one system call, and need no lock to go on. Unlike
/// std::atomic::wait, it does not yield in turns first, which many threads on few cores pay for.
/// Numbers may wrap around, as long as those that are compared are within 2^31 of each other.
/// Thread safety: shared objects are safe; one thread at a time reaches, and numbers only grow.
class Milestone {
 public:
  /// Who waits for this number or a lower one may go on. Those who sleep have to be woken as well.
  void reach(std::uint32_t number) noexcept { number_.store(number, std::memory_order_release); }
  /// Wakes all who sleep. After `reach`, by any thread.
  void wake() noexcept { call(FUTEX_WAKE_PRIVATE, INT_MAX); }
  /// Blocks until the number is reached.
  void wait(std::uint32_t number) noexcept {
    while (true) {
      const std::uint32_t now = number_.load(std::memory_order_acquire);
      if (static_cast<std::int32_t>(now - number) >= 0) return;
      call(FUTEX_WAIT_PRIVATE, now);
    }
  }

 private:
  void call(int operation, std::uint32_t value) noexcept {
    static_assert(sizeof number_ == sizeof(std::uint32_t) && std::atomic<std::uint32_t>::is_always_lock_free);
    (void)::syscall(SYS_futex, reinterpret_cast<std::uint32_t*>(&number_), operation, value, nullptr, nullptr, 0);
  }

  std::atomic<std::uint32_t> number_{0};
};

}  // namespace omnibus::detail
