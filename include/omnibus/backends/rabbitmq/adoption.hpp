// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include <omnibus/backends/rabbitmq/calls.hpp>
#include <omnibus/backends/rabbitmq/publisher.hpp>
#include <omnibus/backends/rabbitmq/shard.hpp>
#include <omnibus/clock.hpp>
#include <omnibus/detail/unique_function.hpp>
#include <omnibus/detail/uuid.hpp>

// What was published before any group had subscribed lies in one queue, and is handled before what came
// afterwards, whoever of the group's members does it.

namespace omnibus::rabbitmq {

/// Tells a member when it may take what came later, by a marker of its own: it is put behind everything
/// that was held when the group had its queues, and comes to the member, as the queue's one active
/// consumer, when the member has been given what lay before it and others have settled their part. It
/// gives the queue up, for the next member, when it has settled its own. Markers of others are left where
/// they are. Thread safety: one thread at a time.
class Adoption {
 public:
  explicit Adoption(Publisher& publisher) : publisher_{publisher} {}

  static constexpr std::uint16_t channel = 2;  ///< where it asks

  /// On a new connection: looks whether the queue is there, and then puts the marker behind what it
  /// holds.
  void look(std::string& out, const std::string& queue,
            omnibus::detail::UniqueFunction<void(bool found)> then) {
    queue_ = queue;
    calls_.open(out);
    DeclareQueue there{queue};
    there.passive = true;
    calls_.declare(out, {there}, "look for " + queue,
                   [this, then = std::move(then)](const Error* problem, QueueCounts) mutable {
                     if (problem == nullptr) begin(std::chrono::steady_clock::now());
                     then(problem == nullptr);
                   });
  }
  /// Takes a method that came in on the channel.
  void handle(std::string& out, const amqp_method_t& method) { calls_.handle(out, method); }

  /// Puts the marker there once more, should it have been lost; to be called when it is due.
  void repeat(Instant now) { put_marker(now); }
  Instant due() const noexcept { return active_ && !reached() ? due_ : Instant::max(); }
  /// The connection was lost, or it is over.
  void end() noexcept {
    active_ = false;
    marker_tag_ = 0;
  }
  /// True from `begin` until everything that was held is settled.
  bool active() const noexcept { return active_; }

  /// True for markers, which are not for handlers. Notes our own.
  bool takes(const MessageView& message, std::uint64_t tag) noexcept {
    if (message.type != type) return false;
    if (message.id == std::string_view{id_.data(), id_.size()}) marker_tag_ = tag;
    return true;
  }
  /// True when everything before the marker has come to this member, or was settled by others.
  bool reached() const noexcept { return marker_tag_ != 0; }
  /// Settles the marker, when everything before it is settled.
  bool complete(Shard& shard) {
    if (marker_tag_ == 0 || shard.unsettled() > 0) return false;
    shard.settled().done(std::exchange(marker_tag_, 0));
    end();
    return true;
  }

 private:
  static constexpr std::string_view type = "omnibus.marker";
  static constexpr Duration again_after = std::chrono::seconds{5};

  void begin(Instant now) {
    id_ = ids_.next(SystemClock{}.wall());
    marker_tag_ = 0;
    active_ = true;
    put_marker(now);
  }

  void put_marker(Instant now) {
    due_ = now + again_after;
    MessageView marker;
    marker.id = {id_.data(), id_.size()};
    marker.type = type;
    Outgoing outgoing{marker, {}, [](const Result<Receipt>&) {}};  // if it fails, another one follows
    publisher_.submit({.route = "(default exchange)",
                       .routing_key = queue_,
                       .carried = {.expires = "60000"}},
                      [] { return Route{""}; }, outgoing, {again_after, false});
  }

  Publisher& publisher_;
  omnibus::detail::UuidGenerator ids_;
  omnibus::detail::UuidText id_{};
  Calls calls_{channel};
  std::string queue_;
  std::uint64_t marker_tag_ = 0;
  bool active_ = false;
  Instant due_{};
};

}  // namespace omnibus::rabbitmq
