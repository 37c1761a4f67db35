// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include <omnibus/backends/kafka/assignment.hpp>
#include <omnibus/backends/kafka/group_client.hpp>
#include <omnibus/backends/kafka/recreation.hpp>
#include <omnibus/backends/kafka/transactor.hpp>
#include <omnibus/backoff.hpp>
#include <omnibus/detail/smaller.hpp>

// In the place of commits, where a subscription is transactional: now and then, what the handled records publish and
// that they are done.

namespace omnibus::kafka {

/// Thread safety: one thread, the consumer's.
class Transactions {
 public:
  Transactions(Assignment& assignment, const Settings& settings, TransactorPlan plan, Callbacks& logs,
               omnibus::detail::Wakeup& bell)
      : assignment_{assignment}, transactor_{settings, std::move(plan), logs, bell} {}

  /// True when what the group has committed can be looked up: no transaction of ours can change it.
  bool is_decided() const { return !lost_ && transactor_.ready(); }
  /// Why that takes long, if it does.
  std::optional<Error> problem() const { return transactor_.problem(); }

  /// The record is done and has these outputs.
  void add(const Held& held, MessageBatch& outputs) {
    held.partition->outputs.add(held.number, held.offset, std::move(outputs));
  }
  /// True when so much waits that no more should come.
  bool full() const noexcept {
    std::size_t messages = 0, bytes = 0;
    for (const Partition& each : assignment_) {
      messages += each.outputs.messages();
      bytes += each.outputs.bytes();
    }
    return messages >= most_messages || bytes >= most_bytes;
  }
  /// When there is something to do next, unless the transactor rings before.
  Instant next() const noexcept { return busy_ ? Instant::max() : begin_at_; }

  /// Hears how the last transaction ended, and begins the next when it is time. `ill(error)` and `well()` are called
  /// where there is something to say. Returns an error when everything has to begin anew.
  template <class Ill, class Well>
  std::optional<Error> turn(const GroupClient& client, Instant now, Ill ill, Well well) {
    if (std::optional<Transactor::Ended> last = transactor_.ended()) {
      const bool was_ill = failures_ >= few;
      take_back(*last, now);
      if (failures_ >= few) ill(last->problem);
      if (was_ill && failures_ == 0) well();
    }
    if (lost_) return std::exchange(lost_, std::nullopt);
    if (busy_ || !has_news()) return {};
    if (begin_at_ == Instant::max()) begin_at_ = now + interval;
    if (now >= begin_at_ || (failures_ == 0 && is_idle())) (void)begin(client, now, look_ms);
    return {};
  }

  /// Blocks until everything that is done is committed, or until then. Returns false when it is not all.
  bool finish(const GroupClient& client, Instant until) {
    while (true) {
      const Instant now = std::chrono::steady_clock::now();
      if (std::optional<Transactor::Ended> last = transactor_.ended()) take_back(*last, now);
      if (lost_) return false;
      if (!busy_ && !has_news()) return true;
      if (now >= until) return false;
      const bool waits = busy_ || (failures_ > 0 && now < begin_at_);
      if (waits) transactor_.wait(omnibus::detail::smaller(until, next()));
      if (!waits && !begin(client, now, ms_until(until, now))) return !has_news();
    }
  }
  void close(Instant until) { transactor_.close(until); }

 private:
  static constexpr Duration interval = std::chrono::milliseconds{100};
  static constexpr std::size_t most_messages = 100'000;
  static constexpr std::size_t most_bytes = 64u << 20;
  static constexpr std::uint32_t few = 3;  ///< failures that are nobody's concern

  static bool has_news_of(const Partition& each) noexcept {
    return each.counts() && each.outputs.has_news(each.progress.committable());
  }
  bool has_news() const noexcept { return std::any_of(assignment_.begin(), assignment_.end(), has_news_of); }
  /// True when nothing is being handled that could go along.
  bool is_idle() const noexcept {
    for (const Partition& each : assignment_) {
      if (each.held > 0) return false;
    }
    return true;
  }

  /// Returns false when none can be begun now. May look for so long whether the logs are there.
  bool begin(const GroupClient& client, Instant now, int ms) {
    begin_at_ = now + interval;
    Transaction next{{}, client.membership()};
    if (!next.membership || !transactor_.ready()) return false;
    if (!logs_are_known(client, assignment_, has_news_of, ms)) return false;
    TransactionRoom room;
    for (Partition& each : assignment_) {
      if (!each.counts()) continue;
      auto share = each.outputs.take(each.progress.first_open(), each.progress.committable(), room);
      if (share) next.parts.push_back({each.incarnation, *each.topic, each.number, *std::move(share)});
    }
    if (next.parts.empty()) return false;
    transactor_.begin(std::move(next));
    busy_ = true;
    return true;
  }

  /// Partitions that are no longer ours are passed over: their outputs are made again by whoever has them.
  void take_back(Transactor::Ended& last, Instant now) {
    busy_ = false;
    begin_at_ = Instant::max();
    if (last.ending == Transactor::Ending::lost) return void(lost_ = std::move(last.problem));
    const bool committed = last.ending == Transactor::Ending::committed;
    for (Transaction::Part& part : last.transaction.parts) {
      Partition* const partition = assignment_.find(part.incarnation);
      if (partition == nullptr) continue;
      committed ? partition->outputs.committed() : partition->outputs.put_back(std::move(part.share));
      partition->recorded |= committed;
    }
    failures_ = committed ? 0 : failures_ + 1;
    constexpr Backoff delay{std::chrono::milliseconds{50}, std::chrono::seconds{5}, 2.0, false};
    if (!committed) begin_at_ = now + backoff(delay, failures_, 0);
  }

  Assignment& assignment_;
  bool busy_ = false;
  std::uint32_t failures_ = 0;  ///< since one was committed
  Instant begin_at_ = Instant::max();
  std::optional<Error> lost_;  ///< everything has to begin anew
  Transactor transactor_;
};

}  // namespace omnibus::kafka
