// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <omnibus/backend.hpp>
#include <omnibus/backends/redis/routes.hpp>
#include <omnibus/backends/redis/several.hpp>
#include <omnibus/detail/slots.hpp>
#include <omnibus/error.hpp>

// The messages that have been submitted and have no ending yet, in order, and what replies and a lost
// connection mean for them. No I/O: the publisher's thread drives it.

namespace omnibus::redis {

/// A ring of messages on their way. One side adds, the other one takes; each side is one thread at a
/// time. Replies come in the order in which messages were written.
class Outbox {
 public:
  struct Item {
    std::string command;  ///< the whole message, encoded
    Route* route = nullptr;
    std::int32_t shard = 0;
    Duration delay{};
    bool ever_written = false;  ///< the server may have it
    bool doubtful = false;      ///< it was written on a connection that was lost before the reply
    bool accepted = false;      ///< the server has it; what replicas have is not known yet
    Position position{};        ///< then
    std::shared_ptr<Several> several;  ///< where the command is of several messages

    std::span<Route* const> routes() const noexcept {
      return several ? several->routes() : std::span<Route* const>{&route, 1};
    }
    bool goes_to(const Route& to) const noexcept {
      for (const Route* each : routes()) {
        if (each == &to) return true;
      }
      return false;
    }
  };

  Outbox(std::size_t window, std::size_t window_bytes)
      : slots_{window, window_bytes}, items_(slots_.capacity()) {}

  // ── the side that adds ─────────────────────────────────────────────────────────────────────────

  bool has_room() const noexcept { return slots_.has_room(); }
  /// The item to fill, when there is room: `command`, `route`, `shard` and `delay`, or `command` and `several`.
  Item& next_free() noexcept { return item(slots_.tail()); }
  /// The item is filled.
  void push(PublishDone done, Instant deadline) {
    Item& added = next_free();
    added.ever_written = added.doubtful = added.accepted = false;
    const std::size_t size = added.command.size();
    pushed_bytes_.fetch_add(size, std::memory_order_relaxed);
    slots_.add(std::move(done), deadline, size);
  }
  std::uint64_t tail() const noexcept { return slots_.tail(); }
  bool has_much_room() const noexcept { return slots_.has_much_room(); }

  // ── the side that takes ────────────────────────────────────────────────────────────────────────

  /// Everything before this has its ending. Safe from any thread.
  std::uint64_t ended() const noexcept { return slots_.ended(); }
  Instant earliest() const noexcept { return slots_.earliest(); }
  /// Bytes that were added and not written yet, roughly. Safe from any thread.
  std::size_t unwritten_bytes() const noexcept {
    const std::size_t written = written_bytes_.load(std::memory_order_relaxed);
    const std::size_t pushed = pushed_bytes_.load(std::memory_order_relaxed);
    return pushed > written ? pushed - written : 0;
  }

  /// The next message to write; nullptr when there is none.
  Item* to_write() {
    const std::uint64_t tail = slots_.tail();
    for (; next_ < tail; ++next_) {
      if (!slots_.has_ended(next_)) return &item(next_);
      skip();
    }
    return nullptr;
  }
  /// What `to_write` returned has been written.
  void written() noexcept {
    Item& each = item(next_);
    note_written(each);
    ++next_;
  }
  /// How many were written on this connection and have no reply.
  std::uint64_t under_way() const noexcept { return next_ - answered_; }
  /// The number of the last message written, from 1.
  std::uint64_t last_written() const noexcept { return next_; }
  bool is_confirmed(std::uint64_t number) const noexcept { return number <= answered_; }

