// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <omnibus/backend.hpp>
#include <omnibus/backends/kafka/group_client.hpp>
#include <omnibus/backends/kafka/partition.hpp>
#include <omnibus/backends/kafka/publisher.hpp>
#include <omnibus/backends/kafka/starts.hpp>
#include <omnibus/backends/kafka/tiers.hpp>
#include <omnibus/detail/copies.hpp>
#include <omnibus/detail/smaller.hpp>
#include <omnibus/subscription_spec.hpp>

// One subscription: the dispatcher's thread polls librdkafka, takes records partition by partition, and
// commits what is done.

namespace omnibus::kafka {

/// Thread safety: one thread, the dispatcher's, but for `wake`.
class Consumer final : private Callbacks {
 public:
  /// `publisher` and `logs` must outlive it.
  Consumer(Settings settings, Reading reading, Publisher& publisher, Callbacks& logs)
      : settings_{std::move(settings)},
        reading_{std::move(reading)},
        publisher_{publisher},
        logs_{logs} {
    for (std::size_t tier = 0; tier < tiers.size(); ++tier) {
      later_topics_.push_back(later_topic(reading_.spec.topic, tier));
    }
  }
  ~Consumer() {
    for (auto& partition : partitions_) {
      if (client_) client_->retire(partition.queue);
    }
    held_.clear();
  }
  Consumer(const Consumer&) = delete;

  void poll(Intake& intake, Instant until) {
    intake_ = &intake;
    delivered_ = 0;
    while (true) {
      const bool woken = copies_.wakeup().take();
      const Instant now = std::chrono::steady_clock::now();
      if (!client_) open(now);
      if (client_) serve(now);
      if (delivered_ > 0 || woken || now >= until) break;
      rest(now, until);
    }
    intake_ = nullptr;
  }

  void settle(std::span<const Settlement> settlements) {
    for (const Settlement& each : settlements) {
      Held& held = *reinterpret_cast<Held*>(each.token);
      if (each.kind == Settlement::Kind::later && held.partition->assigned) {
        held.due = to_ms(std::chrono::system_clock::now() + bounded(each.delay)) + 1;
        held.attempts = each.attempts;
        ++copying_;
        send_copy(held);
        continue;
      }
      finish(held, each.kind == Settlement::Kind::done);
    }
  }

  void wake() { copies_.wakeup().ring(); }

  Result<> close(Instant until) {
    if (!client_) return {};
    await_copies(until);
    const bool committed = reading_.spec.group.empty() || commit_and_wait(until);
    for (Partition& each : partitions_) client_->retire(each.queue);
    const bool left = client_->close(until);
    if (committed && left) return {};
    return Error::make(Errc::timed_out, "close " + reading_.spec.topic,
                       "the broker did not confirm the end; what was handled last may come again");
  }

 private:
  static constexpr std::size_t most_open = 100'000;  ///< records that come after one that is not done
  static constexpr std::size_t read_ahead = 256;     ///< messages of a partition that wait here
  static constexpr std::size_t at_once = 256;

  // ── the client's life ──────────────────────────────────────────────────────────────────────────

  void open(Instant now) {
    if (now < open_again_) return;
    try {
      client_.reset(new GroupClient{settings_, reading_, *this});
    } catch (const std::exception& failure) {
      open_again_ = now + std::chrono::seconds{1};
      return tell(Error::make(Errc::unavailable, "", failure.what()));
    }
    registered_ = false;
    declare(now);
  }

  void declare(Instant) {
    if (!reading_.create_topics) return join();
    client_->create(reading_.plan);
  }

  void declared(const Result<>& result, Instant now) {
    if (result) return join();
    // Who may not make topics may read those that are there.
    if (result.error().code == Errc::access_denied) return join();
    tell(result.error());
    declare_again_ = now + std::chrono::seconds{1};
  }

  void join() {
    if (reading_.spec.group.empty()) {
      read_again_ = Instant::min();
      return;
    }
    std::vector<std::string> topics{reading_.spec.topic};
    topics.insert(topics.end(), later_topics_.begin(), later_topics_.end());
    if (const Result<> joined = client_->subscribe(topics); !joined) tell(joined.error());
  }

