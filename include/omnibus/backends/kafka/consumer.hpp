// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <omnibus/backend.hpp>
#include <omnibus/backends/kafka/assignment.hpp>
#include <omnibus/backends/kafka/commits.hpp>
#include <omnibus/backends/kafka/feed.hpp>
#include <omnibus/backends/kafka/group_client.hpp>
#include <omnibus/backends/kafka/later.hpp>
#include <omnibus/backends/kafka/publisher.hpp>
#include <omnibus/backends/kafka/sight.hpp>
#include <omnibus/backends/kafka/starts.hpp>
#include <omnibus/backends/kafka/transactions.hpp>
#include <omnibus/backoff.hpp>
#include <omnibus/detail/smaller.hpp>

// One subscription: the dispatcher's thread polls librdkafka, joins the group, takes what is assigned and
// gives back what is taken away, and commits what is done.

namespace omnibus::kafka {

/// Thread safety: one thread, the dispatcher's, but for `wake`.
class Consumer final : private Callbacks {
 public:
  /// `publisher` and `logs` must outlive it.
  Consumer(Settings settings, Reading reading, Publisher& publisher, Callbacks& logs)
      : settings_{std::move(settings)},
        reading_{std::move(reading)},
        logs_{logs},
        assignment_{reading_.spec.topic},
        feed_{assignment_, reading_.spec},
        later_{publisher, assignment_.topics(), reading_.plan, reading_.spec.group},
        commits_{assignment_, reading_.commit_interval} {}
  ~Consumer() { retire_queues(); }
  Consumer(const Consumer&) = delete;

  void poll(Intake& intake, Instant until) {
    intake_ = &intake;
    delivered_ = 0;
    while (true) {
      const bool woken = later_.wakeup().take();
      const Instant now = std::chrono::steady_clock::now();
      if (!client_) open(now);
      if (client_) serve(now);
      if (delivered_ > 0 || woken || now >= until) break;
      rest(now, until);
    }
    intake_ = nullptr;
  }

  void settle(std::span<const Settlement> settlements) {
    ended_.clear();
    for (const Settlement& each : settlements) {
      Held& held = *reinterpret_cast<Held*>(each.token);
      if (each.outputs != nullptr && transactions_ && held.partition->assigned) {
        transactions_->add(held, *each.outputs);
      }
      if (each.kind == Settlement::Kind::later && held.partition->assigned) {
        later_.send(held, each.delay, each.attempts);
      } else {
        ended_.push_back({reinterpret_cast<std::uintptr_t>(held.raw), &held, each.kind == Settlement::Kind::done});
      }
    }
    // Lanes end them in no order; freed as they stand in memory, they cost the allocator less.
    std::sort(ended_.begin(), ended_.end(),
              [](const Ended& a, const Ended& b) { return a.address < b.address; });
    for (const Ended& each : ended_) assignment_.finish(*each.held, each.done);
  }

  void wake() { later_.wakeup().ring(); }

  Result<> close(Instant until) {
    if (!client_) return {};
    await_copies(until);
    const bool committed = reading_.alone() || commit_and_wait(until);
    if (transactions_) transactions_->close(until);
    retire_queues();
    const bool left = client_->close(until);
    if (committed && left) return {};
    return Error::make(Errc::timed_out, "close " + reading_.spec.topic,
                       "the broker did not confirm the end; what was handled last may come again");
  }

 private:
  struct Ended {
    std::uintptr_t address;  // of the record
    Held* held;
    bool done;
  };

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
    declare();
  }

  void declare() {
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
    if (reading_.alone()) return void(read_again_ = Instant::min());
    if (reading_.spec.transactional && !is_decided()) return;
    const Result<> joined = client_->subscribe(assignment_.topics());
    if (!joined) tell(joined.error());
  }

  /// What a group has committed is looked up when no transaction of ours can change it: else it joins later.
  bool is_decided() {
    if (!transactions_) transactions_.emplace(assignment_, settings_, reading_.transactor(), logs_, later_.wakeup());
    if (transactions_->is_decided()) return true;
    const auto problem = transactions_->problem();
    if (problem) tell(*problem);
    rejoin_ = std::chrono::steady_clock::now() + std::chrono::milliseconds{problem ? 1000 : 20};
    return false;
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
    sight_.clear();
    if (intake_ != nullptr) intake_->report(nullptr);
  }

  // ── what librdkafka calls, from `GroupClient::poll` ────────────────────────────────────────────

