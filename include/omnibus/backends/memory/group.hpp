// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <utility>
#include <vector>

#include <omnibus/backend.hpp>
#include <omnibus/backends/memory/log.hpp>

// The cursor of one group over one topic: what is done, what is in whose hands, and which member
// owns which partition. A partition is a share of the keys; one member owns it at a time, and it
// changes hands only when the old owner has nothing of it in flight.

namespace omnibus::memory {

/// A member of a group, as the group sees it. Thread safety: under the group's lock.
struct Member {
  std::uint64_t next = 0;                ///< the position it reads next
  const Record* last = nullptr;          ///< the record before that one, when it is known
  std::vector<std::int32_t> to_give_up;  ///< partitions that another member waits for
};

/// A message that is delivered again later, kept apart from the log.
struct LaterMessage {
  Message message;
  std::uint64_t position = 0;
  std::uint32_t attempts = 0;
  std::int32_t partition = 0;
  const Member* holder = nullptr;  ///< who has it in flight
};

/// Thread safety: all members under the group's lock, except `needed`.
class Group {
 public:
  Group(std::uint64_t start, std::int32_t partitions)
      : watermark_{start}, needed_{below(start)}, partitions_(static_cast<std::size_t>(partitions)) {}

  /// The lowest position whose record must stay. Thread safety: from any thread.
  std::uint64_t needed() const noexcept { return needed_.load(std::memory_order_acquire); }
  /// Everything below is done.
  std::uint64_t watermark() const noexcept { return watermark_; }

  /// True when the record of this position is done.
  bool is_done(std::uint64_t position) const noexcept {
    if (position < watermark_) return true;
    const auto index = static_cast<std::size_t>(position - watermark_);
    return index < states_.size() && states_[index].done();
  }

  void join(Member& member) {
    rewind(member);
    members_.push_back(&member);
    rebalance();
  }
  /// What the member holds is free again.
  void leave(Member& member) {
    std::erase(members_, &member);
    for (std::size_t i = 0; i < states_.size(); ++i) {
      if (states_[i].holder != &member) continue;
      states_[i].holder = nullptr;
      ++attempts_[watermark_ + i];
    }
    for (auto& [due, later] : later_) {
      if (later.holder != &member) continue;
      later.holder = nullptr;
      ++later.attempts;
    }
    for (Partition& partition : partitions_) {
      if (partition.owner != &member) continue;
      partition.owner = nullptr;
      partition.in_flight = 0;
      partition.asked_back = false;
    }
    rebalance();
    for (Member* each : members_) rewind(*each);
  }

  /// Moves a member that fell behind what is done, so that it stands on a record that is kept.
  void catch_up(Member& member) const noexcept {
    if (member.next < watermark_) rewind(member);
  }

  /// True when this member may take this record; it is then in its hands.
  bool take(Member& member, const Record& record, std::uint32_t& attempts) {
    if (record.position < watermark_) return false;
    const auto index = static_cast<std::size_t>(record.position - watermark_);
    if (index >= states_.size()) states_.resize(index + 1);
    State& state = states_[index];
    Partition& partition = partitions_[static_cast<std::size_t>(partition_of(record))];
    if (state.holder != nullptr || !may_take(member, partition)) {
      return false;
    }
    state.holder = &member;
    ++partition.in_flight;
    attempts = 0;
    if (!attempts_.empty()) {
      if (const auto found = attempts_.find(record.position); found != attempts_.end()) {
        attempts = found->second;
      }
    }
    return true;
  }

  std::int32_t partition_of(const Record& record) const noexcept {
    return static_cast<std::int32_t>(record.key_hash % partitions_.size());
  }

