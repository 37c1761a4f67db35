// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <omnibus/backend.hpp>
#include <omnibus/message.hpp>
#include <omnibus/time.hpp>

// One stream of a topic, as a member of a group sees it: whose it is, how far it has been read, and what
// is to be told to the server. No I/O.

namespace omnibus::redis {

/// Whether an owner, "fence:member", is this member.
inline bool is_owner(std::string_view owner, std::string_view member) noexcept {
  const std::size_t colon = owner.find(':');
  return colon != std::string_view::npos && owner.substr(colon + 1) == member;
}

/// Thread safety: one thread at a time.
class Shard {
 public:
  enum class State : std::uint8_t {
    none,        ///< somebody else's, or nobody's
    recovering,  ///< ours; what earlier owners left is being read
    active,      ///< new entries are read
    draining,    ///< nothing more is read; it is given up when nothing is being handled
    giving,      ///< the server has been told
  };
  /// An entry that is to be delivered again.
  struct Again {
    Position id;
    std::uint32_t attempts = 0;
    Duration delay{};
  };

  Shard(std::string stream_key, std::string later_key)
      : stream{std::move(stream_key)}, later_key_{std::move(later_key)} {}

  const std::string stream;
  const std::string& later_key() const noexcept { return later_key_; }
  State state() const noexcept { return state_; }
  /// The value that says it is ours.
  const std::string& owner() const noexcept { return owner_; }
  std::uint64_t generation() const noexcept { return generation_; }
  bool ours() const noexcept { return state_ != State::none; }
  bool reads() const noexcept { return state_ == State::active || state_ == State::recovering; }

  /// It is ours from now on.
  void take(std::string owner) {
    forget();
    owner_ = std::move(owner);
    state_ = State::recovering;
    recover_after.clear();
  }
  /// What earlier owners have left is read. New entries come after `last`.
  void recovered() noexcept {
    if (state_ == State::recovering) state_ = State::active;
  }
  /// What is pending has to be looked through again.
  void recover_again() {
    if (state_ != State::active) return;
    state_ = State::recovering;
    recover_after.clear();
  }
  void drain() noexcept {
    if (reads()) state_ = State::draining;
  }
  void give() noexcept { state_ = State::giving; }
  /// The server did not take it: it is still ours.
  void take_back() noexcept {
    if (state_ == State::giving) state_ = State::draining;
  }
  /// It is not ours any more: what came of it can no longer be settled.
  void forget() {
    state_ = State::none;
    owner_.clear();
    ++generation_;
    unsettled_ = 0;
    due = Instant::max();
    done.clear();
    acking.clear();
    later.clear();
    latering.clear();
    returned.clear();
  }

  /// A message was handed on.
  void took() noexcept { ++unsettled_; }
  /// A message of this generation has ended.
  void settle(Position id, const Settlement& how) {
    --unsettled_;
    switch (how.kind) {
      case Settlement::Kind::done: done.push_back(id); return;
      case Settlement::Kind::later: later.push_back({id, how.attempts, how.delay}); return;
      case Settlement::Kind::release: returned.push_back({id, how.attempts, {}}); return;
    }
  }
  std::size_t unsettled() const noexcept { return unsettled_; }

  /// A transaction has told the server, or failed to.
  void acknowledged(bool well) {
    if (!well) done.insert(done.begin(), acking.begin(), acking.end());
    acking.clear();
  }
  /// The script `later` has told the server, or failed to.
  void postponed(bool well) {
    if (!well) later.insert(later.begin(), latering.begin(), latering.end());
    latering.clear();
  }
  /// The first so many hostile entries are given up; others may have been found in the meantime.
  void forget_hostile(std::size_t count) {
    hostile.erase(hostile.begin(), hostile.begin() + static_cast<std::ptrdiff_t>(count));
  }
  /// True when nothing is left to be said but what goes with giving it up.
  bool idle() const noexcept { return unsettled_ == 0 && later.empty() && latering.empty(); }

  Position last{};              ///< the last entry that the group has read
  std::string recover_after;    ///< where reading what is pending has come to
  bool full = false;            ///< the last read brought as many entries as were asked for
  std::size_t got = 0;          ///< entries of the read that is coming in
  Instant due = Instant::max();  ///< when something is to be delivered again
  std::vector<Position> done;    ///< not told to the server yet
  std::vector<Position> acking;  ///< being told
  std::vector<Again> later;
  std::vector<Again> latering;
  std::vector<Again> returned;
  std::int64_t removed = 0;       ///< entries that had been removed when a loss was last reported
  std::vector<Position> hostile;  ///< entries too large to be read, to be given up

 private:
  const std::string later_key_;
  State state_ = State::none;
  std::string owner_;
  std::uint64_t generation_ = 0;
  std::size_t unsettled_ = 0;
};

}  // namespace omnibus::redis