  void log(int level, std::string_view line) noexcept override { logs_.log(level, line); }

  void failed(rd_kafka_resp_err_t code, std::string_view why) noexcept override {
    if (code == RD_KAFKA_RESP_ERR__FATAL) return void(fatal_ = true);
    if (const auto problem = sight_.add(code, why, std::chrono::steady_clock::now())) tell(*problem);
  }

  void rebalance(rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t& list) noexcept override {
    if (code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
      const Result<> resolved = intake_ == nullptr
                                    ? Result<>{Error::make(Errc::closed, "")}
                                    : resolve_starts(client_->get(), list, starts(), 5000);
      if (!resolved) {
        client_->assign_nothing();
        constexpr Backoff pause{std::chrono::milliseconds{500}, std::chrono::seconds{10}, 2.0, false};
        rejoin_ = std::chrono::steady_clock::now() + backoff(pause, ++refusals_, 0);  // it disturbs the whole group
        return tell(resolved.error());
      }
      take_on(list);
      if (const Result<> done = client_->assign(list); !done) return tell(done.error());
      assigned_ = true;
      refusals_ = 0;
      well();
    } else {
      give_up(list, !client_->assignment_lost());
      client_->unassign(list);
    }
  }

  void committed(rd_kafka_resp_err_t all, const rd_kafka_topic_partition_list_t* list) noexcept override {
    commits_.ended(all, list);
  }

  void retire_queues() {
    if (!client_) return;
    for (Partition& each : assignment_) client_->retire(each.queue);
  }
  /// Where reading begins that has no position. What is made again is read from its beginning.
  SubscriptionSpec starts() const {
    SubscriptionSpec spec = reading_.spec;
    if (assignment_.remade()) spec.start = {};
    return spec;
  }
  void take_on(const rd_kafka_topic_partition_list_t& list) {
    client_->empty_retired();
    assignment_.add(list, [this](const rd_kafka_topic_partition_t& what) { return client_->detach(what); });
  }

  /// Partitions are taken away: what has not started is given back, what runs may end, and what is done
  /// is committed, unless others have them already.
  void give_up(const rd_kafka_topic_partition_list_t& list, bool still_ours) {
    if (intake_ == nullptr) return;
    std::vector<Partition*> leaving;
    for (int i = 0; i < list.cnt; ++i) {
      if (Partition* partition = assignment_.find(list.elems[i])) leaving.push_back(partition);
    }
    for (Partition* each : leaving) {
      client_->retire(each->queue);
      feed_.drop(*each);
      (void)intake_->revoke(each->id, Instant::min());
    }
    if (still_ours) {
      const Instant until = after(std::chrono::steady_clock::now(), reading_.drain_timeout);
      for (Partition* each : leaving) (void)intake_->revoke(each->id, until);
      await_copies(until);
      (void)commit_and_wait(std::chrono::steady_clock::now() + std::chrono::seconds{5});
    }
    for (Partition* each : leaving) assignment_.remove(*each);
  }

  // ── a turn ─────────────────────────────────────────────────────────────────────────────────────

