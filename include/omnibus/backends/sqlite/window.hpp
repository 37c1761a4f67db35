// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include <omnibus/backends/sqlite/turn.hpp>

// What a member knows of a shard that it owns: what it has handed out from the cursor on, and what was left
// apart from it. Decides what the file has to say. No I/O.

namespace omnibus::sqlite {

/// A message is settled when it is done, or when the file keeps it as one that is left. The cursor is before
/// the first message that is not settled. Thread safety: one thread at a time.
class Window {
 public:
  /// Begins at what the file says: everything before `cursor` is settled; what is before `seen` may have
  /// been handed out before.
  void begin(std::uint64_t cursor, std::uint64_t seen) {
    cursor_ = written_cursor_ = cursor;
    seen_ = written_seen_ = seen;
    stuck_ = 0;
    settled_ = 0;
    states_.clear();
    left_.clear();
    waiting_.clear();
    changes_.clear();
  }
  /// The file has a message that is left.
  void add_left(std::uint64_t position, std::int64_t due, std::uint32_t attempts) {
    left_[position] = {due, attempts, true, false};
    waiting_.emplace(due, position);
  }

  // ── handing out ────────────────────────────────────────────────────────────────────────────────

  std::uint64_t cursor() const noexcept { return cursor_; }
  /// The next position of the log.
  std::uint64_t next() const noexcept { return cursor_ + states_.size(); }
  /// Everything before was handed out, by this member or an earlier one.
  std::uint64_t seen() const noexcept { return seen_ > next() ? seen_ : next(); }
  std::size_t left() const noexcept { return left_.size(); }

  /// What to do with the message at `next()`.
  enum class Step : std::uint8_t { deliver, deliver_left, skip };
  /// Passes over the message at `next()`: hands it out, or not.
  Step pass(std::int64_t now, std::uint32_t& attempts) {
    const std::uint64_t position = next();
    const auto found = left_.find(position);
    if (found == left_.end()) {
      attempts = initial_attempts(position);
      states_.push_back(State::out);
      return Step::deliver;
    }
    push_settled();
    if (!found->second.waits || found->second.due > now) return Step::skip;
    attempts = found->second.attempts;
    stop_waiting(found->first, found->second);
    return Step::deliver_left;
  }
  /// The log begins at `position`: what was before it was removed. Returns how many were not settled.
  std::uint64_t skip_to(std::uint64_t position) {
    std::uint64_t missing = 0;
    for (; next() < position; ++missing) {
      if (states_.empty()) {
        missing += position - next();
        cursor_ = position;
        break;
      }
      push_settled();
    }
    return missing;
  }

  /// A message that was left, whose time has come, and which stands before `next()`.
  struct Due {
    std::uint64_t position = 0;
    std::uint32_t attempts = 0;
  };
  bool take_due(std::int64_t now, Due& due) {
    for (auto each = waiting_.begin(); each != waiting_.end() && each->first <= now; ++each) {
      if (each->second >= next()) continue;  // it comes with the log, in its order
      Left& left = left_.find(each->second)->second;
      due = {each->second, left.attempts};
      left.waits = false;
      waiting_.erase(each);
      return true;
    }
    return false;
  }
  /// When the next of them is due; INT64_MAX: none.
  std::int64_t next_due() const noexcept {
    for (const auto& [due, position] : waiting_) {
      if (position < next()) return due;
    }
    return INT64_MAX;
  }

  // ── settling what was handed out ───────────────────────────────────────────────────────────────

  void done(std::uint64_t position) {
    if (left_.erase(position) > 0) {
      changes_.push_back({position, 0, 0, true});
    } else {
      settle(position);
    }
  }
  /// It is to come again at `due`.
  void later(std::uint64_t position, std::int64_t due, std::uint32_t attempts) {
    if (left_.find(position) == left_.end()) settle(position);
    leave(position, {due, attempts, true, false});
    waiting_.emplace(due, position);
  }
  /// It was not handled. `attempts` before now.
  void released(std::uint64_t position, std::uint32_t attempts) {
    const auto found = left_.find(position);
    if (found == left_.end() && attempts == initial_attempts(position)) {
      states_[index_of(position)] = State::back;
    } else if (found != left_.end() && found->second.attempts == attempts) {
      found->second.waits = true;
      waiting_.emplace(found->second.due, position);
    } else {
      later(position, 0, attempts);
    }
  }
  /// It was given back, and is not to be handed out again by this member.
  void set_aside(std::uint64_t position) {
    const auto found = left_.find(position);
    if (found != left_.end()) {
      found->second.aside = true;
    } else {
      states_[index_of(position)] = State::aside;
    }
  }
  /// Whoever has messages in hand is gone: it counts as an attempt.
  void abandon() {
    for (std::uint64_t position = cursor_; position < next(); ++position) {
      // Where the first one is settled, the cursor moves by itself.
      if (position >= cursor_ && states_[index_of(position)] == State::out) {
        later(position, 0, initial_attempts(position) + 1);
      }
    }
    for (auto& [position, left] : left_) {
      if (left.waits || left.aside) continue;
      ++left.attempts;
      left.due = 0;
      left.waits = true;
      waiting_.emplace(0, position);
      changes_.push_back({position, 0, left.attempts, false});
    }
  }
  // ── what the file is to say ────────────────────────────────────────────────────────────────────

