// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <omnibus/backend.hpp>
#include <omnibus/backends/rabbitmq/shard.hpp>
#include <omnibus/backends/rabbitmq/source.hpp>

// All queues of one subscription, and the messages of them that are held. No I/O.

namespace omnibus::rabbitmq {

/// Thread safety: one thread at a time.
class Shards {
 public:
  Shards(const Source& source, std::uint16_t first_channel) : first_channel_{first_channel} {
    for (const std::string& queue : source.queues) {
      const auto index = static_cast<std::int32_t>(shards_.size());
      const auto channel = static_cast<std::uint16_t>(first_channel + index);
      shards_.push_back(std::make_unique<Shard>(index, channel, queue, source.prefetch));
    }
    if (!source.held.empty()) held_ = shards_.back().get();
  }

  auto begin() const noexcept { return shards_.begin(); }
  auto end() const noexcept { return shards_.end(); }
  /// The queue of what came before the group; nullptr where there is none.
  Shard* held() const noexcept { return held_; }
  /// The one of this channel; nullptr when it is not open.
  Shard* on_channel(std::uint16_t channel) const noexcept {
    const std::size_t index = static_cast<std::size_t>(channel) - first_channel_;
    if (channel < first_channel_ || index >= shards_.size()) return nullptr;
    return shards_[index]->state() == Shard::State::closed ? nullptr : shards_[index].get();
  }

  /// Puts together what comes in on a shard's channel: a method, a header, and frames of the body.
  /// Returns the message when it is whole. Lifetime: until `give_back`.
  Held* assemble(Shard& shard, const amqp_frame_t& frame) {
    if (frame.frame_type == AMQP_FRAME_METHOD &&
        frame.payload.method.id == AMQP_BASIC_DELIVER_METHOD) {
      const auto* deliver = static_cast<const amqp_basic_deliver_t*>(frame.payload.method.decoded);
      Held& held = pool_.take();
      held.shard = &shard;
      held.generation = shard.generation();
      held.tag = deliver->delivery_tag;
      held.redelivered = deliver->redelivered != 0;
      shard.arriving = &held;
      return nullptr;
    }
    if (shard.arriving == nullptr) return nullptr;
    Received& received = shard.arriving->received;
    if (frame.frame_type == AMQP_FRAME_HEADER) {
      const auto& header = frame.payload.properties;
      received.begin(*static_cast<const amqp_basic_properties_t*>(header.decoded), header.body_size,
                     shard.arriving->redelivered);
    } else if (frame.frame_type == AMQP_FRAME_BODY) {
      (void)received.add(view_of(frame.payload.body_fragment));
    } else {
      return nullptr;
    }
    return received.whole() ? std::exchange(shard.arriving, nullptr) : nullptr;
  }
  void give_back(Held& held) noexcept { pool_.give_back(held); }

  // ── messages that wait for room ────────────────────────────────────────────────────────────────

  bool any_waiting() const noexcept { return !waiting_.empty(); }
  std::size_t waiting_bytes() const noexcept { return waiting_bytes_; }
  void wait_for_room(Held& held) {
    waiting_.push_back(&held);
    waiting_bytes_ += held.received.size();
  }
  Held& next_waiting() {
    Held& held = *waiting_.front();
    waiting_.pop_front();
    waiting_bytes_ -= held.received.size();
    return held;
  }
  /// Drops what waits of one shard; it is unacknowledged and comes again.
  void drop_waiting(const Shard& shard) {
    std::erase_if(waiting_, [&](Held* held) {
      if (held->shard != &shard) return false;
      waiting_bytes_ -= held->received.size();
      pool_.give_back(*held);
      return true;
    });
  }

  // ── all together ───────────────────────────────────────────────────────────────────────────────

  bool all_closed() const noexcept {
    bool closed = true;
    for (const auto& shard : shards_) closed &= shard->state() == Shard::State::closed;
    return closed;
  }
  bool any_finishing() const noexcept {
    bool finishing = false;
    for (const auto& shard : shards_) finishing |= shard->state() == Shard::State::finishing;
    return finishing;
  }
  /// True when the broker has registered a consumer on `held`, or else on every other queue.
  bool registered(bool on_held) const noexcept {
    bool all = true;
    for (const auto& shard : shards_) {
      if (on_held == (shard.get() == held_)) all &= shard->state() == Shard::State::consuming;
    }
    return all;
  }
  /// Copies that are on their way to delay queues.
  std::size_t forwarding() const noexcept {
    std::size_t count = 0;
    for (const auto& shard : shards_) count += shard->forwarding;
    return count;
  }

  /// Appends acknowledgements: of shards that have many, or `whatever` there is.
  void acknowledge(std::string& out, bool whatever) {
    for (const auto& shard : shards_) {
      const bool open = shard->takes() || shard->state() == Shard::State::draining;
      if (open && (whatever || shard->settled().unsent() >= shard->batch())) {
        shard->settled().acknowledge(out, shard->channel());
      }
    }
  }
  /// True when something is done that has not been acknowledged.
  bool any_unsent() const noexcept {
    bool unsent = false;
    for (const auto& shard : shards_) unsent |= shard->takes() && shard->settled().unsent() > 0;
    return unsent;
  }

  /// Consumes all queues that are not consumed yet, but for `held`.
  void open(std::string& out, const StreamOffset& from) {
    for (const auto& shard : shards_) {
      if (shard.get() != held_ && shard->state() == Shard::State::closed) shard->open(out, from);
    }
  }
  /// Finishes those that are draining and of which nothing is being handled any more.
  void go_on_draining(std::string& out, Intake& intake) {
    for (const auto& shard : shards_) {
      if (shard->state() != Shard::State::draining) continue;
      if (intake.revoke(shard->index(), Instant::min()) && shard->forwarding == 0) {
        shard->finish(out);
      }
    }
  }
  /// Finishes all; `in_haste` without waiting for anything.
  void finish(std::string& out, bool in_haste) {
    for (const auto& shard : shards_) {
      if (!shard->takes() && shard->state() != Shard::State::draining) continue;
      in_haste ? shard->abandon(out) : shard->finish(out);
    }
  }

  /// Gives up what this member, one of so many, is the active consumer of beyond its share.
  void hand_over(std::size_t members) {
    if (members < 2) return;
    const std::size_t count = shards_.size() - (held_ != nullptr ? 1 : 0);
    const std::size_t share = (count + members - 1) / members;
    std::size_t active = 0;
    for (const auto& shard : shards_) {
      if (shard.get() == held_ || !shard->active() || ++active <= share) continue;
      drop_waiting(*shard);
      shard->drain();
    }
  }

 private:
  const std::uint16_t first_channel_;
  std::vector<std::unique_ptr<Shard>> shards_;
  Shard* held_ = nullptr;
  HeldPool pool_;
  std::deque<Held*> waiting_;
  std::size_t waiting_bytes_ = 0;
};

}  // namespace omnibus::rabbitmq