  void tell(const Error& problem) {
    registered_ = false;
    if (intake_ == nullptr) return;
    Error told = problem;
    told.operation = "subscribe " + reading_.spec.topic;
    if (!problem.operation.empty()) told.context = problem.operation + ": " + problem.context;
    intake_->report(&told);
  }
  void well() {
    if (registered_) return;
    registered_ = true;
    sick_ = false;
    if (intake_ != nullptr) intake_->report(nullptr);
  }

  // ── what librdkafka calls, from `GroupClient::poll` ────────────────────────────────────────────

  void log(int level, std::string_view line) noexcept override { logs_.log(level, line); }

  void failed(rd_kafka_resp_err_t code, std::string_view why) noexcept override {
    // One of several; all: _ALL_BROKERS_DOWN, which does not come when the coordinator goes last.
    if (code == RD_KAFKA_RESP_ERR__TRANSPORT) {
      last_broker_ = why;
      if (!sick_) suspect(std::chrono::steady_clock::now());
      return;
    }
    if (sick_ && code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) return;
    if (code == RD_KAFKA_RESP_ERR__FATAL) {
      fatal_ = true;
      return;
    }
    sick_ = true;
    probe_ = std::chrono::steady_clock::now() + std::chrono::seconds{1};
    tell(to_error(code, "", why_down(code, why, last_broker_)));
  }

  void rebalance(rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t& list) noexcept override {
    if (code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
      const Result<> resolved = intake_ == nullptr
                                    ? Result<>{Error::make(Errc::closed, "")}
                                    : resolve_starts(client_->get(), list, reading_.spec, 5000);
      if (!resolved) {
        client_->assign_nothing();
        rejoin_ = std::chrono::steady_clock::now() + std::chrono::milliseconds{500};
        return tell(resolved.error());
      }
      take_on(list);
      if (const Result<> done = client_->assign(list); !done) return tell(done.error());
      assigned_ = true;
      well();
    } else {
      give_up(list, !client_->assignment_lost());
      client_->unassign(list);
    }
  }

  void committed(rd_kafka_resp_err_t all,
                 const rd_kafka_topic_partition_list_t* list) noexcept override {
    committing_ = false;
    if (list != nullptr) note_committed(all, *list);
  }
  void note_committed(rd_kafka_resp_err_t all, const rd_kafka_topic_partition_list_t& list) noexcept {
    for (int i = 0; i < list.cnt; ++i) {
      Partition* partition = find(list.elems[i]);
      if (partition == nullptr) continue;
      const auto code = list.elems[i].err;
      partition->plain |= code == RD_KAFKA_RESP_ERR_OFFSET_METADATA_TOO_LARGE;
      // Where one fails, `all` may be its error.
      if (all == RD_KAFKA_RESP_ERR_NO_ERROR && code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        partition->committed = partition->committing;
      }
    }
  }

  // ── partitions ─────────────────────────────────────────────────────────────────────────────────

  Partition* find(const rd_kafka_topic_partition_t& what) noexcept {
    for (Partition& each : partitions_) {
      if (each.assigned && each.number == what.partition && *each.topic == what.topic) return &each;
    }
    return nullptr;
  }

  void take_on(const rd_kafka_topic_partition_list_t& list) {
    client_->empty_retired();
    std::int32_t most = 0;
    for (int i = 0; i < list.cnt; ++i) most = std::max(most, list.elems[i].partition + 1);
    if (partitions_.empty()) {
      while (stride_ < most * 2) stride_ *= 2;
    }
    for (int i = 0; i < list.cnt; ++i) {
      const rd_kafka_topic_partition_t& what = list.elems[i];
      Partition& added = partitions_.emplace_back();
      added.topic = &reading_.spec.topic;
      for (std::size_t tier = 0; tier < later_topics_.size(); ++tier) {
        if (later_topics_[tier] != what.topic) continue;
        added.topic = &later_topics_[tier];
        added.tier = tier + 1;
        added.waits = true;
      }
      added.number = what.partition;
      added.id = what.partition + static_cast<std::int32_t>(added.tier) * stride_;
      const bool known = what.offset >= 0;
      if (known) {
        added.progress = Progress{
            what.offset,
            {what.offset, {static_cast<const char*>(what.metadata), what.metadata_size}}};
      }
      added.expected = known ? what.offset : Progress::none;
      added.queue = client_->detach(what);
    }
  }

