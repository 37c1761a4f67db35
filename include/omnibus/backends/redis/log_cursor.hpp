// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <omnibus/backends/redis/stream_id.hpp>
#include <omnibus/subscription_spec.hpp>

// Where a reader of one stream stands. Without I/O.

namespace omnibus::redis {

/// Thread safety: one thread at a time.
class LogCursor {
 public:
  LogCursor(const Start& start, std::int32_t partition) : from_{start.from} {
    if (from_ == Start::From::position) {
      from_ = Start::From::earliest;
      for (const Start::At& each : start.positions) {
        if (each.partition != partition) continue;
        from_ = Start::From::position;
        wanted_ = each.position;
        after_ = id_before(each.position);
      }
    } else if (from_ == Start::From::time) {
      // The server knows when it took a message, a minute or so from when that was published.
      since_ = start.time;
      wanted_ = id_at(start.time);
      after_ = id_before(id_at(start.time - std::chrono::minutes{1}));
    }
  }

  /// What XINFO STREAM says, names and values in turn.
  void info(std::size_t index, std::string_view text) {
    if (index % 2 == 0) {
      name_.assign(text);
    } else if (name_ == "last-generated-id") {
      (void)parse_id(text, last_);
    } else if (name_ == "recorded-first-entry-id") {  // from Redis 7 on
      (void)parse_id(text, first_);
    }
  }
  void info(std::size_t index, std::int64_t number) noexcept {
    if (index % 2 == 0) return;
    if (name_ == "length") length_ = number;
    if (name_ == "entries-added") added_ = number;  // from Redis 7 on
  }
  /// All of it has been said. Returns true when the beginning that was wanted is no longer there.
  bool begin() {
    const std::int64_t removed = added_ > length_ ? added_ - length_ : 0;
    const bool more = std::exchange(removed_, removed) < removed;
    // What is gone lies before the first entry, or, where there is none, before whatever comes.
    const bool lost = more && (first_ == Position{} || first_ > wanted_);
    if (std::exchange(begun_, true)) return lost && first_ > after_;
    if (from_ == Start::From::latest) {
      after_ = last_;
      return false;
    }
    return lost;
  }

  /// Reading goes on after this entry.
  Position after() const noexcept { return after_; }

  /// An entry has come. False for what was published before the time to start at.
  bool wants(Position id, Time time) noexcept {
    if (id > after_) after_ = id;
    if (time < since_) return false;
    since_ = Time::min();
    return true;
  }

 private:
  Start::From from_;
  Position after_{};
  Position wanted_{};
  Time since_ = Time::min();
  Position last_{};
  Position first_{};
  std::int64_t length_ = 0;
  std::int64_t added_ = 0;
  std::int64_t removed_ = 0;
  std::string name_;
  bool begun_ = false;
};

/// Where a new group begins in each of so many streams, for XGROUP CREATE: it gets what comes after that.
/// A time is that of the server's taking.
inline std::vector<std::string> starts_of(const Start& start, std::size_t streams) {
  std::vector<std::string> starts(streams, start.from == Start::From::latest ? "$" : "0");
  const auto set = [&](std::size_t index, Position first) {
    const IdText text{id_before(first)};
    starts[index] = std::string_view{text};
  };
  if (start.from == Start::From::time) {
    for (std::size_t i = 0; i < streams; ++i) set(i, id_at(start.time));
  } else if (start.from == Start::From::position) {
    for (const Start::At& each : start.positions) {
      const auto index = static_cast<std::size_t>(each.partition);
      if (each.partition >= 0 && index < streams) set(index, each.position);
    }
  }
  return starts;
}

}  // namespace omnibus::redis