  /// True when the file does not say what has happened.
  bool has_news() const noexcept {
    return !changes_.empty() || cursor_ != written_cursor_ || settled_ > 0;
  }
  bool has_unwritten_seen() const noexcept { return seen() != written_seen_; }

  /// Moves the cursor, behind everything that is done: what is in hand or was given back before it is left.
  void compact() {
    while (settled_ > 0) {
      const State state = states_.front();
      states_.pop_front();
      const std::uint64_t position = cursor_++;
      if (state == State::settled) {
        --settled_;
        continue;
      }
      const bool back = state == State::back;
      leave(position, {0, initial_attempts(position), back, state == State::aside});
      if (back) waiting_.emplace(0, position);
    }
    stuck_ = 0;
  }
  /// What has come back is read again: nothing may be in hand.
  void rewind() {
    compact();
    states_.clear();
  }

  /// Of one who reads only: nobody is told what has happened.
  void keep_to_itself() noexcept { changes_.clear(); }
  /// Says what has happened since the last time. Where one message holds up the cursor for several times
  /// while those behind it are done, the cursor goes past it. `all`: the shard is given up.
  void tell(ShareChange& change, bool all) {
    if (all || (settled_ > 0 && ++stuck_ > patience) || settled_ > most_settled) compact();
    if (settled_ == 0) stuck_ = 0;
    change.cursor = written_cursor_ = cursor_;
    // What was not begun and is given back must not count as handed out.
    change.seen = written_seen_ = !all ? seen() : seen_ > cursor_ ? seen_ : cursor_;
    change.left.swap(changes_);
    changes_.clear();
  }

 private:
  enum class State : std::uint8_t { out, back, aside, settled };
  struct Left {
    std::int64_t due = 0;
    std::uint32_t attempts = 0;
    bool waits = false;  ///< nobody has it in hand
    bool aside = false;  ///< it is not to be handed out again
  };

  static constexpr int patience = 4;
  static constexpr std::size_t most_settled = 256;

  /// Of a message that the file says nothing of but that it may have been handed out.
  std::uint32_t initial_attempts(std::uint64_t position) const noexcept { return position < seen_ ? 1 : 0; }
  std::size_t index_of(std::uint64_t position) const noexcept {
    return static_cast<std::size_t>(position - cursor_);
  }
  void push_settled() {
    if (states_.empty()) return void(++cursor_);
    states_.push_back(State::settled);
    ++settled_;
  }
  void settle(std::uint64_t position) {
    states_[index_of(position)] = State::settled;
    ++settled_;
    while (!states_.empty() && states_.front() == State::settled) {
      states_.pop_front();
      ++cursor_;
      --settled_;
      stuck_ = 0;
    }
  }
  void leave(std::uint64_t position, Left left) {
    left_[position] = left;
    changes_.push_back({position, left.due, left.attempts, false});
  }
  void stop_waiting(std::uint64_t position, Left& left) {
    waiting_.erase({left.due, position});
    left.waits = false;
  }

  std::uint64_t cursor_ = 1;
  std::uint64_t seen_ = 1;
  std::uint64_t written_cursor_ = 1;
  std::uint64_t written_seen_ = 1;
  int stuck_ = 0;             ///< how often the cursor could not be moved past the first one
  std::size_t settled_ = 0;   ///< of `states_`
  std::deque<State> states_;  ///< of the positions from the cursor on; the first one is not settled
  std::map<std::uint64_t, Left> left_;
  std::set<std::pair<std::int64_t, std::uint64_t>> waiting_;  ///< by due time, of those that nobody has
  std::vector<LeftChange> changes_;
};

}  // namespace omnibus::sqlite