  /// Partitions are taken away: what has not started is given back, what runs may end, and what is done
  /// is committed, unless others have them already.
  void give_up(const rd_kafka_topic_partition_list_t& list, bool still_ours) {
    if (intake_ == nullptr) return;
    std::vector<Partition*> leaving;
    for (int i = 0; i < list.cnt; ++i) {
      if (Partition* partition = find(list.elems[i])) leaving.push_back(partition);
    }
    for (Partition* each : leaving) {
      client_->retire(each->queue);
      drop_waiting(*each);
      (void)intake_->revoke(each->id, Instant::min());
    }
    if (still_ours) {
      const Instant until = after(std::chrono::steady_clock::now(), reading_.drain_timeout);
      for (Partition* each : leaving) (void)intake_->revoke(each->id, until);
      (void)commit_and_wait(std::chrono::steady_clock::now() + std::chrono::seconds{5});
    }
    for (Partition* each : leaving) each->assigned = false;
    reap();
  }

  void drop_waiting(Partition& partition) {
    for (Held* each : partition.waiting) held_.give_back(*each);
    partition.waiting.clear();
    std::erase_if(backlog_, [&](Held* each) {
      if (each->partition != &partition) return false;
      held_.give_back(*each);
      return true;
    });
  }

  void reap() {
    partitions_.remove_if([](const Partition& each) { return !each.assigned && each.held == 0; });
  }

  // ── a turn ─────────────────────────────────────────────────────────────────────────────────────

  void serve(Instant now) {
    copies_ended(now);
    client_->poll([this, now](const rd_kafka_message_t& problem) { note_problem(problem, now); });
    if (fatal_) return start_over(now);
    if (const auto result = client_->created()) declared(*result, now);
    if (now >= declare_again_) {
      declare_again_ = Instant::max();
      declare(now);
    }
    if (now >= rejoin_) {
      rejoin_ = Instant::max();
      join();
    }
    if (reading_.spec.group.empty() && now >= read_again_) read_all(now);
    if ((sick_ || suspicions_ > 0) && now >= probe_) probe(now);
    take_records();
    commit(now);
  }

  void note_problem(const rd_kafka_message_t& problem, Instant now) {
    const std::string_view topic =
        problem.rkt != nullptr ? text_of(rd_kafka_topic_name(problem.rkt)) : std::string_view{};
    switch (problem.err) {
      case RD_KAFKA_RESP_ERR__PARTITION_EOF: return;
      case RD_KAFKA_RESP_ERR__MAX_POLL_EXCEEDED: return;  // a revocation follows
      case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
        if (topic != reading_.spec.topic) return;  // nothing waits there yet
        if (reading_.create_topics && declare_again_ == Instant::max()) {
          declare_again_ = now + std::chrono::milliseconds{200};
        }
        break;
      default: break;
    }
    tell(to_error(problem.err, "", text_of(rd_kafka_message_errstr(&problem))));
  }

  /// Looks twice whether any broker is there.
  void suspect(Instant now) {
    if (suspicions_ > 0) return;
    suspicions_ = 2;
    probe_ = now + std::chrono::milliseconds{300};
  }
  void probe(Instant now) {
    probe_ = now + std::chrono::seconds{1};
    if (client_->reachable(reading_.spec.topic)) {
      suspicions_ = 0;
      sick_ = false;
      if (assigned_) well();
    } else if (suspicions_ > 0 && --suspicions_ == 0 && !sick_) {
      sick_ = true;
      tell(Error::make(Errc::unavailable, "", "no broker answers; " + last_broker_));
    }
  }

