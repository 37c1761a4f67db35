// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include <omnibus/backend.hpp>
#include <omnibus/backends/sqlite/feed.hpp>
#include <omnibus/backends/sqlite/publisher.hpp>
#include <omnibus/backends/sqlite/shards.hpp>
#include <omnibus/detail/smaller.hpp>
#include <omnibus/detail/wakeup.hpp>

// One subscription: a member of a group, or a reader of its own. It reads by itself; what it has to write it
// asks the writing thread for, one turn at a time, and goes on meanwhile.

namespace omnibus::sqlite {

/// Thread safety: one thread, the dispatcher's, but for `wake`.
class Consumer {
 public:
  Consumer(std::shared_ptr<Publisher> publisher, Plan plan)
      : publisher_{std::move(publisher)},
        settings_{publisher_->settings()},
        plan_{std::make_shared<const Plan>(std::move(plan))} {}
  ~Consumer() { (void)close(Instant::min()); }
  Consumer(const Consumer&) = delete;

  void poll(Intake& intake, Instant until) {
    start();
    while (true) {
      (void)bell_->take();  // before looking: news that come while looking ring
      const Instant now = std::chrono::steady_clock::now();
      hear(intake, now);
      if (!plan_->reads_only && shards_.any_owned() && now >= lease_until_) lose_all(intake, now);
      shards_.go_on_draining(intake);
      bool full = true;
      const bool any = joined_ && read(intake, now, full);
      ask(now);
      if (any || woken_.exchange(false) || now >= until) return;
      bell_->wait(-1, false, false, detail::smaller(until, next_due(now, full)));
    }
  }

  void settle(std::span<const Settlement> settlements) {
    if (left_) return;
    if (shards_.settled() == 0) flush_ = std::chrono::steady_clock::now() + flush_every;
    const std::int64_t now = wall_us();
    for (const Settlement& each : settlements) shards_.settle(each, now);
  }

  void wake() {
    woken_.store(true);
    bell_->ring();
  }

  /// Errors: timed_out: the leases will end by themselves, and what is not settled comes again.
  Result<> close(Instant until) {
    if (std::exchange(left_, true) || !started_) return {};
    Writer& writer = publisher_->writer();
    writer.unwatch(bell_);
    const Result<> closed = plan_->reads_only ? Result<>{} : leave(writer, until);
    feed_.close();
    return closed;
  }

 private:
  static constexpr Duration flush_every = std::chrono::milliseconds{5};
  static constexpr Duration retry_after = std::chrono::milliseconds{200};
  static constexpr Duration every = std::chrono::seconds{1};
  static constexpr std::size_t many = 256;  ///< settlements that are worth a turn

  void start() {
    if (std::exchange(started_, true)) return;
    publisher_->writer().watch(bell_);
  }

  // ── answers ────────────────────────────────────────────────────────────────────────────────────

  void hear(Intake& intake, Instant now) {
    if (posted_ && turn_->finished.load()) hear_turn(&intake, now);
  }

  void hear_turn(Intake* intake, Instant now) {
    posted_ = false;
    if (!turn_->result) {
      unheard_ = true;  // it goes again, as it is
      retry_ = now + retry_after;
      return failed(intake, turn_->result.error());
    }
    unheard_ = false;
    if (turn_->join) joined(intake);
    if (turn_->tend) {
      lease_until_ = posted_at_ + std::chrono::microseconds{settings_.lease_us};
      members_ = turn_->members;
      waits_ = turn_->waits;
    }
    for (const ShareChange& each : turn_->shares) {
      const auto index = static_cast<std::size_t>(each.shard);
      if (each.lost) tend_ = now;
      if (each.lost || each.give_up) {
        shards_.forget(index, intake);
      } else if (shards_.all()[index].fence == each.fence) {
        shards_.all()[index].window.heard(each.seen);
      }
    }
    for (const ShareRow& row : turn_->taken) shards_.take(row);
    for (const std::int32_t shard : turn_->give_up) shards_.drain(static_cast<std::size_t>(shard), true);
    if (read_again_ <= now) well(intake);
  }