  /// The next message to get its reply.
  Item& awaiting() {
    pass_skipped();
    return item(answered_);
  }
  /// The reply to `awaiting()`: its ending. One that failed may have been taken before.
  void answered(Result<Receipt> ending) {
    Item& each = awaiting();
    if (!ending && each.doubtful) {
      ending.error().code = Errc::outcome_unknown;
      ending.error().retryable = true;
    }
    slots_.end(answered_, std::move(ending));
    give_back(answered_++);
    advance();
  }
  /// The reply to `awaiting()`: the server has it, and its ending comes with `settle_accepted`.
  void accepted(Position position) noexcept {
    Item& each = awaiting();
    each.accepted = true;
    each.position = position;
    ++answered_;
  }
  /// What was accepted before message `number` is on enough replicas, or else nobody knows.
  void settle_accepted(std::uint64_t number, bool enough) {
    for (std::uint64_t at = slots_.head(); at < number && at < answered_; ++at) {
      Item& each = item(at);
      if (!each.accepted) continue;
      each.accepted = false;
      if (enough) {
        slots_.end(at, Receipt{each.shard, each.position});
      } else {
        slots_.end(at, Error::make(Errc::outcome_unknown, "publish",
                                   "the server has it, but not enough replicas in time"));
      }
      give_back(at);
    }
    advance();
  }

  /// The connection is gone: what has no ending goes again, in order.
  void restart() {
    const std::uint64_t head = slots_.head();
    for (std::uint64_t at = head; at < slots_.tail(); ++at) {
      Item& each = item(at);
      if (each.ever_written && at < next_) each.doubtful = true;
      each.accepted = false;
      if (at < next_ && slots_.has_ended(at)) give_back(at);
    }
    advance();
    skipped_.clear();
    next_ = answered_ = slots_.head();
  }

  /// The connection is gone, and nothing may go twice: what was written ends. `restart` is to follow.
  void give_up_written(const Error& why) {
    end_if([](std::uint64_t, const Item& each) { return each.ever_written; },
           [&](const Item&) {
             return Error::make(Errc::outcome_unknown, "publish",
                                "it was sent before the reply was lost: " + why.message());
           });
  }

  /// Ends every message whose time has come. `why` describes what stood in the way.
  void expire(Instant now, const Error& why) {
    end_if([&](std::uint64_t number, const Item&) { return slots_.is_due(number, now); },
           [&](const Item& each) {
             return each.ever_written
                        ? Error::make(Errc::outcome_unknown, "publish",
                                      "the server did not answer in time: " + why.context)
                        : why;
           });
    slots_.expire(Instant::min(), why);  // reckons anew when the next one is due
  }

  /// Ends every message for which `wanted(number, item)`, with `ending(item)`.
  template <class Wanted, class Ending>
  void end_if(Wanted wanted, Ending ending) {
    const std::uint64_t tail = slots_.tail();
    for (std::uint64_t at = slots_.ended(); at < tail; ++at) {
      if (slots_.has_ended(at) || !wanted(at, item(at))) continue;
      slots_.end(at, ending(item(at)));
      if (at >= next_) continue;  // `to_write` passes over it
      if (item(at).accepted) give_back(at);
    }
    (void)to_write();
    pass_skipped();
    advance();
  }

 private:
  Item& item(std::uint64_t number) noexcept {
    return items_[static_cast<std::size_t>(number) & (items_.size() - 1)];
  }

  void note_written(Item& each) noexcept {
    if (!each.ever_written) {
      written_bytes_.fetch_add(each.command.size(), std::memory_order_relaxed);
    }
    each.ever_written = true;
  }
  /// `next_` has ended before it could be written.
  void skip() {
    Item& each = item(next_);
    if (!each.ever_written) {
      written_bytes_.fetch_add(each.command.size(), std::memory_order_relaxed);
    }
    skipped_.push_back(next_);
  }
  void pass_skipped() {
    while (!skipped_.empty() && skipped_.front() == answered_) {
      give_back(answered_++);
      skipped_.pop_front();
    }
  }
  void give_back(std::uint64_t number) noexcept {
    Item& each = item(number);
    each.accepted = false;
    if (each.command.capacity() > 64 * 1024) std::string{}.swap(each.command);
    each.several.reset();
    slots_.returned(number);
  }
  void advance() noexcept { slots_.advance(); }

  omnibus::detail::Slots slots_;
  std::vector<Item> items_;
  std::atomic<std::size_t> pushed_bytes_{0};   // ever
  std::atomic<std::size_t> written_bytes_{0};  // ever, of those

  std::uint64_t next_ = 0;      // the next to write
  std::uint64_t answered_ = 0;  // the next to get its reply
  std::deque<std::uint64_t> skipped_;  // of those between, the ones that were not written
};

}  // namespace omnibus::redis
