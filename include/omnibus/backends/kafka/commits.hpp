// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>

#include <omnibus/backends/kafka/assignment.hpp>
#include <omnibus/backends/kafka/group_client.hpp>
#include <omnibus/backends/kafka/recreation.hpp>
#include <omnibus/detail/smaller.hpp>

// Tells the broker now and then what is done.

namespace omnibus::kafka {

/// Thread safety: one thread.
class Commits {
 public:
  Commits(Assignment& assignment, Duration interval) : assignment_{assignment}, interval_{interval} {}

  /// When there is something to do next.
  Instant next(Instant now) const noexcept {
    return next_ > now && assignment_.needs_commit() ? next_ : Instant::max();
  }
  /// Begins a commit when it is time for one. With no broker in sight librdkafka would keep it for long, and its
  /// end would wait for that: then `sick`.
  void turn(GroupClient& client, Instant now, bool sick) {
    if (now < next_) return;
    next_ = now + interval_;
    if (under_way_ || sick || !has_its_logs(client, look_ms)) return;
    const Offsets offsets = assignment_.uncommitted();
    if (offsets->cnt == 0) return;
    under_way_ = client.commit(*offsets);
  }
  /// The broker's answer.
  void ended(rd_kafka_resp_err_t all, const rd_kafka_topic_partition_list_t* list) noexcept {
    under_way_ = false;
    if (list != nullptr) assignment_.note_committed(all, *list);
  }
  /// There will be no answer.
  void forget() noexcept { under_way_ = false; }

  /// Returns false when the broker has not confirmed all by then.
  bool finish(GroupClient& client, Instant until, bool sick) {
    for (int attempt = 0; attempt < 2; ++attempt) {  // the second without marks, where it takes none
      if (!assignment_.needs_commit()) return true;
      const int left = ms_until(until, std::chrono::steady_clock::now());
      // Where the time is up the commit goes out all the same, and nobody waits for its answer.
      if (sick || !has_its_logs(client, omnibus::detail::larger(left, short_look_ms))) return false;
      const Offsets offsets = assignment_.uncommitted();
      if (offsets->cnt == 0) return true;
      const Event answer = client.commit(*offsets, until);
      const auto* answers = answer ? rd_kafka_event_topic_partition_list(answer.get()) : nullptr;
      if (answers == nullptr) return false;
      assignment_.note_committed(rd_kafka_event_error(answer.get()), *answers);
    }
    return assignment_.uncommitted()->cnt == 0;
  }

 private:
  bool has_its_logs(const GroupClient& client, int ms) {
    return logs_are_known(client, assignment_, [](const Partition& each) { return each.has_news(); }, ms);
  }

  Assignment& assignment_;
  const Duration interval_;
  bool under_way_ = false;
  Instant next_ = Instant::min();
};

}  // namespace omnibus::kafka
