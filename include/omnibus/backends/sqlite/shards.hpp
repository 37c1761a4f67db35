// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include <omnibus/backend.hpp>
#include <omnibus/backends/sqlite/outbox.hpp>
#include <omnibus/backends/sqlite/turn.hpp>
#include <omnibus/backends/sqlite/window.hpp>
#include <omnibus/detail/pool.hpp>

// The shards of a topic as one consumer sees them, and the messages of them that it holds. No I/O.

namespace omnibus::sqlite {

/// A message that has come in and is not settled. Its address is its token.
struct Held {
  Packed message;
  std::size_t shard = 0;
  std::uint64_t generation = 0;  ///< of the shard when it came
  std::uint64_t position = 0;
  Held* next_free = nullptr;

  void release() { message.release(); }
};

/// A shard of a group.
struct Shard {
  enum class State : std::uint8_t {
    none,      ///< it is not ours
    active,    ///< it is read
    draining,  ///< nothing is read until nothing is in hand
  };
  State state = State::none;
  bool give_up = false;  ///< it goes to others when it is drained
  bool leaving = false;  ///< the file is being told so
  bool more = false;     ///< there may be something to read
  bool knows_left = false;  ///< what is left of it was read
  std::int64_t fence = 0;
  std::uint64_t generation = 0;  ///< what came in an earlier one is not ours to settle
  std::size_t in_hand = 0;
  Window window;
};

/// Thread safety: one thread at a time.
class Shards {
 public:
  explicit Shards(std::shared_ptr<const Plan> plan) : plan_{std::move(plan)} {}

  std::vector<Shard>& all() noexcept { return all_; }
  const std::vector<Shard>& all() const noexcept { return all_; }
  bool any_owned() const noexcept {
    bool any = false;
    for (const Shard& shard : all_) any |= shard.state != Shard::State::none;
    return any;
  }
  /// Settlements since the last `told`.
  std::size_t settled() const noexcept { return settled_; }
  void told() noexcept { settled_ = 0; }

  // ── whose they are ─────────────────────────────────────────────────────────────────────────────

  void take(const ShareRow& row) {
    Shard& shard = all_[static_cast<std::size_t>(row.shard)];
    shard.window.begin(row.cursor, row.seen, plan_->reads_only);
    shard.state = Shard::State::active;
    shard.fence = row.fence;
    shard.more = true;
    shard.give_up = shard.leaving = shard.knows_left = false;
  }
  void drain(std::size_t index, bool give_up) {
    Shard& shard = all_[index];
    if (shard.state == Shard::State::none) return;
    shard.state = Shard::State::draining;
    shard.give_up |= give_up;
  }
  /// It has another owner: what came of it is of a dead generation.
  void forget(std::size_t index, Intake* intake) {
    Shard& shard = all_[index];
    if (shard.state == Shard::State::none) return;
    shard.state = Shard::State::none;
    shard.give_up = shard.leaving = shard.more = false;
    shard.in_hand = 0;
    ++shard.generation;
    if (intake != nullptr) (void)intake->revoke(static_cast<std::int32_t>(index), Instant::min());
  }
  void forget_all(Intake* intake) {
    for (std::size_t i = 0; i < all_.size(); ++i) forget(i, intake);
  }
  /// Gives back what has not started, and reads again what has come back, once nothing is in hand.
  void go_on_draining(Intake& intake) {
    for (std::size_t i = 0; i < all_.size(); ++i) {
      Shard& shard = all_[i];
      if (shard.state != Shard::State::draining || shard.leaving) continue;
      (void)intake.revoke(static_cast<std::int32_t>(i), Instant::min());
      if (shard.in_hand > 0 || shard.give_up) continue;
      shard.window.rewind();
      shard.state = Shard::State::active;
      shard.more = true;
    }
  }

  // ── messages ───────────────────────────────────────────────────────────────────────────────────

  /// Hands on a message that the window has handed out.
  void deliver(std::size_t index, std::uint64_t position, std::uint32_t attempts, const MessageView& message,
               Intake& intake) {
    Shard& shard = all_[index];
    Held& held = pool_.take();
    held.message.pack(message);
    held.shard = index;
    held.generation = shard.generation;
    held.position = position;
    ++shard.in_hand;
    intake.deliver({&held.message.view, plan_->topic, static_cast<std::int32_t>(index), {position, 0}, attempts,
                    reinterpret_cast<std::uint64_t>(&held)});
  }

  /// `now`: of the wall clock.
  void settle(const Settlement& settlement, std::int64_t now) {
    auto& held = *reinterpret_cast<Held*>(settlement.token);
    const std::size_t index = held.shard;
    const std::uint64_t position = held.position;
    const bool ours = held.generation == all_[index].generation;
    pool_.give_back(held);
    if (!ours) return;
    Shard& shard = all_[index];
    --shard.in_hand;
    ++settled_;
    switch (settlement.kind) {
      case Settlement::Kind::done: shard.window.done(position); break;
      case Settlement::Kind::later:
        shard.window.later(position, now + to_us(settlement.delay), settlement.attempts);
        break;
      case Settlement::Kind::release:
        if (plan_->picks || plan_->reads_only) return shard.window.set_aside(position);
        shard.window.released(position, settlement.attempts);
        drain(index, false);
        break;
    }
  }

 private:
  const std::shared_ptr<const Plan> plan_;
  std::vector<Shard> all_;
  detail::Pool<Held> pool_;
  std::size_t settled_ = 0;
};

}  // namespace omnibus::sqlite
