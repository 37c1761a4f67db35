// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <memory>
#include <new>
#include <string_view>
#include <utility>

#include <omnibus/detail/hash.hpp>
#include <omnibus/detail/smaller.hpp>
#include <omnibus/message.hpp>

// The log of one topic: records in segments of fixed size, appended by one thread at a time, read by
// any number without a lock. Segments that nobody needs are used again, so that a busy topic
// allocates nothing.

namespace omnibus::memory {

/// One stored message. The bytes that `message` views follow it in its segment.
struct Record {
  MessageView message;
  std::uint64_t position = 0;
  std::uint64_t key_hash = 0;
  std::atomic<const Record*> next{nullptr};  ///< set once a record follows
};

/// Thread safety: what writes, `find` and `find_time` under the topic's lock; `end` and walking
/// from a record that is still kept, from any thread.
class Log {
 public:
  /// Where a log ended, for `undo`.
  struct Mark {
    Record* last = nullptr;
    std::size_t used = 0;
  };

  explicit Log(std::size_t max_bytes) : max_bytes_{max_bytes} {}

  /// Bytes that a message takes in the log.
  static std::size_t size_of(const MessageView& message) noexcept {
    const std::size_t bytes = message.id.size() + message.type.size() + message.key.size() +
                              message.headers.block().size() + message.payload.size();
    return (sizeof(Record) + bytes + alignof(Record) - 1) / alignof(Record) * alignof(Record);
  }

  /// Copies a message behind the others. Returns nullptr when there is no room, not even after
  /// dropping what lies wholly below `needed`, the lowest position that someone may still read.
  const Record* append(const MessageView& message, std::uint64_t needed) {
    const Record* record = place(message, needed);
    if (record != nullptr) publish();
    return record;
  }

  /// The same, but nobody reads it before `publish`.
  const Record* place(const MessageView& message, std::uint64_t needed) {
    const std::size_t size = size_of(message);
    if (segments_.empty() || segments_.back().room() < size) {
      if (!add_segment(size, needed)) return nullptr;
    }
    Segment& segment = segments_.back();
    char* at = segment.bytes.get() + segment.used;
    segment.used += size;
    auto* record = ::new (static_cast<void*>(at)) Record;
    at += sizeof(Record);
    const auto copy = [&at](std::string_view from) {
      if (!from.empty()) std::memcpy(at, from.data(), from.size());
      const std::string_view copied{at, from.size()};
      at += from.size();
      return copied;
    };
    record->message = {copy(message.id),
                       copy(message.type),
                       copy(message.key),
                       HeadersView{copy(message.headers.block())},
                       copy(message.payload),
                       message.time,
                       message.sequence};
    record->position = next_++;
    record->key_hash = detail::hash64(message.key.empty() ? message.id : message.key);
    if (segment.first == nullptr) segment.first = record;
    if (last_ != nullptr) last_->next.store(record, std::memory_order_relaxed);
    last_ = record;
    return record;
  }
  /// Everything that was placed is readable, all of it at once.
  void publish() noexcept { end_.store(next_, std::memory_order_seq_cst); }
  /// Takes back what was placed since `publish`.
  void undo(const Mark& mark) noexcept {
    while (!segments_.empty() && segments_.back().first->position >= end()) {
      bytes_ -= segments_.back().capacity;
      segments_.pop_back();
    }
    if (!segments_.empty()) segments_.back().used = mark.used;
    last_ = mark.last;
    next_ = end();
  }
  Mark mark() const noexcept { return {last_, segments_.empty() ? 0 : segments_.back().used}; }

  /// The position that the next message will have. Everything below is readable.
  std::uint64_t end() const noexcept { return end_.load(std::memory_order_seq_cst); }
  /// The lowest position still kept.
  std::uint64_t first() const noexcept {
    return segments_.empty() ? end() : segments_.front().first->position;
  }

  /// The record at this position; nullptr when it is not kept or not there yet.
  const Record* find(std::uint64_t position) const noexcept {
    if (position < first() || position >= end()) return nullptr;
    const Record* record = nullptr;
    for (const Segment& segment : segments_) {
      if (segment.first->position > position) break;
      record = segment.first;
    }
    while (record->position < position) record = record->next.load(std::memory_order_relaxed);
    return record;
  }

  /// The position of the first kept message of this time or later; `end` when there is none.
  std::uint64_t find_time(Time time) const noexcept {
    const Record* record = segments_.empty() ? nullptr : segments_.front().first;
    while (record != nullptr && record->message.time < time) {
      record = record->next.load(std::memory_order_relaxed);
    }
    return record == nullptr ? end() : record->position;
  }

  std::size_t bytes() const noexcept { return bytes_; }
  /// The largest record that fits at any time: beside it the segment with the newest record stays,
  /// which may be as large.
  std::size_t largest() const noexcept { return max_bytes_ / 2; }
  /// As much may be placed before `publish`: what it takes, with the room that is left between records, is no
  /// more than the largest record.
  std::size_t largest_batch() const noexcept { return max_bytes_ / 8; }

 private:
  static constexpr std::size_t segment_bytes = 256 * 1024;

  struct Segment {
    std::unique_ptr<char[]> bytes;
    std::size_t capacity = 0;
    std::size_t used = 0;
    const Record* first = nullptr;
    std::size_t room() const noexcept { return capacity - used; }
  };

  std::size_t usual_segment() const noexcept {
    return detail::smaller(segment_bytes, max_bytes_ / 4);
  }

  bool add_segment(std::size_t size, std::uint64_t needed) {
    // At least four segments fit, so that old ones can go while new ones are written.
    const std::size_t capacity = detail::larger(size, usual_segment());
    // The newest record that is readable stays, and with it what is placed behind it.
    needed = detail::smaller(needed, end() > 0 ? end() - 1 : 0);
    Segment fresh;
    while (bytes_ + capacity > max_bytes_) {
      // The front may go when the first record behind it is not above what is needed.
      if (segments_.size() < 2 || segments_[1].first->position > needed) return false;
      bytes_ -= segments_.front().capacity;
      if (segments_.front().capacity == capacity) fresh = std::move(segments_.front());
      segments_.pop_front();
    }
    if (!fresh.bytes) fresh.bytes = std::make_unique_for_overwrite<char[]>(capacity);
    fresh.capacity = capacity;
    fresh.used = 0;
    fresh.first = nullptr;
    bytes_ += capacity;
    segments_.push_back(std::move(fresh));
    return true;
  }

  const std::size_t max_bytes_;
  std::deque<Segment> segments_;
  std::size_t bytes_ = 0;
  Record* last_ = nullptr;
  std::uint64_t next_ = 0;  // the position of the next record
  std::atomic<std::uint64_t> end_{0};
};

}  // namespace omnibus::memory
