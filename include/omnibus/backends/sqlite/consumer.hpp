// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include <omnibus/backend.hpp>
#include <omnibus/backends/sqlite/publisher.hpp>
#include <omnibus/backends/sqlite/reading.hpp>
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
    Result<> closed;
    if (!plan_->reads_only && joined_) {
      if (posted_ && wait_for(*turn_, until)) hear_turn(nullptr, std::chrono::steady_clock::now());
      if (!posted_) {
        const auto last = new_turn();
        last->leave = true;
        if (unheard_) last->shares = std::move(turn_->shares);
        for (std::size_t i = 0; i < shards_.all().size(); ++i) {
          Shard& shard = shards_.all()[i];
          if (shard.state == Shard::State::none) continue;
          shard.window.abandon();
          tell(*last, i, true);
        }
        writer.post(last);
        if (!wait_for(*last, until)) {
          closed = Error::make(Errc::timed_out, "close", "what is settled could not be written in time");
        } else {
          closed = last->result;
        }
      }
    }
    reading_.close();
    return closed;
  }

 private:
  static constexpr Duration flush_every = std::chrono::milliseconds{5};
  static constexpr Duration seen_every = std::chrono::milliseconds{100};
  static constexpr Duration retry_after = std::chrono::milliseconds{200};
  static constexpr Duration every = std::chrono::seconds{1};
  static constexpr std::size_t many = 256;         ///< settlements that are worth a turn
  static constexpr std::size_t most_left = 100'000;  ///< of a shard, before no more of it is read

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
      return failed(intake, turn_->result.error(), now);
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
      if (each.lost || each.give_up) shards_.forget(index, intake);
    }
    for (const ShareRow& row : turn_->taken) {
      shards_.take(row);
      unread_left_ = true;
    }
    for (const std::int32_t shard : turn_->give_up) shards_.drain(static_cast<std::size_t>(shard), true);
    well(intake);
  }

  void joined(Intake* intake) {
    joined_ = true;
    place_ = turn_->place;
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
  void failed(Intake* intake, const Error& problem, Instant now) {
    retry_ = now + retry_after;
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
    Result<> done = reading_.is_open() ? Result<>{} : reading_.open(settings_);
    if (done) done = look(now);
    if (done && unread_left_) done = read_left();
    full = intake.room() == 0;
    if (done && !full && anything_to_read()) done = read_shards(intake, delivered);
    if (!done) {
      reading_.close();
      read_again_ = now + retry_after;
      failed(&intake, done.error(), now);
    } else if (read_again_ != Instant::min() && !unheard_) {
      read_again_ = Instant::min();
      well(&intake);
    }
    return delivered > 0;
  }

  /// Finds out whether others have written.
  Result<> look(Instant now) {
    bool news = false;
    Result<> done = reading_.look(news);
    if (!done || (!news && !(waits_ && now >= ask_))) return done;
    for (Shard& shard : shards_.all()) shard.more = true;
    done = reading_.next_due(delayed_due_);
    if (!done || plan_->reads_only) return done;
    ask_ = now + std::chrono::milliseconds{50};  // leases end without anybody writing
    std::int64_t members = 0;
    bool any_free = false;
    done = reading_.members(place_.group, wall_us(), members, any_free);
    if (members != members_ || (waits_ && any_free)) tend_ = now;
    return done;
  }

  Result<> read_left() {
    if (place_.group == 0) return unread_left_ = false, Result<>{};
    for (std::size_t i = 0; i < shards_.all().size(); ++i) {
      Shard& shard = shards_.all()[i];
      if (shard.state == Shard::State::none || shard.knows_left) continue;
      Result<> done = reading_.left(
          place_.group, partition(i), [&](std::uint64_t position, std::int64_t due, std::uint32_t attempts) {
            shard.window.add_left(position, plan_->reads_only ? 0 : due, attempts);
          });
      if (!done) return done;
      shard.knows_left = true;
    }
    unread_left_ = false;
    return {};
  }

  bool anything_to_read() const {
    const std::int64_t now = wall_us();
    for (const Shard& shard : shards_.all()) {
      if (shard.state == Shard::State::active && (reads_log(shard) || shard.window.next_due() <= now)) return true;
    }
    return false;
  }
  bool reads_log(const Shard& shard) const {
    return shard.more && (plan_->picks || plan_->reads_only || shard.window.left() < most_left);
  }

  Result<> read_shards(Intake& intake, std::size_t& delivered) {
    Result<> done = reading_.begin();
    const std::int64_t now = wall_us();
    std::size_t active = 0;
    for (const Shard& shard : shards_.all()) active += shard.state == Shard::State::active && shard.more ? 1 : 0;
    const std::size_t quota = intake.room() / (active + 1) + 1;
    const std::size_t count = shards_.all().size();
    for (std::size_t i = 0; done && i < count && intake.room() > 0; ++i) {
      done = read_shard((first_read_ + i) % count, quota, now, intake, delivered);
    }
    ++first_read_;
    reading_.end();
    return done;
  }

  Result<> read_shard(std::size_t index, std::size_t quota, std::int64_t now, Intake& intake,
                      std::size_t& delivered) {
    Shard& shard = shards_.all()[index];
    if (shard.state != Shard::State::active) return {};
    Window::Due due;
    while (intake.room() > 0 && shard.window.take_due(now, due)) {
      bool found = false;
      Result<> done = reading_.at(partition(index), due.position, [&](const MessageView& message) {
        shards_.deliver(index, due.position, due.attempts, message, intake);
        found = true;
        ++delivered;
      });
      if (!done) return done;
      if (found) continue;
      shard.window.done(due.position);
      report_lost(&intake, "a message was removed before it came again");
    }
    const std::size_t wanted = detail::smaller(quota, intake.room());
    if (wanted == 0 || !reads_log(shard)) return {};
    std::size_t rows = 0;
    std::uint64_t missing = 0;
    Result<> done = reading_.from(
        partition(index), shard.window.next(), wanted, [&](std::uint64_t position, const MessageView& message) {
          ++rows;
          if (position > shard.window.next()) missing += shard.window.skip_to(position);
          std::uint32_t attempts = 0;
          if (shard.window.pass(now, attempts) == Window::Step::skip) return true;
          shards_.deliver(index, position, attempts, message, intake);
          ++delivered;
          return true;
        });
    shard.more = rows == wanted;
    if (missing > 0) {
      report_lost(&intake, std::to_string(missing) + " messages were removed before they were read");
    }
    return done;
  }

  std::int64_t partition(std::size_t shard) const noexcept {
    return place_.first + static_cast<std::int64_t>(shard);
  }

  // ── asking ─────────────────────────────────────────────────────────────────────────────────────

  /// Posts a turn where there is something to write.
  void ask(Instant now) {
    if (posted_ || now < retry_) return;
    if (unheard_) return post(turn_, now);
    const bool member = !plan_->reads_only;
    const bool tends = member && joined_ && now >= tend_;
    const bool moves = joined_ && delayed_due_ <= wall_us();
    const bool cares = member && joined_ && now >= care_ && (settings_.trim || settings_.shard_bound > 0);
    const bool settles = member && shards_.settled() > 0 && (now >= flush_ || shards_.settled() >= many);
    const bool sees = member && now >= see_;
    bool any = !joined_ || tends || moves || cares || settles;
    if (!any && !sees && !ready_to_leave()) return;
    const std::shared_ptr<Turn> turn = new_turn();
    turn->join = !joined_;
    turn->tend = tends;
    turn->move = moves;
    turn->care = cares;
    for (std::size_t i = 0; member && i < shards_.all().size(); ++i) {
      Shard& shard = shards_.all()[i];
      if (shard.state == Shard::State::none) continue;
      const bool leaves = is_ready_to_leave(shard);
      if (leaves || tends || cares || shard.window.has_news() || shard.window.has_unwritten_seen()) {
        tell(*turn, i, leaves);
      }
      shard.leaving |= leaves;
    }
    any |= !turn->shares.empty();
    if (member) shards_.told();
    see_ = now + seen_every;
    if (tends) tend_ = now + detail::smaller<Duration>(every, std::chrono::microseconds{settings_.lease_us / 4});
    if (cares) care_ = now + every;
    if (moves) delayed_due_ = INT64_MAX;  // the next one is read when this is done
    if (any) post(turn, now);
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
  bool ready_to_leave() {
    bool any = false;
    for (const Shard& shard : shards_.all()) any |= is_ready_to_leave(shard);
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

  Reading reading_;
  Shards shards_{plan_};
  Place place_;
  std::shared_ptr<Turn> turn_;
  bool started_ = false;
  bool posted_ = false;      // the turn is the writing thread's
  bool unheard_ = false;     // it failed and has to go again
  bool joined_ = false;
  bool well_ = false;        // nothing is wrong, and the intake knows it
  bool unread_left_ = false;
  bool waits_ = false;       // others have to give up what is to be ours
  bool left_ = false;
  std::int64_t members_ = 0;
  std::int64_t delayed_due_ = INT64_MAX;
  std::size_t first_read_ = 0;
  Instant posted_at_{};
  Instant lease_until_ = Instant::max();
  Instant retry_ = Instant::min();
  Instant read_again_ = Instant::min();
  Instant tend_ = Instant::min();
  Instant care_ = Instant::min();
  Instant flush_ = Instant::min();
  Instant see_ = Instant::min();
  Instant ask_ = Instant::min();
};

}  // namespace omnibus::sqlite
