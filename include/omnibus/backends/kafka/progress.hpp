// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <omnibus/backends/kafka/marks.hpp>

// Which records of one partition are done, and which offset may therefore be committed. A small state
// machine without I/O.

namespace omnibus::kafka {

/// The records of one partition that have been delivered, in order, from the first that is not done.
class Progress {
 public:
  static constexpr std::int64_t none = -1;

  /// Begins at the record of this offset; `none`: at whichever comes first. What is marked was done by
  /// those who had the partition before.
  explicit Progress(std::int64_t start = none, Marks before = {})
      : before_{std::move(before)}, committable_{start} {}

  /// A record has come. Offsets may have gaps: compaction and the marks of transactions leave them.
  /// Returns the record's number.
  std::uint64_t add(std::int64_t offset) {
    if (open_ == ring_.size()) grow();
    if (committable_ == none) committable_ = offset;
    next_ = offset + 1;
    at(base_ + open_) = {offset, false};
    return base_ + open_++;
  }
  /// Begins anew; what has come before no longer counts.
  void restart(std::int64_t start) noexcept {
    base_ += open_;
    open_ = 0;
    committable_ = start;
    before_ = {};
  }
  bool was_done_before(std::int64_t offset) const noexcept { return before_.contains(offset); }
  /// The record of this number is done.
  void done(std::uint64_t number) noexcept {
    if (number < base_) return;
    at(number).done = true;
    ++finished_;
    while (open_ > 0 && at(base_).done) {
      committable_ = at(base_).offset + 1;
      ++base_;
      --open_;
    }
  }
  /// The number of the first record that is not done.
  std::uint64_t first_open() const noexcept { return base_; }
  /// The offset that says: everything before it is done. `none` while nothing is known.
  std::int64_t committable() const noexcept { return committable_; }
  /// What is done beyond `committable`.
  Marks marks() const {
    Marks found{committable_};
    before_.for_all([&](std::int64_t offset) {
      if (offset >= next_) found.add(offset);
    });
    for (std::uint64_t number = base_; number < base_ + open_; ++number) {
      if (at(number).done) found.add(at(number).offset);
    }
    return found;
  }
  /// How many have been done.
  std::uint64_t finished() const noexcept { return finished_; }
  /// From the first record that is not done to the last that has come.
  std::size_t open() const noexcept { return open_; }

 private:
  struct Entry {
    std::int64_t offset = 0;
    bool done = false;
  };
  Entry& at(std::uint64_t number) noexcept {
    return ring_[static_cast<std::size_t>(number) & (ring_.size() - 1)];
  }
  const Entry& at(std::uint64_t number) const noexcept {
    return ring_[static_cast<std::size_t>(number) & (ring_.size() - 1)];
  }
  void grow() {
    std::vector<Entry> larger(ring_.size() * 2);
    for (std::uint64_t number = base_; number < base_ + open_; ++number) {
      larger[static_cast<std::size_t>(number) & (larger.size() - 1)] = at(number);
    }
    ring_.swap(larger);
  }

  std::vector<Entry> ring_ = std::vector<Entry>(64);
  std::uint64_t base_ = 0;
  std::size_t open_ = 0;
  std::uint64_t finished_ = 0;
  Marks before_;
  std::int64_t next_ = 0;  // after the last that has come
  std::int64_t committable_;
};

}  // namespace omnibus::kafka
