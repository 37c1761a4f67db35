// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <omnibus/backends/kafka/partition.hpp>
#include <omnibus/backends/kafka/publisher.hpp>
#include <omnibus/backends/kafka/tiers.hpp>
#include <omnibus/copies.hpp>
#include <omnibus/detail/smaller.hpp>

// Delivering again later: a copy goes to the topic of its tier, and when that has been confirmed the
// original is done.

namespace omnibus::kafka {

/// Thread safety: one thread, but for what its `wakeup` says.
class Later {
 public:
  /// `topics`: those in which messages wait, by tier, behind the topic itself. `plan`: of new topics.
  Later(Publisher& publisher, const std::vector<std::string>& topics, TopicPlan plan, std::string group)
      : publisher_{publisher}, topics_{topics}, plan_{std::move(plan)}, group_{std::move(group)} {
    plan_.retention = later_retention;
  }

  omnibus::detail::Wakeup& wakeup() const noexcept { return copies_.wakeup(); }
  std::size_t under_way() const noexcept { return under_way_; }
  Instant next_retry() const noexcept { return copies_.next_retry(); }

  /// The record is to come again after a delay.
  void send(Held& held, Duration delay, std::uint32_t attempts) {
    held.complete();
    held.due = to_ms(std::chrono::system_clock::now() +
                     omnibus::detail::smaller(delay, longest_delay)) + 1;
    held.attempts = attempts;
    ++under_way_;
    send_copy(held);
  }

  /// Calls `finish(held, done)` for the records whose copies are confirmed, or that are no longer ours;
  /// sends other copies again when it is time.
  template <class Finish>
  void turn(Instant now, Finish finish) {
    if (under_way_ == 0) return;
    for (const auto& each : copies_.take()) {
      if (!each.confirmed && each.held->partition->assigned) {
        copies_.failed(*each.held, now);
        continue;
      }
      --under_way_;
      finish(*each.held, each.confirmed);
    }
    copies_.retry(now, [&](Held& held) {
      if (held.partition->assigned) return send_copy(held);
      --under_way_;
      finish(held, false);
    });
  }

  /// Waits until no copies are under way, or until then; `finish` as above.
  template <class Finish>
  void await(Instant until, Finish finish) {
    while (true) {
      const Instant now = std::chrono::steady_clock::now();
      turn(now, finish);
      if (under_way_ == 0 || now >= until) return;
      wakeup().wait(-1, false, false, omnibus::detail::smaller(until, next_retry()));
      (void)wakeup().take();
    }
  }

 private:
  void send_copy(Held& held) {
    const std::size_t tier = tier_of(from_ms(held.due) - std::chrono::system_clock::now());
    const std::string& waiting = topics_[1 + tier];
    envelope_.clear();
    append_envelope(envelope_, {held.message.id, held.message.type, held.message.sequence, held.due,
                                held.attempts, group_});
    publisher_.submit(
        waiting,
        [&](Routes& routes) -> Route& {
          plan_.name = waiting;
          return routes.add(plan_, topics_.front());
        },
        {held.message.key, held.message.payload, to_ms(held.message.time), envelope_,
         held.message.headers},
        copies_.completion(held), {.timeout = std::chrono::seconds{30}, .wait_for_room = false});
  }

  Publisher& publisher_;
  const std::vector<std::string>& topics_;
  TopicPlan plan_;
  const std::string group_;
  omnibus::detail::Copies<Held> copies_;
  std::string envelope_;
  std::size_t under_way_ = 0;
};

}  // namespace omnibus::kafka
