// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <omnibus/backend.hpp>
#include <omnibus/backends/rabbitmq/routes.hpp>
#include <omnibus/error.hpp>

// The messages that have been submitted and have no ending yet, in order, and what confirms, returns
// and a lost connection mean for them. No I/O: the publisher's thread drives it.

namespace omnibus::rabbitmq {

/// A ring of messages on their way. One side adds, the other one takes; each side is one thread at a
/// time. A slot is used again, with its memory.
class Outbox {
 public:
  struct Slot {
    std::string frames;  ///< the whole message, encoded
    std::string id;      ///< of the message, to know it when it is returned
    PublishDone done;
    Route* route = nullptr;
    std::int32_t shard = 0;
    std::uint64_t key_hash = 0;  ///< 0: no order is asked for
    Instant deadline{};
    std::size_t body_size = 0;
    std::uint64_t tag = 0;      ///< its number on this connection; 0: not written there
    bool ever_written = false;  ///< the broker may have it
    bool ended = false;
    bool overtaken = false;     ///< refused, but a later message of its key was taken
    bool refused = false;       ///< the broker said no, at least once
    bool taken = false;         ///< ended well
    bool doubtful = false;      ///< written on a connection that was lost before the confirm
    std::string returned;       ///< why the broker returned it; empty: it did not
  };

  Outbox(std::size_t window, std::size_t window_bytes)
      : window_{window},
        window_bytes_{window_bytes},
        slots_(ring_size(window)),
        by_tag_(slots_.size(), none) {}

  // ── the side that adds ─────────────────────────────────────────────────────────────────────────

  /// True when a message fits; a message larger than the window fits when nothing else is there.
  bool has_room() const noexcept {
    const std::uint64_t count = tail_.load(std::memory_order_relaxed) - head_.load();
    return count == 0 || (count < window_ && bytes() < window_bytes_);
  }
  /// True when there is so much room that it pays to wake who waits for it.
  bool has_much_room() const noexcept {
    return tail_.load() - head_.load() <= window_ / 4 * 3 && bytes() <= window_bytes_ / 4 * 3;
  }
  /// The slot to fill, when there is room.
  Slot& next_free() noexcept { return slots_[index(tail_.load(std::memory_order_relaxed))]; }
  /// The slot is filled.
  void push() noexcept {
    Slot& slot = next_free();
    const Instant deadline = slot.deadline;
    slot.taken = slot.doubtful = false;
    pushed_bytes_.store(pushed_bytes_.load(std::memory_order_relaxed) + slot.frames.size());
    tail_.store(tail_.load(std::memory_order_relaxed) + 1);
    lower_earliest(deadline);  // afterwards: `expire` reckons it anew from what it sees
  }
  std::uint64_t tail() const noexcept { return tail_.load(); }

  // ── the side that takes ────────────────────────────────────────────────────────────────────────

  /// Everything before this has its ending. Safe from any thread.
  std::uint64_t head() const noexcept { return head_.load(); }
  /// Bytes that have been added and not been written. Safe from any thread.
  std::size_t unwritten_bytes() const noexcept {
    const std::size_t written = written_bytes_.load();
    return pushed_bytes_.load() - written;
  }

  /// The next message to write; nullptr when there is none.
  Slot* to_write() noexcept {
    for (; next_ < tail_.load(); ++next_) {
      Slot& slot = slots_[index(next_)];
      if (!slot.ended && slot.tag == 0) return may_write() ? &slot : nullptr;
    }
    return nullptr;
  }
  /// What `to_write` returned has been written.
  void written() noexcept {
    Slot& slot = slots_[index(next_)];
    slot.tag = ++last_tag_;
    by_tag_[slot.tag & mask()] = next_;
    if (!slot.ever_written) add(written_bytes_, slot.frames.size());
    slot.ever_written = true;
    ++next_;
  }
  /// The tag of the last message written; 0: there is none.
  std::uint64_t last_written() const noexcept { return last_tag_; }
  /// True when the broker has said what became of this tag and of all before it.
  bool is_confirmed(std::uint64_t tag) const noexcept { return tag < low_tag_; }
  /// True when the broker owes nothing.
  bool all_confirmed() const noexcept { return low_tag_ > last_tag_; }
  /// How many are written and have no confirm, roughly.
  std::uint64_t under_way() const noexcept { return last_tag_ + 1 - low_tag_; }
  /// False while the broker owes so many confirms that no more can be counted.
  bool may_write() const noexcept {
    return refused_ == 0 && under_way() < by_tag_.size();
  }