  void serve(Instant now) {
    later_.turn(now, [this](Held& held, bool done) { assignment_.finish(held, done); });
    if (!assignment_.has_leavers()) retired_.clear();
    client_->poll([this, now](const rd_kafka_message_t& problem) { note_problem(problem, now); });
    if (fatal_) return start_over(now);
    if (const auto result = client_->created()) declared(*result, now);
    if (now >= declare_again_) {
      declare_again_ = Instant::max();
      declare();
    }
    if (now >= rejoin_) {
      rejoin_ = Instant::max();
      join();
    }
    if (reading_.alone() && now >= read_again_) read_all(now);
    if (now >= sight_.next()) look(now);
    const auto noted = [this, now](const rd_kafka_message_t& problem) { note_problem(problem, now); };
    if (takes_more()) delivered_ += feed_.turn(*intake_, *client_, noted);
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

  void look(Instant now) {
    const bool found = client_->reachable(reading_.spec.topic);
    if (const auto problem = sight_.looked(found, now)) tell(*problem);
    if (found && assigned_) well();
  }

  void let_go() {
    for (Partition* each : assignment_.all_ours()) {
      client_->retire(each->queue);
      feed_.drop(*each);
      (void)intake_->revoke(each->id, Instant::min());
      assignment_.remove(*each);
    }
    assigned_ = false;
  }
  /// Nobody knows what is committed: everything anew from there, once it is known.
  void leave(const Error& why) {
    tell(why);
    let_go();
    client_->unsubscribe();
    rejoin_ = Instant::min();
  }
  /// librdkafka says that this client is done with: everything anew, with another.
  void start_over(Instant now) {
    tell(client_->fatal_problem());
    let_go();
    retired_.push_back(std::move(client_));
    fatal_ = false;
    commits_.forget();
    open_again_ = now + std::chrono::seconds{2};
  }

  /// A reader without a group takes all partitions there are, and looks for more now and then.
  void read_all(Instant now) {
    read_again_ = now + std::chrono::seconds{1};
    const Result<Offsets> all = client_->all_partitions(assignment_.topics());
    if (!all) {
      if (!assigned_) tell(all.error());
      return;
    }
    const Offsets added = new_offsets();
    for (int i = 0; i < (*all)->cnt; ++i) {
      const auto& each = (*all)->elems[i];
      if (assignment_.find(each) != nullptr) continue;
      rd_kafka_topic_partition_list_add(added.get(), each.topic, each.partition);
    }
    if (added->cnt == 0) return;
    if (const Result<> set = resolve_starts(client_->get(), *added, reading_.spec, 2000); !set) {
      return tell(set.error());
    }
    take_on(*added);
    const Offsets whole = assignment_.all_again(**all, *added);
    if (const Result<> done = client_->assign_all(*whole); !done) return tell(done.error());
    assigned_ = true;
    well();
  }

  // ── copies and commits ─────────────────────────────────────────────────────────────────────────

  /// Waits for the confirms of copies, whose originals are then done.
  void await_copies(Instant until) {
    later_.await(until, [this](Held& held, bool done) { assignment_.finish(held, done); });
  }

  /// Commits what is done, by itself or with what was published for it.
  void commit(Instant now) {
    if (reading_.alone()) return;
    std::optional<Error> lost;
    const auto ill = [this](const Error& error) { tell(error); };
    if (transactions_) lost = transactions_->turn(*client_, now, ill, [this] { well(); });
    if (!transactions_) commits_.turn(*client_, now, sight_.is_lost());
    if (!lost) lost = assignment_.problem();
    if (lost) leave(*lost);
  }

  /// Returns false when the broker has not confirmed all by then.
  bool commit_and_wait(Instant until) {
    if (transactions_) return transactions_->finish(*client_, until);
    return commits_.finish(*client_, until, sight_.is_lost());
  }

  bool takes_more() const { return !transactions_ || !transactions_->full(); }

  /// Sleeps until something happens.
  void rest(Instant now, Instant until) {
    using omnibus::detail::smaller;
    const bool takes = takes_more();
    if (takes && feed_.more() && intake_->room() > 0) return;
    until = smaller(until, smaller(later_.next_retry(), takes ? feed_.next_due() : Instant::max()));
    until = smaller(until, smaller(sight_.next(), smaller(declare_again_, rejoin_)));
    if (!client_) until = smaller(until, open_again_);
    if (client_ && reading_.alone()) until = smaller(until, read_again_);
    // Who does not poll for max.poll.interval.ms, at least six seconds, is put out of the group.
    if (client_) until = smaller(until, now + std::chrono::seconds{1});
    if (client_ && !reading_.alone()) {
      until = smaller(until, transactions_ ? transactions_->next() : commits_.next(now));
    }
    later_.wakeup().wait(client_ ? client_->fd() : -1, true, false, until);
    if (client_) client_->woken();
  }

  const Settings settings_;
  const Reading reading_;
  Callbacks& logs_;
  std::vector<std::unique_ptr<GroupClient>> retired_;  // while records of theirs are unsettled
  std::unique_ptr<GroupClient> client_;
  Assignment assignment_;  // records go before their client
  Feed feed_;
  std::vector<Ended> ended_;  // during `settle`
  Later later_;
  Commits commits_;
  std::optional<Transactions> transactions_;  // in the place of commits
  Intake* intake_ = nullptr;  // while polled
  std::size_t delivered_ = 0;
  bool registered_ = false;
  bool assigned_ = false;
  std::uint32_t refusals_ = 0;  // assignments in a row that could not be taken
  Sight sight_;
  bool fatal_ = false;
  Instant open_again_ = Instant::min();
  Instant declare_again_ = Instant::max();
  Instant rejoin_ = Instant::max();
  Instant read_again_ = Instant::max();
};

}  // namespace omnibus::kafka
