// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <omnibus/backends/redis/reader.hpp>
#include <omnibus/backends/redis/stream_id.hpp>

// What a group has not finished of one stream, for those who only look. Without I/O.

namespace omnibus::redis {

/// Thread safety: one thread at a time.
class Unfinished {
 public:
  static constexpr std::size_t page = 10'000;  ///< pending entries that are asked for at once

  explicit Unfinished(std::string group) : group_{std::move(group)} {}

  /// Everything is asked anew.
  void begin() {
    delivered_ = {};
    pending_.clear();
    in_page_ = 0;
  }

  /// What XINFO GROUPS says: for each group an array of names and values in turn.
  void group_part(const Part& part) {
    if (part.depth == 1) ours_ = false;
    if (part.depth != 2) return;
    if (part.index % 2 == 0) {
      name_.assign(part.text);
    } else if (name_ == "name") {
      ours_ = part.text == group_;
    } else if (ours_ && name_ == "last-delivered-id") {
      (void)parse_id(part.text, delivered_);
    }
  }
  /// What XPENDING says, one page after the other: for each entry an array that begins with its id.
  void pending_part(const Part& part) {
    Position id;
    if (part.depth != 2 || part.index != 0 || !parse_id(part.text, id)) return;
    pending_.push_back(id);
    ++in_page_;
  }
  /// True when another page follows. To be called once for each.
  bool more() noexcept { return std::exchange(in_page_, 0) == page; }
  /// Where the next page begins, for XPENDING.
  std::string next() const {
    if (pending_.empty()) return "-";
    return std::string{"("}.append(std::string_view{IdText{pending_.back()}});
  }

  /// True when the group has not finished this entry.
  bool contains(Position id) const {
    if (id > delivered_) return true;
    std::size_t begin = 0;
    std::size_t end = pending_.size();
    while (begin < end) {
      const std::size_t middle = begin + (end - begin) / 2;
      pending_[middle] < id ? begin = middle + 1 : end = middle;
    }
    return begin < pending_.size() && pending_[begin] == id;
  }

 private:
  const std::string group_;
  std::string name_;
  bool ours_ = false;
  Position delivered_{};           // whatever comes after it, the group has not seen
  std::vector<Position> pending_;  // what it has seen and not acknowledged, in order
  std::size_t in_page_ = 0;
};

}  // namespace omnibus::redis