  /// librdkafka says that this client is done with: everything anew, with another.
  void start_over(Instant now) {
    tell(client_->fatal_problem());
    for (Partition& each : partitions_) {
      if (!each.assigned) continue;
      client_->retire(each.queue);
      drop_waiting(each);
      each.assigned = false;
      (void)intake_->revoke(each.id, Instant::min());
    }
    retired_.push_back(std::move(client_));
    reap();
    fatal_ = assigned_ = committing_ = false;
    open_again_ = now + std::chrono::seconds{2};
  }

  /// A reader without a group takes all partitions there are, and looks for more now and then.
  void read_all(Instant now) {
    read_again_ = now + std::chrono::seconds{1};
    std::vector<std::string> topics{reading_.spec.topic};
    topics.insert(topics.end(), later_topics_.begin(), later_topics_.end());
    const Result<Offsets> all = client_->all_partitions(topics);
    if (!all) {
      if (!assigned_) tell(all.error());
      return;
    }
    const Offsets added = new_offsets();
    for (int i = 0; i < (*all)->cnt; ++i) {
      const auto& each = (*all)->elems[i];
      if (find(each) != nullptr) continue;
      rd_kafka_topic_partition_list_add(added.get(), each.topic, each.partition);
    }
    if (added->cnt == 0) return;
    if (const Result<> set = resolve_starts(client_->get(), *added, reading_.spec, 2000); !set) {
      return tell(set.error());
    }
    take_on(*added);
    // All again, from where each of them is.
    const Offsets whole = new_offsets();
    for (int i = 0; i < (*all)->cnt; ++i) {
      const auto& each = (*all)->elems[i];
      auto* one = rd_kafka_topic_partition_list_add(whole.get(), each.topic, each.partition);
      const auto* fresh =
          rd_kafka_topic_partition_list_find(added.get(), each.topic, each.partition);
      if (fresh != nullptr) {
        one->offset = fresh->offset;
      } else {
        const Partition* known = find(each);
        one->offset = known->expected != Progress::none ? known->expected : RD_KAFKA_OFFSET_BEGINNING;
      }
    }
    if (const Result<> done = client_->assign_all(*whole); !done) return tell(done.error());
    assigned_ = true;
    well();
  }

  // ── records ────────────────────────────────────────────────────────────────────────────────────

  void take_records() {
    more_ = false;
    std::size_t handed = 0;
    while (handed < backlog_.size() && intake_->room() > 0) deliver(*backlog_[handed++]);
    backlog_.erase(backlog_.begin(), backlog_.begin() + static_cast<std::ptrdiff_t>(handed));
    if (!backlog_.empty()) return;
    next_due_ = Instant::max();
    for (Partition& each : partitions_) {
      if (!each.assigned || !each.queue) continue;
      if (each.waits) {
        take_waiting(each);
      } else {
        take(each, intake_->room());
      }
    }
  }

  /// Takes up to so many records of a partition.
  void take(Partition& partition, std::size_t room) {
    if (room == 0 || partition.progress.open() >= most_open) return;
    rd_kafka_message_t* raw[at_once];
    const auto got = rd_kafka_consume_batch_queue(partition.queue.get(), 0, raw,
                                                  omnibus::detail::smaller(room, at_once));
    if (got <= 0) return;
    const auto count = static_cast<std::size_t>(got);
    more_ |= count == at_once;
    for (std::size_t i = 0; i < count; ++i) arrived(partition, raw[i]);
  }

  void arrived(Partition& partition, rd_kafka_message_t* raw) {
    if (raw->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
      note_problem(*raw, std::chrono::steady_clock::now());
      rd_kafka_message_destroy(raw);
      return;
    }
    if (partition.expected != raw->offset) check_gap(partition, raw->offset);
    partition.expected = raw->offset + 1;
    Held& held = held_.take();
    held.partition = &partition;
    ++partition.held;
    held.read(raw, *partition.topic, reading_.spec.group);
    held.number = partition.progress.add(held.offset);
    if (held.for_others || partition.progress.was_done_before(held.offset)) return finish(held, true);
    if (partition.waits) {
      partition.waiting.push_back(&held);
      std::push_heap(partition.waiting.begin(), partition.waiting.end(), is_due_later);
    } else if (intake_->room() > 0) {
      deliver(held);
    } else {
      backlog_.push_back(&held);
    }
  }

