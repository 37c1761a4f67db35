// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <vector>

#include <omnibus/backends/redis/held.hpp>

// One read brings the entries of several streams, stream by stream. They are handed on in the order of
// their ids, which is about that of their publication: no stream has to wait for all of another one.

namespace omnibus::redis {

/// Thread safety: one thread at a time.
class Merge {
 public:
  /// Adds the next entry of a stream, behind those of the same stream.
  void add(Held& held) {
    if (runs_.empty() || entries_.back()->shard != held.shard) runs_.push_back({entries_.size(), 0});
    entries_.push_back(&held);
    runs_.back().end = entries_.size();
  }
  bool empty() const noexcept { return entries_.empty(); }

  /// Takes all entries, in order.
  template <class Each>
  void take(Each each) {
    while (runs_.size() > 1) {
      std::size_t first = 0;
      for (std::size_t i = 1; i < runs_.size(); ++i) {
        if (at(i) < at(first)) first = i;
      }
      each(*entries_[runs_[first].next++]);
      if (runs_[first].next == runs_[first].end) {
        runs_.erase(runs_.begin() + static_cast<std::ptrdiff_t>(first));
      }
    }
    if (!runs_.empty()) {
      for (Run& run = runs_.front(); run.next < run.end; ++run.next) each(*entries_[run.next]);
    }
    runs_.clear();
    entries_.clear();
  }

 private:
  struct Run {
    std::size_t next;
    std::size_t end;
  };
  Position at(std::size_t run) const noexcept { return entries_[runs_[run].next]->entry.id(); }

  std::vector<Held*> entries_;
  std::vector<Run> runs_;  // of one stream each
};

}  // namespace omnibus::redis
