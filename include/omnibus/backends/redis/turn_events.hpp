// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <omnibus/backends/redis/reader.hpp>
#include <omnibus/error.hpp>

// What a member of a group hears of its turns.

namespace omnibus::redis {

/// Who hears of the answers.
class TurnEvents {
 public:
  virtual ~TurnEvents() = default;
  /// The server knows the group, which had to be made for so many shards; the topic has so many.
  virtual void joined(std::int64_t shards, std::int64_t made) = 0;
  /// The lease is renewed. An owner of "" is none.
  virtual void tended(std::size_t share, const std::vector<std::string>& owners) = 0;
  /// What the hash of owners holds, at the time of WATCH.
  virtual void watched(const std::vector<std::string>& owners) = 0;
  /// The transaction, or what stands for it, was carried out, or not because of what others have done.
  virtual void executed(bool well) = 0;
  /// What follows the entries of `recover` and `again`.
  struct Recovered {
    bool ours = false;      ///< false: the shard has another owner
    std::string stop;       ///< where to go on; empty: there is no more
    std::string last;       ///< the last entry that the group has read; empty: not told
    std::int64_t due = -1;  ///< microseconds until something is to be delivered again; -1: nothing is
    std::int64_t gone = 0;  ///< entries that somebody deleted

    /// One of the first four things that a script returns.
    void note(const Part& part) {
      switch (part.index) {
        case 0: stop = part.text; return;
        case 1: last = part.text; return;
        case 2: due = part.number; return;
        default: gone = part.number; return;
      }
    }
  };
  virtual void recovered(std::size_t shard, const Recovered& result) = 0;
  virtual void took_again(std::size_t shard, const Recovered& result) = 0;
  /// Entries wait for their time, of which the first comes after so many microseconds.
  virtual void postponed(std::size_t shard, std::int64_t due) = 0;
  /// The shard is given up.
  virtual void gave(std::size_t shard) = 0;
  /// How many entries have been removed from the shard, and how many of them the group has not read.
  virtual void looked(std::size_t shard, std::int64_t removed, std::int64_t unread) = 0;
  /// Microseconds until a delayed message is to be moved; -1: there is none.
  virtual void moved(std::int64_t due) = 0;
  /// The server has refused something of this shard, or of all: -1.
  virtual void refused(std::int64_t shard, const Error& problem) = 0;
};

}  // namespace omnibus::redis
