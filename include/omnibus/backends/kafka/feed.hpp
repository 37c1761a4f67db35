// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <omnibus/backend.hpp>
#include <omnibus/backends/kafka/assignment.hpp>
#include <omnibus/backends/kafka/group_client.hpp>
#include <omnibus/backends/kafka/starts.hpp>
#include <omnibus/detail/smaller.hpp>
#include <omnibus/subscription_spec.hpp>

// From librdkafka's queues to the handlers: records are taken partition by partition, as far as there is
// room; those that have to wait, wait here.

namespace omnibus::kafka {

/// Thread safety: one thread.
class Feed {
 public:
  Feed(Assignment& assignment, const SubscriptionSpec& spec) : assignment_{assignment}, spec_{spec} {}

  /// True when there may be more than was taken.
  bool more() const noexcept { return more_ && backlog_.empty(); }
  /// When the first of those that wait is due.
  Instant next_due() const noexcept { return next_due_; }

  /// Hands records on while there is room. Returns how many. `problem(message)` hears of what is none.
  template <class Problem>
  std::size_t turn(Intake& intake, GroupClient& client, Problem problem) {
    delivered_ = 0;
    more_ = false;
    std::size_t handed = 0;
    while (handed < backlog_.size() && intake.room() > 0) deliver(intake, *backlog_[handed++]);
    backlog_.erase(backlog_.begin(), backlog_.begin() + static_cast<std::ptrdiff_t>(handed));
    if (!backlog_.empty()) return delivered_;
    next_due_ = Instant::max();
    for (Partition& each : assignment_) {
      if (!each.assigned || !each.queue) continue;
      const std::size_t room = each.waits ? read_ahead - omnibus::detail::smaller(
                                                             each.waiting.size(), read_ahead)
                                          : intake.room();
      take(each, room, [&](rd_kafka_message_t* raw) {
        if (raw->err == RD_KAFKA_RESP_ERR_NO_ERROR) return arrived(intake, client.get(), each, raw);
        problem(*raw);
        rd_kafka_message_destroy(raw);
      });
      client.taken(each.taken, *each.topic, each.number);
      if (each.waits) hand_on_due(intake, each);
    }
    return delivered_;
  }

  /// Lets go what of the partition has been taken and not handed on.
  void drop(Partition& partition) {
    for (; !partition.waiting.empty(); partition.waiting.pop()) {
      assignment_.finish(*partition.waiting.top(), false);
    }
    std::erase_if(backlog_, [&](Held* each) {
      if (each->partition != &partition) return false;
      assignment_.finish(*each, false);
      return true;
    });
  }

 private:
  static constexpr std::size_t most_open = 100'000;  ///< records that come after one that is not done
  static constexpr std::size_t read_ahead = 256;     ///< messages of a partition that wait here
  static constexpr std::size_t at_once = 256;

  /// Takes up to so many records of a partition.
  template <class Take>
  void take(Partition& partition, std::size_t room, Take one) {
    if (room == 0 || partition.progress.open() >= most_open) return;
    rd_kafka_message_t* raw[at_once];
    const auto got = rd_kafka_consume_batch_queue(partition.queue.get(), 0, raw,
                                                  omnibus::detail::smaller(room, at_once));
    if (got <= 0) return;
    const auto count = static_cast<std::size_t>(got);
    more_ |= count == at_once;
    partition.taken.records += count;
    for (std::size_t i = 0; i < count; ++i) {
      partition.taken.bytes += raw[i]->len;
      one(raw[i]);
    }
  }

  void arrived(Intake& intake, rd_kafka_t* client, Partition& partition, rd_kafka_message_t* raw) {
    if (partition.expected != raw->offset) check_gap(intake, client, partition, raw->offset);
    partition.expected = raw->offset + 1;
    Held& held = assignment_.hold(partition);
    held.take(raw);
    held.number = partition.progress.add(held.offset);
    if (partition.progress.was_done_before(held.offset)) {
      assignment_.finish(held, true);
    } else if (partition.waits) {
      held.complete();
      if (!held.meant_for.empty() && held.meant_for != spec_.group) return assignment_.finish(held, true);
      // Nothing waits longer than may be asked for, whatever a record says.
      const Time latest = std::chrono::system_clock::now() + longest_delay;
      held.due = omnibus::detail::smaller(held.due, to_ms(latest));
      partition.waiting.push(&held);
    } else if (intake.room() > 0) {
      deliver(intake, held);
    } else {
      backlog_.push_back(&held);
    }
  }

  void hand_on_due(Intake& intake, Partition& partition) {
    const Time wall = std::chrono::system_clock::now();
    for (auto& waiting = partition.waiting; !waiting.empty(); waiting.pop()) {
      const Time due = from_ms(waiting.top()->due);
      if (due > wall) {
        const Instant when = std::chrono::steady_clock::now() + (due - wall);
        next_due_ = omnibus::detail::smaller(next_due_, when);
        return;
      }
      if (intake.room() == 0) return;
      deliver(intake, *waiting.top());
    }
  }

  void deliver(Intake& intake, Held& held) {
    intake.deliver({&held.message, spec_.topic, held.partition->id,
                    {static_cast<std::uint64_t>(held.offset), 0}, held.attempts,
                    reinterpret_cast<std::uint64_t>(&held), held.partition->waits ? nullptr : complete});
    ++delivered_;
  }
  static void complete(std::uint64_t token) { reinterpret_cast<Held*>(token)->complete(); }

  /// Records are missing: compaction and transactions leave gaps, and so does retention, which is a loss.
  void check_gap(Intake& intake, rd_kafka_t* client, Partition& partition, std::int64_t found) {
    const std::int64_t wanted = std::exchange(partition.expected, found);
    if (wanted == Progress::none) return;
    const Instant now = std::chrono::steady_clock::now();
    if (found > wanted) {
      if (now < next_look_) return;
      next_look_ = now + std::chrono::seconds{10};
      const auto ends = watermarks(client, partition.topic->c_str(), partition.number, 1000);
      if (!ends || ends->low <= wanted) return;
    } else {
      partition.progress.restart(found);  // the topic is another one: nothing of it is done
      partition.recorded = false;
    }
    const Error lost = Error::make(
        Errc::position_lost, "subscribe " + spec_.topic,
        "partition " + std::to_string(partition.number) + " no longer holds offset " +
            std::to_string(wanted) + "; it goes on at " + std::to_string(found));
    intake.report(&lost);
    intake.report(nullptr);
  }

  Assignment& assignment_;
  const SubscriptionSpec& spec_;
  std::vector<Held*> backlog_;  // taken, when there was no room any more
  std::size_t delivered_ = 0;
  bool more_ = false;
  Instant next_due_ = Instant::max();
  Instant next_look_ = Instant::min();
};

}  // namespace omnibus::kafka