  /// The broker returned the message with this id: the first written one that it can be.
  void returned(std::string_view id, std::string_view exchange, std::string why) {
    for (std::uint64_t tag = low_tag_; tag <= last_tag_; ++tag) {
      Slot* slot = of_tag(tag);
      if (slot == nullptr || !slot->returned.empty() || slot->id != id ||
          slot->route->exchange != exchange) {
        continue;
      }
      slot->returned = std::move(why);
      return;
    }
  }

  /// The broker has taken or refused the message of this tag, and of all before it if `multiple`.
  /// What was refused goes again when every other confirm is there, because a queue without a leader
  /// refuses too; but not when a later message of the same key was taken, because of order, nor when the
  /// route has refused everything for `patience`.
  void confirmed(std::uint64_t tag, bool multiple, bool taken, Instant now) {
    if (tag > last_tag_ || tag < low_tag_) return;
    for (std::uint64_t each = multiple ? low_tag_ : tag; each <= tag; ++each) {
      Slot* slot = of_tag(each);
      __builtin_prefetch(of_tag(each + 8));  // callers wrote it on another core
      if (slot == nullptr) continue;
      if (!slot->returned.empty()) {
        end(*slot, slot->doubtful ? Error::make(Errc::outcome_unknown, "publish", slot->returned)
                                  : Error::make(Errc::unroutable, "publish", slot->returned));
      } else if (taken) {
        if (refused_ > 0) mark_overtaken(*slot);
        slot->taken = true;
        slot->route->refuses_since = Instant::max();
        end(*slot, Receipt{slot->shard, {}});
      } else {
        Route& route = *slot->route;
        const bool anew = now - route.refused_last > 2 * patience;  // it was asked for nothing
        route.refused_last = now;
        if (anew || route.refuses_since == Instant::max()) route.refuses_since = now;
        if (now - route.refuses_since >= patience) {
          end(*slot, refusal(*slot));
          continue;
        }
        slot->overtaken |= later_taken(by_tag_[each & mask()]);
        by_tag_[each & mask()] = none;
        slot->tag = 0;
        slot->refused = true;
        ++refused_;
      }
    }
    if (multiple && tag >= low_tag_) low_tag_ = tag + 1;
    skip_ended();
    advance();
  }

  /// The channel is gone: what was written goes again, in order.
  void restart() {
    for (std::uint64_t at = head_.load(); at < next_; ++at) {
      Slot& slot = slots_[index(at)];
      if (slot.ended) continue;
      if (slot.tag != 0) {
        slot.doubtful = true;
      } else if (slot.overtaken) {
        end(slot, refusal(slot));
      }
    }
    next_ = head_.load();
    for (std::uint64_t at = next_; at < tail_.load(); ++at) {
      slots_[index(at)].tag = 0;
      slots_[index(at)].returned.clear();
    }
    low_tag_ = 1;
    last_tag_ = 0;
    refused_ = 0;
    advance();
  }

  /// No message has a deadline before this. Safe from any thread.
  Instant earliest() const noexcept { return Instant{Instant::duration{earliest_.load()}}; }

  /// Ends every message whose time has come. `why` describes what stood in the way.
  void expire(Instant now, const Error& why) {
    earliest_.store(Instant::max().time_since_epoch().count());
    Instant earliest = Instant::max();
    const std::uint64_t tail = tail_.load();
    for (std::uint64_t at = head_.load(); at < tail; ++at) {
      Slot& slot = slots_[index(at)];
      if (slot.ended) continue;
      if (slot.deadline > now) {
        if (slot.deadline < earliest) earliest = slot.deadline;
      } else if (slot.refused && slot.tag == 0) {
        end(slot, refusal(slot));
      } else if (slot.ever_written) {
        end(slot, Error::make(Errc::outcome_unknown, "publish",
                              "the broker did not confirm in time: " + why.context));
      } else {
        end(slot, why);
      }
    }
    lower_earliest(earliest);
    if (refused_ > 0) skip_ended();
    advance();
  }

  /// Ends every message for which `wanted(slot)`, with `ending(slot)`.
  template <class Wanted, class Ending>
  void end_if(Wanted wanted, Ending ending) {
    const std::uint64_t tail = tail_.load();
    for (std::uint64_t at = head_.load(); at < tail; ++at) {
      Slot& slot = slots_[index(at)];
      if (!slot.ended && wanted(slot)) end(slot, ending(slot));
    }
    if (refused_ > 0) skip_ended();
    advance();
  }

  /// The first message that was written on this connection and has no ending.
  Slot* first_unconfirmed() noexcept {
    for (std::uint64_t tag = low_tag_; tag <= last_tag_; ++tag) {
      if (Slot* slot = of_tag(tag)) return slot;
    }
    return nullptr;
  }

 private:
  static constexpr std::uint64_t none = UINT64_MAX;
  static constexpr Duration patience = std::chrono::seconds{5};