  void joined(Intake* intake) {
    joined_ = true;
    place_ = turn_->place;
    feed_.place(place_);
    shards_.all().resize(static_cast<std::size_t>(place_.shards));
    if (!turn_->start_lost) return;
    report_lost(intake, "the file no longer holds the start; it begins later");
  }

  void report_lost(Intake* intake, std::string what) {
    if (intake == nullptr) return;
    const Error lost = Error::make(Errc::position_lost, "consume " + plan_->topic, std::move(what));
    intake->report(&lost);
    intake->report(nullptr);
  }
  void failed(Intake* intake, const Error& problem) {
    well_ = false;
    if (intake != nullptr) intake->report(&problem);
  }
  void well(Intake* intake) {
    if (intake == nullptr || std::exchange(well_, true)) return;
    intake->report(nullptr);
  }
  /// The lease may have ended: others may have the shards by now.
  void lose_all(Intake& intake, Instant now) {
    shards_.forget_all(&intake);
    tend_ = now;
  }

  // ── reading ────────────────────────────────────────────────────────────────────────────────────

  /// Hands over what there is. Returns whether there was anything; `full`: there is no room for more.
  bool read(Intake& intake, Instant now, bool& full) {
    if (now < read_again_) return false;
    std::size_t delivered = 0;
    std::uint64_t missing = 0;
    Result<> done = feed_.open(settings_);
    if (done) done = look(now);
    full = intake.room() == 0;
    if (done && !full) done = feed_.read(intake, delivered, missing);
    if (missing > 0) {
      report_lost(&intake, std::to_string(missing) + " messages were removed before they were handled");
    }
    if (!done) {
      feed_.close();
      read_again_ = now + retry_after;
      failed(&intake, done.error());
    } else if (!unheard_) {
      well(&intake);
    }
    return delivered > 0;
  }

  /// Finds out whether others have written.
  Result<> look(Instant now) {
    Feed::News news;
    const bool all = waits_ && now >= ask_;  // leases end without anybody writing
    Result<> done = feed_.look(news, all);
    if (!done || (!news.any && !all)) return done;
    delayed_due_ = news.delayed_due;
    ask_ = now + std::chrono::milliseconds{50};
    if (!plan_->reads_only && (news.members != members_ || (waits_ && news.any_free))) tend_ = now;
    return done;
  }

  // ── asking ─────────────────────────────────────────────────────────────────────────────────────

  /// Posts a turn where there is something to write.
  void ask(Instant now) {
    if (posted_ || now < retry_) return;
    if (unheard_) return post(turn_, now);
    const bool member = !plan_->reads_only;
    const bool tends = member && now >= tend_;
    const bool moves = joined_ && delayed_due_ <= wall_us();
    const bool cares = member && joined_ && now >= care_ && (settings_.trim || settings_.shard_bound > 0);
    const bool settles = member && shards_.settled() > 0 && (now >= flush_ || shards_.settled() >= many);
    const bool any = !joined_ || tends || moves || cares || settles || (member && any_in_haste());
    if (!any) return;
    const std::shared_ptr<Turn> turn = new_turn();
    turn->join = !joined_;
    turn->tend = tends;
    turn->move = moves;
    turn->care = cares;
    for (std::size_t i = 0; member && i < shards_.all().size(); ++i) {
      Shard& shard = shards_.all()[i];
      if (shard.state == Shard::State::none) continue;
      const bool leaves = is_ready_to_leave(shard);
      if (leaves || tends || cares || shard.window.has_news() || shard.window.has_announcements()) {
        tell(*turn, i, leaves);
      }
      shard.leaving |= leaves;
    }
    shards_.told();
    if (tends) tend_ = now + detail::smaller<Duration>(every, std::chrono::microseconds{settings_.lease_us / 4});
    if (cares) care_ = now + every;
    if (moves) delayed_due_ = INT64_MAX;  // the next one is read when this is done
    post(turn, now);
  }
  void post(const std::shared_ptr<Turn>& turn, Instant now) {
    turn->finished.store(false);
    turn_ = turn;
    posted_ = true;
    posted_at_ = now;
    publisher_->writer().post(turn);
  }
  std::shared_ptr<Turn> new_turn() {
    auto turn = std::make_shared<Turn>();
    turn->plan = plan_;
    turn->asker = bell_;
    turn->place = place_;
    return turn;
  }
  void tell(Turn& turn, std::size_t index, bool gives_up) {
    Shard& shard = shards_.all()[index];
    ShareChange& change = turn.shares.emplace_back();
    change.shard = static_cast<std::int32_t>(index);
    change.fence = shard.fence;
    change.give_up = gives_up;
    shard.window.tell(change, gives_up);
  }
  static bool is_ready_to_leave(const Shard& shard) noexcept {
    return shard.state == Shard::State::draining && shard.give_up && shard.in_hand == 0 && !shard.leaving;
  }
  /// True when something cannot go on before the file knows of it.
  bool any_in_haste() const noexcept {
    bool any = false;
    for (const Shard& shard : shards_.all()) {
      any |= is_ready_to_leave(shard) ||
             (shard.state == Shard::State::active && shard.window.has_announcements());
    }
    return any;
  }