  static bool is_due_later(const Held* a, const Held* b) noexcept { return a->due > b->due; }

  void take_waiting(Partition& partition) {
    if (partition.waiting.size() < read_ahead) take(partition, read_ahead - partition.waiting.size());
    auto& waiting = partition.waiting;
    const Time wall = std::chrono::system_clock::now();
    while (!waiting.empty()) {
      const Time due = from_ms(waiting.front()->due);
      if (due > wall) {
        next_due_ = omnibus::detail::smaller(next_due_, std::chrono::steady_clock::now() + (due - wall));
        return;
      }
      if (intake_->room() == 0) return;
      std::pop_heap(waiting.begin(), waiting.end(), is_due_later);
      Held& held = *waiting.back();
      waiting.pop_back();
      deliver(held);
    }
  }

  void deliver(Held& held) {
    intake_->deliver({&held.message, reading_.spec.topic, held.partition->id,
                      {static_cast<std::uint64_t>(held.offset), 0}, held.attempts,
                      reinterpret_cast<std::uint64_t>(&held)});
    ++delivered_;
  }

  /// Records are missing: compaction and transactions leave gaps, and so does retention, which is a loss.
  void check_gap(Partition& partition, std::int64_t found) {
    const std::int64_t wanted = std::exchange(partition.expected, found);
    if (wanted == Progress::none) return;
    const Instant now = std::chrono::steady_clock::now();
    if (found > wanted) {
      if (now < next_gap_) return;
      next_gap_ = now + std::chrono::seconds{10};
      const auto ends =
          watermarks(client_->get(), partition.topic->c_str(), partition.number, 1000);
      if (!ends || ends->low <= wanted) return;
    } else {
      partition.progress.restart(found);  // the topic is another one: nothing of it is done
    }
    const Error lost = Error::make(
        Errc::position_lost, "subscribe " + reading_.spec.topic,
        "partition " + std::to_string(partition.number) + " no longer holds offset " +
            std::to_string(wanted) + "; it goes on at " + std::to_string(found));
    intake_->report(&lost);
    intake_->report(nullptr);
  }

  void finish(Held& held, bool done) {
    Partition& partition = *held.partition;
    if (done) partition.progress.done(held.number);
    held_.give_back(held);
    if (!partition.assigned && partition.held == 0) reap();
  }

  // ── copies that come later ─────────────────────────────────────────────────────────────────────

  static Duration bounded(Duration delay) noexcept {
    return omnibus::detail::smaller(delay, longest_delay);
  }

  void send_copy(Held& held) {
    const Duration delay = from_ms(held.due) - std::chrono::system_clock::now();
    const std::size_t tier = tier_of(delay);
    envelope_.clear();
    append_envelope(envelope_, {held.message.id, held.message.type, held.message.sequence, held.due,
                                held.attempts, reading_.spec.group});
    publisher_.submit(
        later_topics_[tier],
        [&](Routes& routes) -> Route& {
          return routes.add({later_topics_[tier], reading_.plan.partitions, reading_.plan.replicas,
                             later_retention},
                            reading_.spec.topic);
        },
        {held.message.key, held.message.payload, to_ms(held.message.time), envelope_,
         held.message.headers},
        copies_.completion(held), {.timeout = std::chrono::seconds{30}, .wait_for_room = false});
  }

  void copies_ended(Instant now) {
    if (copying_ == 0) return;
    for (const auto& each : copies_.take()) {
      if (!each.confirmed && each.held->partition->assigned) {
        copies_.failed(*each.held, now);
        continue;
      }
      --copying_;
      finish(*each.held, each.confirmed);
    }
    copies_.retry(now, [this](Held& held) {
      if (held.partition->assigned) return send_copy(held);
      --copying_;
      finish(held, false);
    });
  }

  void await_copies(Instant until) {
    while (true) {
      const Instant now = std::chrono::steady_clock::now();
      copies_ended(now);
      if (copying_ == 0 || now >= until) return;
      copies_.wakeup().wait(-1, false, false,
                            omnibus::detail::smaller(until, copies_.next_retry()));
      (void)copies_.wakeup().take();
    }
  }

