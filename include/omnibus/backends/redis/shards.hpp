// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <omnibus/backend.hpp>
#include <omnibus/backends/redis/bell.hpp>
#include <omnibus/backends/redis/group.hpp>
#include <omnibus/backends/redis/held.hpp>
#include <omnibus/backends/redis/merge.hpp>
#include <omnibus/backends/redis/shard.hpp>
#include <omnibus/backends/redis/stream_id.hpp>

// The shards of a group as one member sees them, and the messages of them that it holds. No I/O.

namespace omnibus::redis {

/// Thread safety: one thread at a time.
class Shards {
 public:
  /// `picks`: what is given back stays aside, for the next owner.
  Shards(std::string topic, const Group& group, bool picks = false)
      : topic_{std::move(topic)}, picks_{picks} {
    for (std::size_t i = 0; i < group.keys.streams.size(); ++i) {
      all_.emplace_back(group.keys.streams[i], group.keys.later(i, group.name));
    }
  }

  std::vector<Shard>& all() noexcept { return all_; }
  Shard& operator[](std::size_t index) noexcept { return all_[index]; }
  const Shard& operator[](std::size_t index) const noexcept { return all_[index]; }
  std::size_t size() const noexcept { return all_.size(); }
  auto begin() const noexcept { return all_.begin(); }
  auto end() const noexcept { return all_.end(); }
  HeldPool& pool() noexcept { return pool_; }

  /// Whom messages are handed to while the consumer is polled; nullptr: nobody.
  void begin_poll(Intake* intake) noexcept {
    intake_ = intake;
    delivered_ = 0;
  }
  Intake* intake() const noexcept { return intake_; }
  /// How many messages have been handed on since `begin_poll`.
  std::size_t delivered() const noexcept { return delivered_; }
  /// Changes with the set of shards that are read.
  std::uint64_t version() const noexcept { return version_; }

  /// How many entries may be read. Nothing is read while some wait for room.
  std::size_t room() const { return waiting_.empty() ? intake_->room() : 0; }
  /// The shard of a stream, by its key; -1: there is none.
  std::int64_t index_of(std::string_view stream) const noexcept {
    for (std::size_t i = 0; i < all_.size(); ++i) {
      if (all_[i].stream == stream) return static_cast<std::int64_t>(i);
    }
    return -1;
  }

  // ── whose they are ─────────────────────────────────────────────────────────────────────────────

  void take(std::size_t index, const std::string& owner) {
    all_[index].take(owner);
    ++version_;
  }
  /// What earlier owners left is read; new entries come after `last`.
  void recovered(std::size_t index, std::string_view last) {
    (void)parse_id(last, all_[index].last);
    all_[index].recovered();
    ++version_;
  }
  void drain(std::size_t index) {
    all_[index].drain();
    drop_waiting(index);
    ++version_;
  }
  /// Everything that came of this shard is of a dead generation from now on.
  void forget(std::size_t index) {
    if (!all_[index].ours()) return;
    all_[index].forget();
    drop_waiting(index);
    ++version_;
    if (intake_ != nullptr) (void)intake_->revoke(static_cast<std::int32_t>(index), Instant::min());
  }
  /// Gives back what has not started of shards that are to be handed over.
  void go_on_draining() {
    for (std::size_t i = 0; i < all_.size(); ++i) {
      // What was given back of a shard that is ours is read again by whoever takes it next: us, perhaps.
      const bool again = !picks_ && !all_[i].returned.empty();
      if (again && all_[i].reads() && intake_->room() > 0) drain(i);
      if (all_[i].state() != Shard::State::draining) continue;
      (void)intake_->revoke(static_cast<std::int32_t>(i), Instant::min());
    }
  }
  bool any_done() const noexcept {
    bool any = false;
    for (const Shard& shard : all_) any |= shard.ours() && !shard.done.empty();
    return any;
  }
  bool any_recovering() const noexcept {
    bool any = false;
    for (const Shard& shard : all_) any |= shard.state() == Shard::State::recovering;
    return any;
  }
  /// What a bell has to watch.
  void list_active(std::vector<Bell::Watched>& out) const {
    out.clear();
    for (const Shard& shard : all_) {
      if (shard.state() == Shard::State::active) out.push_back({&shard.stream, shard.last});
    }
  }

  // ── messages ───────────────────────────────────────────────────────────────────────────────────

  void arrived(Held& held) {
    Shard& shard = all_[held.shard];
    ++shard.got;
    if (held.entry.id() > shard.last) shard.last = held.entry.id();
    held.generation = shard.generation();
    if (shard.state() == Shard::State::active) return merge_.add(held);  // until the read is whole
    hand_on(held);
  }
  /// A read is whole.
  void hand_on_read() {
    merge_.take([this](Held& held) { hand_on(held); });
  }
  /// Hands on what waits for room.
  void hand_on() {
    while (!waiting_.empty() && intake_->room() > 0) {
      Held& held = *waiting_.front();
      waiting_.pop_front();
      deliver(held);
    }
  }
  /// The connection is lost: what has not been handed on is gone, until it is read again.
  void drop_read() {
    merge_.take([this](Held& held) { pool_.give_back(held); });
  }
  void drop_waiting(std::size_t index) {
    std::erase_if(waiting_, [&](Held* held) {
      if (held->shard != index) return false;
      put_back(*held);
      return true;
    });
  }

  void settle(const Settlement& how) {
    Held& held = *reinterpret_cast<Held*>(how.token);
    Shard& shard = all_[held.shard];
    if (held.generation == shard.generation()) shard.settle(held.entry.id(), how);
    pool_.give_back(held);
  }

 private:
  void hand_on(Held& held) {
    if (!all_[held.shard].reads() || intake_ == nullptr) return put_back(held);
    if (waiting_.empty() && intake_->room() > 0) return deliver(held);
    waiting_.push_back(&held);
  }

  void deliver(Held& held) {
    all_[held.shard].took();
    ++delivered_;
    intake_->deliver({&held.entry.message(), topic_, static_cast<std::int32_t>(held.shard),
                      held.entry.id(), held.attempts, reinterpret_cast<std::uint64_t>(&held)});
  }

  /// It stays pending, as if it had never come.
  void put_back(Held& held) {
    Shard& shard = all_[held.shard];
    if (shard.ours() && held.generation == shard.generation()) {
      shard.returned.push_back({held.entry.id(), held.attempts, {}});
    }
    pool_.give_back(held);
  }

  const std::string topic_;
  const bool picks_;
  std::vector<Shard> all_;
  HeldPool pool_;
  Merge merge_;
  std::deque<Held*> waiting_;  // for room
  Intake* intake_ = nullptr;
  std::size_t delivered_ = 0;
  std::uint64_t version_ = 0;
};

}  // namespace omnibus::redis
