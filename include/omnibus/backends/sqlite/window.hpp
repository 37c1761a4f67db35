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
/// the first message that is not settled; what is left stands before the cursor, or becomes so.
/// Before a message is handed out the file is told, so that it counts as an attempt if its member is killed.
/// Thread safety: one thread at a time.
class Window {
 public:
  /// Begins at what the file says: everything before `cursor` is settled; what is before `seen` was handed
  /// out before. `reads_only`: the file is told nothing.
  void begin(std::uint64_t cursor, std::uint64_t seen, bool reads_only) {
    *this = Window{};
    cursor_ = written_cursor_ = cursor;
    seen_ = announced_ = written_seen_ = allowed_ = seen > cursor ? seen : cursor;
    reads_only_ = reads_only;
  }
  /// The file has a message that is left.
  void add_left(std::uint64_t position, std::int64_t due, std::uint32_t attempts) {
    left_[position] = {due, attempts, Left::State::waits, false};
    waiting_.emplace(due, position);
  }
  /// All that is left was added: what stands between it is left as well.
  void left_is_known() {
    if (left_.empty()) return;
    const std::uint64_t end = left_.rbegin()->first + 1;
    for (; cursor_ < end; ++cursor_) {
      if (left_.find(cursor_) == left_.end()) leave(cursor_, 0, initial_attempts(cursor_), Left::State::waits);
    }
  }

  // ── handing out ────────────────────────────────────────────────────────────────────────────────

  /// The next position of the log.
  std::uint64_t next() const noexcept { return cursor_ + states_.size(); }
  std::size_t left() const noexcept { return left_.size(); }
  /// How many messages of the log may be handed out now.
  std::uint64_t allowed(std::int64_t now) const noexcept {
    if (holds_log(now)) return 0;
    if (reads_only_) return UINT64_MAX;
    return allowed_ > next() ? allowed_ - next() : 0;
  }
  /// True when what is left goes before the log.
  bool holds_log(std::int64_t now) const noexcept {
    return !announcing_.empty() || !told_.empty() || !ready_.empty() || next_due() <= now;
  }
  /// The log is to be handed out up to this position: the file has to be told first.
  void announce(std::uint64_t end) noexcept {
    if (end > announced_ && !reads_only_) announced_ = end;
  }
  /// Hands out the message at `next()`. Returns its attempts before.
  std::uint32_t pass() {
    const std::uint32_t attempts = initial_attempts(next());
    states_.push_back(State::out);
    return attempts;
  }
  /// The log begins at `position`: what was before it was removed. Returns how many that were.
  std::uint64_t skip_to(std::uint64_t position) {
    const std::uint64_t missing = position - next();
    if (states_.empty()) {
      cursor_ = position;
    } else {
      states_.resize(static_cast<std::size_t>(position - cursor_), State::settled);
      settled_ += static_cast<std::size_t>(missing);
    }
    return missing;
  }

  /// A message that was left.
  struct Due {
    std::uint64_t position = 0;
    std::uint32_t attempts = 0;
  };
  /// Hands out one whose time has come, if the file knows of it.
  bool take_due(std::int64_t now, Due& due) {
    while (next_due() <= now && announcing_.size() + told_.size() + ready_.size() < most_announced) {
      announce_left(waiting_.begin()->second);
    }
    if (ready_.empty()) return false;
    Left& left = left_.find(ready_.front())->second;
    left.state = Left::State::out;
    due = {ready_.front(), left.attempts};
    ready_.pop_front();
    return true;
  }
  /// When the next one is due; INT64_MAX: none.
  std::int64_t next_due() const noexcept { return waiting_.empty() ? INT64_MAX : waiting_.begin()->first; }

  // ── settling what was handed out ───────────────────────────────────────────────────────────────

  void done(std::uint64_t position) {
    if (left_.erase(position) > 0) {
      change({position, 0, 0, true});
    } else {
      settle(position);
    }
  }
  /// It is to come again at `due`.
  void later(std::uint64_t position, std::int64_t due, std::uint32_t attempts) {
    if (left_.find(position) == left_.end()) settle(position);
    leave(position, due, attempts, Left::State::waits);
  }
  /// It was not handled; so many attempts were made in all.
  void released(std::uint64_t position, std::uint32_t attempts) {
    const auto found = left_.find(position);
    if (found == left_.end() && attempts == initial_attempts(position)) {
      states_[index_of(position)] = State::back;
    } else if (found != left_.end() && found->second.attempts == attempts) {
      found->second.state = Left::State::waits;
      waiting_.emplace(found->second.due, position);
    } else {
      later(position, 0, attempts);
    }
  }
  /// It was given back, and is not to be handed out again by this member.
  void set_aside(std::uint64_t position) {
    const auto found = left_.find(position);
    if (found != left_.end()) {
      found->second.state = Left::State::aside;
    } else {
      states_[index_of(position)] = State::aside;
    }
  }
  /// Whoever has messages in hand is gone: it counts as an attempt.
  void abandon() {
    for (std::uint64_t position = cursor_; position < next(); ++position) {
      if (states_[index_of(position)] == State::out) later(position, 0, initial_attempts(position) + 1);
    }
    for (auto& [position, left] : left_) {
      if (left.state == Left::State::out) leave(position, 0, left.attempts + 1, Left::State::waits);
    }
  }
  /// What has come back is handed out again: nothing may be in hand.
  void rewind() {
    compact();
    states_.clear();
    for (auto* each : {&announcing_, &told_, &ready_}) {
      for (const std::uint64_t position : *each) wait_again(position);
      each->clear();
    }
  }