  // ── commits ────────────────────────────────────────────────────────────────────────────────────

  /// What is done and not committed.
  Offsets uncommitted() {
    Offsets offsets = new_offsets();
    for (Partition& each : partitions_) {
      if (!each.has_news()) continue;
      each.committing = each.progress.finished();
      auto& added = *rd_kafka_topic_partition_list_add(offsets.get(), each.topic->c_str(), each.number);
      added.offset = each.progress.committable();
      if (!each.plain) set_metadata(added, each.progress.marks().text());
    }
    return offsets;
  }

  void commit(Instant now) {
    if (reading_.spec.group.empty() || now < next_commit_) return;
    next_commit_ = now + reading_.commit_interval;
    if (committing_) return;
    const Offsets offsets = uncommitted();
    if (offsets->cnt == 0) return;
    committing_ = client_->commit(*offsets);
  }

  /// Returns false when the broker has not confirmed all by then.
  bool commit_and_wait(Instant until) {
    for (int attempt = 0; attempt < 2; ++attempt) {  // the second without marks, where it takes none
      const Offsets offsets = uncommitted();
      if (offsets->cnt == 0) return true;
      const Event answer = client_->commit(*offsets, until);
      const auto* answers = answer ? rd_kafka_event_topic_partition_list(answer.get()) : nullptr;
      if (answers == nullptr) return false;
      note_committed(rd_kafka_event_error(answer.get()), *answers);
    }
    return uncommitted()->cnt == 0;
  }

  /// Sleeps until something happens.
  void rest(Instant now, Instant until) {
    using omnibus::detail::smaller;
    if (more_ && intake_->room() > 0 && backlog_.empty()) return;
    until = smaller(until, smaller(copies_.next_retry(), next_due_));
    until = smaller(until, smaller(declare_again_, rejoin_));
    if (sick_ || suspicions_ > 0) until = smaller(until, probe_);
    if (!client_) until = smaller(until, open_again_);
    if (client_ && reading_.spec.group.empty()) until = smaller(until, read_again_);
    // Who does not poll for max.poll.interval.ms, at least six seconds, is put out of the group.
    if (client_) until = smaller(until, now + std::chrono::seconds{1});
    if (client_ && !reading_.spec.group.empty() && next_commit_ > now && needs_commit()) {
      until = smaller(until, next_commit_);
    }
    copies_.wakeup().wait(client_ ? client_->fd() : -1, true, false, until);
    if (client_) client_->woken();
  }

  bool needs_commit() const noexcept {
    for (const Partition& each : partitions_) {
      if (each.has_news()) return true;
    }
    return false;
  }

  const Settings settings_;
  const Reading reading_;
  Publisher& publisher_;
  Callbacks& logs_;
  std::vector<std::string> later_topics_;
  omnibus::detail::Copies<Held> copies_;
  std::vector<std::unique_ptr<GroupClient>> retired_;
  std::unique_ptr<GroupClient> client_;
  std::list<Partition> partitions_;
  HeldPool held_;
  std::vector<Held*> backlog_;  // taken, when there was no room any more
  std::string envelope_;
  std::string last_broker_;  // what was last said of one
  Intake* intake_ = nullptr;  // while polled
  std::size_t delivered_ = 0;
  std::size_t copying_ = 0;
  std::int32_t stride_ = 64;
  bool more_ = false;        // there may be more records
  bool registered_ = false;
  bool assigned_ = false;
  bool committing_ = false;
  bool sick_ = false;
  int suspicions_ = 0;  // so many looks more for a broker, before it is said that there is none
  bool fatal_ = false;
  Instant open_again_ = Instant::min();
  Instant declare_again_ = Instant::max();
  Instant rejoin_ = Instant::max();
  Instant read_again_ = Instant::max();
  Instant probe_ = Instant::max();
  Instant next_due_ = Instant::max();
  Instant next_commit_ = Instant::min();
  Instant next_gap_ = Instant::min();
};

}  // namespace omnibus::kafka
