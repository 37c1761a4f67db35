// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>

#include <omnibus/backends/rabbitmq/publisher.hpp>
#include <omnibus/backends/rabbitmq/shard.hpp>
#include <omnibus/backends/rabbitmq/topology.hpp>
#include <omnibus/copies.hpp>

// Delivering again later: a copy goes to a queue where it waits, and only when the broker has
// confirmed it may the original be acknowledged.

namespace omnibus::rabbitmq {

/// Sends copies to delay queues, from which they return to the queue they came from.
/// Thread safety: one thread at a time.
class Later {
 public:
  /// `name` is what the delay queues are named after.
  Later(Publisher& publisher, std::string name) : publisher_{publisher}, name_{std::move(name)} {}

  omnibus::detail::Wakeup& wakeup() const noexcept { return copies_.wakeup(); }
  /// A wakeup that outlives this.
  auto mailbox() const noexcept { return copies_.mailbox(); }
  Instant next_retry() const noexcept { return copies_.next_retry(); }

  /// Sends a copy that comes back after `delay`.
  void send(Held& held, Duration delay, std::uint32_t attempts) {
    held.delay = delay;
    held.attempts = attempts;
    ++held.shard->forwarding;
    send_copy(held);
  }

  /// Calls `finish(held)` for what has a confirmed copy, or has come back to the broker with its
  /// channel; sends other copies again when it is time.
  template <class Finish>
  void turn(Instant now, Finish finish) {
    const auto end = [&](Held& held) {
      --held.shard->forwarding;
      finish(held);
    };
    for (const auto& each : copies_.take()) {
      if (each.confirmed || !each.held->current()) {
        end(*each.held);
      } else {
        copies_.failed(*each.held, now);
      }
    }
    copies_.retry(now, [&](Held& held) { held.current() ? send_copy(held) : end(held); });
  }

 private:
  void send_copy(Held& held) {
    const Duration tier = delay_tier(held.delay);
    const Duration rest = held.delay > tier ? held.delay - tier : Duration::zero();
    const std::string route = later_exchange(name_, tier);
    Outgoing outgoing{held.received.message(), {}, copies_.completion(held)};
    publisher_.submit(
        {.route = route, .routing_key = held.shard->queue(), .carried = {held.attempts, rest}},
        [&] { return Route{route, later_topology(name_, "", tier)}; }, outgoing,
        {.timeout = std::chrono::seconds{30}, .wait_for_room = false});
  }

  Publisher& publisher_;
  const std::string name_;
  omnibus::detail::Copies<Held> copies_;
};

}  // namespace omnibus::rabbitmq