  // ── what the file is to say ────────────────────────────────────────────────────────────────────

  /// True when something is to be handed out, and the file has to be told first.
  bool has_announcements() const noexcept { return announced_ != written_seen_ || !announcing_.empty(); }
  /// True when the file does not say what has happened.
  bool has_news() const noexcept {
    return !changes_.empty() || cursor_ != written_cursor_ || settled_ > 0;
  }

  /// Says what has happened since the last time. Where one message holds up the cursor for several times
  /// while those behind it are done, the cursor goes past it. `ends`: the shard is given up, and nothing is
  /// in hand.
  void tell(ShareChange& change, bool ends) {
    if (ends) {
      rewind();
      for (auto& [position, left] : left_) {
        if (left.announced) leave(position, left.due, left.attempts, left.state);
      }
      announced_ = seen_ > cursor_ ? seen_ : cursor_;
    } else if (settled_ > most_settled || (settled_ > 0 && ++stuck_ > patience)) {
      compact();
    }
    change.cursor = written_cursor_ = cursor_;
    change.seen = written_seen_ = announced_;
    change.left.swap(changes_);
    changes_.clear();
    told_.insert(told_.end(), announcing_.begin(), announcing_.end());
    announcing_.clear();
  }
  /// The file says so: what was announced may be handed out.
  void heard(std::uint64_t seen) {
    if (seen > allowed_) allowed_ = seen;
    ready_.insert(ready_.end(), told_.begin(), told_.end());
    told_.clear();
  }

 private:
  enum class State : std::uint8_t { out, back, aside, settled };
  struct Left {
    enum class State : std::uint8_t { waits, announced, out, aside };
    std::int64_t due = 0;
    std::uint32_t attempts = 0;
    State state = State::waits;
    bool announced = false;  ///< the file counts one attempt more
  };

  static constexpr int patience = 4;
  static constexpr std::size_t most_settled = 256;
  static constexpr std::size_t most_announced = 256;  ///< of what is left, at a time

  /// Of a message of which the file says no more than whether it was handed out.
  std::uint32_t initial_attempts(std::uint64_t position) const noexcept { return position < seen_ ? 1 : 0; }
  std::size_t index_of(std::uint64_t position) const noexcept {
    return static_cast<std::size_t>(position - cursor_);
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
  /// Moves the cursor behind everything that is done: what is in hand or was given back before it is left.
  void compact() {
    while (settled_ > 0) {
      const State state = states_.front();
      const std::uint64_t position = cursor_++;
      states_.pop_front();
      switch (state) {
        case State::settled: --settled_; break;
        case State::back: leave(position, 0, initial_attempts(position), Left::State::waits); break;
        case State::aside: leave(position, 0, initial_attempts(position), Left::State::aside); break;
        case State::out: leave(position, 0, initial_attempts(position), Left::State::out); break;
      }
    }
    stuck_ = 0;
  }

  void leave(std::uint64_t position, std::int64_t due, std::uint32_t attempts, Left::State state) {
    const auto found = left_.find(position);
    if (found != left_.end()) waiting_.erase({found->second.due, position});
    const bool out = state == Left::State::out;
    left_[position] = {due, attempts, state, out};
    change({position, due, attempts + (out ? 1 : 0), false});
    if (state == Left::State::waits) waiting_.emplace(due, position);
  }
  void announce_left(std::uint64_t position) {
    Left& left = left_.find(position)->second;
    waiting_.erase({left.due, position});
    left.state = Left::State::announced;
    if (reads_only_) return ready_.push_back(position);
    left.announced = true;
    change({position, left.due, left.attempts + 1, false});
    announcing_.push_back(position);
  }
  void wait_again(std::uint64_t position) {
    Left& left = left_.find(position)->second;
    left.state = Left::State::waits;
    waiting_.emplace(left.due, position);
  }
  void change(const LeftChange& what) {
    if (!reads_only_) changes_.push_back(what);
  }

  bool reads_only_ = false;
  std::uint64_t cursor_ = 1;
  std::uint64_t seen_ = 1;       ///< as the file said at the beginning
  std::uint64_t announced_ = 1;  ///< what is to be handed out of the log
  std::uint64_t allowed_ = 1;    ///< of that, what the file knows of
  std::uint64_t written_cursor_ = 1;
  std::uint64_t written_seen_ = 1;
  int stuck_ = 0;             ///< how often the cursor could not be moved past the first one
  std::size_t settled_ = 0;   ///< of `states_`
  std::deque<State> states_;  ///< of the positions from the cursor on; the first one is not settled
  std::map<std::uint64_t, Left> left_;
  std::set<std::pair<std::int64_t, std::uint64_t>> waiting_;  ///< by due time
  std::deque<std::uint64_t> announcing_, told_, ready_;       ///< on their way to be handed out
  std::vector<LeftChange> changes_;
};

}  // namespace omnibus::sqlite
