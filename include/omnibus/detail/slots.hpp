// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <omnibus/backend.hpp>
#include <omnibus/detail/smaller.hpp>
#include <omnibus/error.hpp>

// The messages that have been submitted and have no ending yet. No I/O: the publisher's thread drives
// it.

namespace omnibus::detail {

/// A ring of messages on their way. One side adds, the other one ends; each side is one thread at a
/// time. A message is known by its number, which whoever sends it carries for it. Its slot is used again
/// when it has its ending and whoever sends it has given it back, in whichever order.
class Slots {
 public:
  Slots(std::size_t window, std::size_t window_bytes)
      : window_{window}, window_bytes_{window_bytes}, slots_(ring_size(window)) {}

  // ── the side that adds ─────────────────────────────────────────────────────────────────────────

  /// True when a message fits; a message larger than the window fits when nothing else is there.
  bool has_room() const noexcept {
    const std::uint64_t count = tail_.load(std::memory_order_relaxed) - head_.load();
    return count == 0 || (count < window_ && bytes_.load(std::memory_order_relaxed) < window_bytes_);
  }
  /// True when there is so much room that it pays to wake who waits for it.
  bool has_much_room() const noexcept {
    return tail_.load() - head_.load() <= window_ / 4 * 3 && bytes_.load() <= window_bytes_ / 4 * 3;
  }
  /// Adds a message, for which there is room. Returns its number.
  std::uint64_t add(PublishDone done, Instant deadline, std::size_t bytes) {
    const std::uint64_t number = tail_.load(std::memory_order_relaxed);
    __builtin_prefetch(&at(number + 2), 1);  // the other side wrote it on another core
    Slot& slot = at(number);
    slot.done = std::move(done);
    slot.deadline = deadline;
    slot.bytes = bytes;
    slot.ended = slot.returned = false;
    bytes_.fetch_add(bytes, std::memory_order_relaxed);
    tail_.store(number + 1);
    lower_earliest(deadline);  // afterwards: `expire` reckons it anew from what it sees
    return number;
  }
  std::uint64_t tail() const noexcept { return tail_.load(); }
  /// How many slots there are: numbers that far apart share one.
  std::size_t capacity() const noexcept { return slots_.size(); }
  /// Everything before this is free. Safe from any thread.
  std::uint64_t head() const noexcept { return head_.load(); }

  // ── the side that ends ─────────────────────────────────────────────────────────────────────────

  /// Everything before this has its ending. Safe from any thread.
  std::uint64_t ended() const noexcept { return ended_.load(); }
  bool has_ended(std::uint64_t number) const noexcept { return at(number).ended; }
  bool is_due(std::uint64_t number, Instant now) const noexcept { return at(number).deadline <= now; }

  /// Ends a message; one that has ended keeps its ending.
  void end(std::uint64_t number, Result<Receipt> ending) {
    Slot& slot = at(number);
    if (slot.ended) return;
    slot.ended = true;
    PublishDone done = std::move(slot.done);
    done(std::move(ending));
  }
  /// Whoever sends it has nothing of this message any more.
  void returned(std::uint64_t number) noexcept { at(number).returned = true; }

  /// Frees what can be freed.
  void advance() noexcept {
    const std::uint64_t tail = tail_.load();
    std::uint64_t ended = ended_.load(std::memory_order_relaxed);
    while (ended < tail && at(ended).ended) ++ended;
    ended_.store(ended);
    std::uint64_t head = head_.load(std::memory_order_relaxed);
    std::size_t bytes = 0;
    while (head < ended && at(head).returned) bytes += at(head++).bytes;
    if (bytes > 0) bytes_.fetch_sub(bytes);
    head_.store(head);
  }

  /// No message has a deadline before this. Safe from any thread.
  Instant earliest() const noexcept { return Instant{Instant::duration{earliest_.load()}}; }

  /// Ends every message whose time has come.
  void expire(Instant now, const Error& why) {
    earliest_.store(Instant::max().time_since_epoch().count());
    Instant earliest = Instant::max();
    const std::uint64_t tail = tail_.load();
    for (std::uint64_t number = ended_.load(); number < tail; ++number) {
      const Slot& slot = at(number);
      if (slot.ended) continue;
      if (slot.deadline <= now) {
        end(number, why);
      } else {
        earliest = smaller(earliest, slot.deadline);
      }
    }
    lower_earliest(earliest);
    advance();
  }

  /// Whoever sends is gone, and what it had: ends all messages but those that are kept elsewhere.
  template <class Kept>
  void abandon(Kept kept, const Error& why) {
    const std::uint64_t tail = tail_.load();
    for (std::uint64_t number = head_.load(); number < tail; ++number) {
      if (kept(number)) continue;
      end(number, why);
      returned(number);
    }
    advance();
  }

 private:
  struct Slot {
    PublishDone done;
    Instant deadline{};
    std::size_t bytes = 0;
    bool ended = false;
    bool returned = false;
  };

  static std::size_t ring_size(std::size_t window) noexcept {
    std::size_t size = 8;
    while (size < window + 4) size *= 2;
    return size;
  }
  Slot& at(std::uint64_t number) noexcept {
    return slots_[static_cast<std::size_t>(number) & (slots_.size() - 1)];
  }
  const Slot& at(std::uint64_t number) const noexcept {
    return slots_[static_cast<std::size_t>(number) & (slots_.size() - 1)];
  }

  void lower_earliest(Instant deadline) noexcept {
    const Instant::rep wanted = deadline.time_since_epoch().count();
    Instant::rep known = earliest_.load();
    while (wanted < known && !earliest_.compare_exchange_weak(known, wanted)) {
    }
  }

  const std::size_t window_;
  const std::size_t window_bytes_;
  std::vector<Slot> slots_;
  alignas(64) std::atomic<std::uint64_t> tail_{0};
  std::atomic<std::size_t> bytes_{0};
  std::atomic<Instant::rep> earliest_{Instant::max().time_since_epoch().count()};
  alignas(64) std::atomic<std::uint64_t> ended_{0};
  std::atomic<std::uint64_t> head_{0};  // everything before it is free
};

}  // namespace omnibus::detail
