// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

#include <omnibus/detail/smaller.hpp>
#include <omnibus/time.hpp>

// When the threads that own connections act, so that they act seldom and are not late.

namespace omnibus::detail {

/// How often the loop turns while many messages are under way: a few times for each time that a confirm
/// takes, so that callers in a loop share a system call, and so do confirms. Without I/O.
class Pace {
 public:
  static constexpr std::uint64_t many = 64;

  /// Times the confirm of one message after the other. `outbox` has `last_written()`, the number of a
  /// message or 0, and `is_confirmed(number)`.
  template <class Outbox>
  void note(const Outbox& outbox, Instant now) noexcept {
    if (watched_ != 0 && !outbox.is_confirmed(watched_)) return;
    if (watched_ != 0) turn_ = larger(shortest, smaller(longest, (now - since_) / turns_a_confirm));
    watched_ = outbox.last_written();
    since_ = now;
  }
  /// The connection is another one.
  void restart() noexcept { watched_ = 0; }
  Duration turn() const noexcept { return turn_; }

 private:
  static constexpr int turns_a_confirm = 8;
  static constexpr Duration shortest = std::chrono::microseconds{200};
  static constexpr Duration longest = std::chrono::milliseconds{5};
  Duration turn_ = shortest;
  std::uint64_t watched_ = 0;
  Instant since_{};
};

/// How long to wait before the next read, after so many messages have come: when several come at once,
/// the next ones may gather. A pure function.
inline Duration linger_after(std::size_t messages) noexcept {
  constexpr Duration each = std::chrono::microseconds{100};
  constexpr Duration longest = std::chrono::microseconds{1500};
  if (messages < 4) return Duration::zero();
  return smaller(longest, each * static_cast<Duration::rep>(messages));
}

}  // namespace omnibus::detail