  /// The record is handled: its position counts as done.
  void done(const Member& member, const Record& record) {
    State* state = held(member, record.position);
    if (state == nullptr) return;
    state->holder = &finished;
    if (!attempts_.empty()) attempts_.erase(record.position);
    const auto partition = partition_of(record);  // the record may go once the watermark moves
    while (!states_.empty() && states_.front().done()) {
      states_.pop_front();
      ++watermark_;
    }
    needed_.store(below(watermark_), std::memory_order_release);
    settled(partition);
  }
  /// The record is not handled and may be taken again.
  void release(const Member& member, const Record& record, std::uint32_t attempts) {
    State* state = held(member, record.position);
    if (state == nullptr) return;
    state->holder = nullptr;
    if (attempts > 0) attempts_[record.position] = attempts;
    settled(partition_of(record));
    for (Member* each : members_) rewind(*each);
    has_news_ = true;
  }

  /// Delivers a message again when it is due.
  void keep_for(Instant due, LaterMessage message) {
    later_.emplace(due, std::move(message));
    has_news_ = true;  // its partition may have another owner by then
  }
  /// The messages that are delivered again later, by due time.
  std::multimap<Instant, LaterMessage>& later() noexcept { return later_; }
  /// True, once, when something has become free that another member may take.
  bool take_news() noexcept { return std::exchange(has_news_, false); }
  /// True when this member may take messages of this partition now.
  bool may_take(const Member& member, std::int32_t partition) const noexcept {
    return may_take(member, partitions_[static_cast<std::size_t>(partition)]);
  }

 private:
  /// Who has it in hand, or `finished`: nobody will any more. Behind a message that is stuck there are many.
  struct State {
    const Member* holder = nullptr;
    bool done() const noexcept { return holder == &finished; }
  };
  inline static const Member finished{};
  struct Partition {
    const Member* owner = nullptr;
    const Member* heir = nullptr;  ///< who owns it once nothing is in flight
    std::size_t in_flight = 0;
    bool asked_back = false;  ///< the owner gives back what has not started; nobody takes until then
  };
  static bool may_take(const Member& member, const Partition& partition) noexcept {
    return partition.owner == &member && partition.heir == &member && !partition.asked_back;
  }

  /// Readers stand on the record before the next one, so that one stays as well.
  static std::uint64_t below(std::uint64_t position) noexcept { return position > 0 ? position - 1 : 0; }

  State* held(const Member& member, std::uint64_t position) noexcept {
    if (position < watermark_ || position - watermark_ >= states_.size()) return nullptr;
    State& state = states_[static_cast<std::size_t>(position - watermark_)];
    return state.holder == &member ? &state : nullptr;
  }

  void rewind(Member& member) const noexcept {
    member.next = watermark_;
    member.last = nullptr;
  }

  void settled(std::int32_t partition) {
    Partition& each = partitions_[static_cast<std::size_t>(partition)];
    if (--each.in_flight == 0 && (each.owner != each.heir || each.asked_back)) hand_over(each);
  }

  void hand_over(Partition& partition) {
    const auto index = static_cast<std::int32_t>(&partition - partitions_.data());
    for (Member* each : members_) std::erase(each->to_give_up, index);  // no longer wanted
    partition.owner = partition.heir;
    partition.asked_back = false;
    has_news_ = true;
    for (Member* each : members_) {
      if (each == partition.owner) rewind(*each);
    }
  }

  void rebalance() {
    for (std::size_t i = 0; i < partitions_.size(); ++i) {
      Partition& partition = partitions_[i];
      partition.heir = members_.empty() ? nullptr : members_[i % members_.size()];
      if (partition.owner == partition.heir) continue;
      if (partition.in_flight == 0) {
        hand_over(partition);
        continue;
      }
      for (Member* each : members_) {
        if (each != partition.owner) continue;
        partition.asked_back = true;
        each->to_give_up.push_back(static_cast<std::int32_t>(i));
      }
    }
  }

  std::uint64_t watermark_;
  std::atomic<std::uint64_t> needed_;
  std::deque<State> states_;  ///< of the positions from the watermark on
  std::map<std::uint64_t, std::uint32_t> attempts_;
  std::multimap<Instant, LaterMessage> later_;
  std::vector<Partition> partitions_;
  std::vector<Member*> members_;
  bool has_news_ = false;
};

}  // namespace omnibus::memory