  Instant next_due(Instant now, bool full) const {
    Instant due = Instant::max();
    if (!posted_) {
      if (!joined_ || unheard_) return detail::larger(now, retry_);
      if (!plan_->reads_only) {
        due = detail::smaller(tend_, shards_.settled() > 0 ? flush_ : Instant::max());
      }
      if (delayed_due_ != INT64_MAX) due = detail::smaller(due, instant_of(delayed_due_, wall_us(), now));
      due = detail::larger(due, retry_);
    }
    if (!joined_) return due;
    due = detail::smaller(due, now + settings_.look_every);
    if (full) return due;
    for (const Shard& shard : shards_.all()) {
      if (shard.state != Shard::State::active) continue;
      const std::int64_t next = shard.window.next_due();
      if (next != INT64_MAX) due = detail::smaller(due, instant_of(next, wall_us(), now));
    }
    return detail::larger(due, read_again_);
  }

  /// Tells the file what is settled, and gives up what is ours, also what a turn that only joins has taken.
  Result<> leave(Writer& writer, Instant until) {
    if (posted_ && wait_for(*turn_, until)) hear_turn(nullptr, std::chrono::steady_clock::now());
    if (posted_) return not_written();
    if (!joined_) return {};
    const auto last = new_turn();
    last->leave = true;
    if (unheard_) last->shares = std::move(turn_->shares);  // what failed goes first
    for (std::size_t i = 0; i < shards_.all().size(); ++i) {
      Shard& shard = shards_.all()[i];
      if (shard.state == Shard::State::none) continue;
      shard.window.abandon();
      tell(*last, i, true);
    }
    writer.post(last);
    return wait_for(*last, until) ? last->result : not_written();
  }
  static Result<> not_written() {
    return Error::make(Errc::timed_out, "close", "what was settled could not be written in time");
  }

  /// Waits for the writing thread to finish a turn, until a moment of the machine's clock.
  bool wait_for(const Turn& turn, Instant until) {
    while (!turn.finished.load() && std::chrono::steady_clock::now() < until) {
      bell_->wait(-1, false, false, until);
      (void)bell_->take();
    }
    return turn.finished.load();
  }

  const std::shared_ptr<Publisher> publisher_;
  const Settings& settings_;
  const std::shared_ptr<const Plan> plan_;
  const std::shared_ptr<detail::Wakeup> bell_ = std::make_shared<detail::Wakeup>();
  std::atomic<bool> woken_{false};

  Shards shards_{plan_};
  Feed feed_{shards_, plan_};
  Place place_;
  std::shared_ptr<Turn> turn_;
  bool started_ = false;
  bool posted_ = false;      // the turn is the writing thread's
  bool unheard_ = false;     // it failed and has to go again
  bool joined_ = false;
  bool well_ = false;        // nothing is wrong, and the intake knows it
  bool waits_ = false;       // others have to give up what is to be ours
  bool left_ = false;
  std::int64_t members_ = 0;
  std::int64_t delayed_due_ = INT64_MAX;
  Instant posted_at_{};
  Instant lease_until_ = Instant::max();
  Instant retry_ = Instant::min();
  Instant read_again_ = Instant::min();
  Instant tend_ = Instant::min();
  Instant care_ = Instant::min();
  Instant flush_ = Instant::min();
  Instant ask_ = Instant::min();
};

}  // namespace omnibus::sqlite