  /// Of what has no ending.
  std::size_t bytes() const noexcept {
    const std::size_t ended = ended_bytes_.load();
    return pushed_bytes_.load() - ended;
  }
  /// One side alone writes it.
  static void add(std::atomic<std::size_t>& sum, std::size_t size) noexcept {
    sum.store(sum.load(std::memory_order_relaxed) + size, std::memory_order_release);
  }

  static std::size_t ring_size(std::size_t window) {
    std::size_t size = 64;
    while (size < window) size *= 2;
    return size;
  }
  std::size_t mask() const noexcept { return slots_.size() - 1; }
  std::size_t index(std::uint64_t at) const noexcept { return at & mask(); }

  /// A message was taken: those of its key that were refused before it must not follow it.
  void mark_overtaken(const Slot& taken) noexcept {
    if (taken.key_hash == 0) return;
    for (std::uint64_t at = head_.load(); at < next_; ++at) {
      Slot& slot = slots_[index(at)];
      if (&slot == &taken) return;
      if (!slot.ended && slot.tag == 0 && slot.key_hash == taken.key_hash) {
        slot.overtaken = true;
      }
    }
  }

  void write_refused_again() {
    const std::uint64_t written = next_;
    for (std::uint64_t at = head_.load(); at < written; ++at) {
      Slot& slot = slots_[index(at)];
      if (slot.ended) continue;
      if (slot.overtaken) {
        end(slot, refusal(slot));
      } else if (at < next_) {
        next_ = at;
      }
    }
    refused_ = 0;
  }

  void skip_ended() {
    while (low_tag_ <= last_tag_ && by_tag_[low_tag_ & mask()] == none) ++low_tag_;
    if (refused_ > 0 && low_tag_ > last_tag_) write_refused_again();
  }

  static Error refusal(const Slot& slot) {
    Error refused = Error::make(slot.doubtful ? Errc::outcome_unknown : Errc::rejected, "publish",
                                "the broker refused the message: a queue is full or has no leader");
    refused.retryable = true;
    return refused;
  }

  /// Whether a later message of the same key was taken.
  bool later_taken(std::uint64_t than) const noexcept {
    const Slot& slot = slots_[index(than)];
    for (std::uint64_t at = than + 1; slot.key_hash != 0 && at < next_; ++at) {
      const Slot& later = slots_[index(at)];
      if (later.taken && later.key_hash == slot.key_hash) return true;
    }
    return false;
  }

  Slot* of_tag(std::uint64_t tag) noexcept {
    const std::uint64_t at = by_tag_[tag & mask()];
    return at == none ? nullptr : &slots_[index(at)];
  }

  void lower_earliest(Instant deadline) noexcept {
    const Instant::rep wanted = deadline.time_since_epoch().count();
    Instant::rep now = earliest_.load();
    while (wanted < now && !earliest_.compare_exchange_weak(now, wanted)) {
    }
  }

  void end(Slot& slot, Result<Receipt> ending) {
    slot.ended = true;
    if (slot.tag != 0) by_tag_[slot.tag & mask()] = none;
    if (!slot.ever_written) add(written_bytes_, slot.frames.size());
    add(ended_bytes_, slot.frames.size());
    PublishDone done = std::move(slot.done);
    done(std::move(ending));
  }

  void advance() noexcept {
    std::uint64_t head = head_.load();
    const std::uint64_t tail = tail_.load();
    for (; head < tail && slots_[index(head)].ended; ++head) {
      Slot& slot = slots_[index(head)];
      if (slot.frames.capacity() > 64 * 1024) std::string{}.swap(slot.frames);
    }
    if (next_ < head) next_ = head;
    head_.store(head);
  }

  const std::size_t window_;
  const std::size_t window_bytes_;
  std::vector<Slot> slots_;
  // Each side writes its own cache line.
  alignas(64) std::atomic<std::uint64_t> tail_{0};
  std::atomic<std::size_t> pushed_bytes_{0};  // ever
  std::atomic<Instant::rep> earliest_{Instant::max().time_since_epoch().count()};
  alignas(64) std::atomic<std::uint64_t> head_{0};
  std::atomic<std::size_t> written_bytes_{0};  // ever, of those
  std::atomic<std::size_t> ended_bytes_{0};    // likewise

  std::uint64_t next_ = 0;  // the next to write
  std::vector<std::uint64_t> by_tag_;
  std::uint64_t low_tag_ = 1;  // every tag before it is dealt with
  std::uint64_t last_tag_ = 0;
  std::size_t refused_ = 0;         // messages that wait until all confirms are there
};

}  // namespace omnibus::rabbitmq
