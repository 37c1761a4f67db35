// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <omnibus/backend.hpp>
#include <omnibus/backends/redis/bell.hpp>
#include <omnibus/backends/redis/connection.hpp>
#include <omnibus/backends/redis/gatherer.hpp>
#include <omnibus/backends/redis/merge.hpp>
#include <omnibus/backends/redis/shard.hpp>
#include <omnibus/backends/redis/turn.hpp>
#include <omnibus/detail/pace.hpp>
#include <omnibus/detail/smaller.hpp>
#include <omnibus/detail/uuid.hpp>
#include <omnibus/detail/wakeup.hpp>

// A member of a group: it owns some of the topic's shards for as long as it renews its lease, reads them,
// acknowledges what is done, and hands shards over when members join. It is another member with each
// connection, so that what an old connection still has under way at the server is fenced off.

namespace omnibus::redis {

/// What a member does beside reading.
struct GroupPlan {
  std::string topic;
  Group group;
  ForeignFields foreign{};
  std::size_t largest_entry = 0;
  bool trim = false;  ///< remove what every group has finished
};

/// Thread safety: one thread, the dispatcher's, but for `wake`.
class GroupConsumer final : private Arrivals, private TurnEvents {
 public:
  GroupConsumer(const ConnectOptions& connect, GroupPlan plan)
      : plan_{std::move(plan)},
        shards_{make_shards(plan_.group)},
        gatherer_{pool_, *this, plan_.foreign, plan_.largest_entry},
        turn_{plan_.group, shards_, gatherer_, *this},
        dialer_{connect, [this] { wakeup_.ring(); }},
        bell_{connect, [this] { wakeup_.ring(); }} {}
  GroupConsumer(const GroupConsumer&) = delete;

  void poll(Intake& intake, Instant until) {
    intake_ = &intake;
    delivered_ = 0;
    while (true) {
      const bool woken = wakeup_.take();
      now_ = std::chrono::steady_clock::now();
      if (!connection_) connect();
      if (connection_) serve();
      if (delivered_ > 0 || woken || now_ >= until) break;
      rest(until);
    }
    intake_ = nullptr;
  }

  void settle(std::span<const Settlement> settlements) {
    for (const Settlement& each : settlements) {
      Held& held = *reinterpret_cast<Held*>(each.token);
      Shard& shard = shards_[held.shard];
      if (held.generation == shard.generation()) shard.settle(held.entry.id(), each);
      pool_.give_back(held);
    }
  }

  void wake() { wakeup_.ring(); }

  Result<> close(Instant until) {
    if (!connection_) return {};
    (void)finish_turn(until);
    for (std::size_t i = 0; i < shards_.size(); ++i) {
      Shard& shard = shards_[i];
      if (!shard.ours() || shard.state() == Shard::State::giving) continue;
      drop_waiting(i);
      shard.postponed(false);
      if (!shard.later.empty()) turn_.postpone(connection_->out(), i);
      turn_.give(connection_->out(), i);
    }
    turn_.leave(connection_->out(), member_);
    if (finish_turn(until)) return {};
    return Error::make(
        Errc::timed_out, "close " + plan_.topic,
        "the server did not confirm the end; what was handled last may come again");
  }

 private:
  static constexpr auto flush_every = std::chrono::milliseconds{10};
  static constexpr auto retry_after = std::chrono::milliseconds{500};
  static constexpr auto trim_every = std::chrono::seconds{5};
  static constexpr auto look_every = std::chrono::seconds{1};
  static constexpr std::size_t many = 64;     ///< acknowledgements that are worth a turn
  static constexpr std::size_t at_once = 256;  ///< entries of a shard

  static std::vector<Shard> make_shards(const Group& group) {
    std::vector<Shard> shards;
    for (std::size_t i = 0; i < group.keys.streams.size(); ++i) {
      shards.emplace_back(group.keys.streams[i], group.keys.later(i, group.name));
    }
    return shards;
  }

  /// Sends what is unsent and waits for the answers. False when they did not come by this moment.
  bool finish_turn(Instant until) {
    while (connection_->send()) {
      now_ = std::chrono::steady_clock::now();
      if (!connection_->receive(turn_, now_) || connection_->lost()) return false;
      if (turn_.over()) return true;
      if (now_ >= until) return false;
      wakeup_.wait(connection_->fd(), true, connection_->unsent() > 0, until);
      (void)wakeup_.take();
    }
    return false;
  }

  // ── the connection's life ──────────────────────────────────────────────────────────────────────

  void connect() {
    auto outcome = dialer_.dial(now_);
    if (!outcome) return;
    if (!*outcome) return tell(outcome->error());
    connection_ = std::move(*outcome).value();
    turn_.reset();
    if (previous_.size() < 4096) previous_.append(member_).append(" ");
    member_ = new_member();
    joined_ = watched_ = registered_ = false;
    tend_at_ = Instant::min();
    retry_at_ = Instant::min();
  }

  static std::string new_member() {
    static omnibus::detail::UuidGenerator generator;
    const auto text = generator.next(std::chrono::system_clock::now());
    return {text.data(), text.size()};
  }

  void tell(const Error& problem) {
    registered_ = false;
    if (intake_ == nullptr) return;
    Error told = problem;
    told.operation = "subscribe " + plan_.topic;
    if (!problem.operation.empty()) told.context = problem.operation + ": " + problem.context;
    intake_->report(&told);
  }

  void lose() {
    const Error problem = connection_->problem();
    const auto partial = gatherer_.abandon();
    connection_.reset();
    turn_.reset();
    merge_.take([this](Held& held) { pool_.give_back(held); });
    for (std::size_t i = 0; i < shards_.size(); ++i) forget(i);
    if (partial && problem.code == Errc::too_large) too_large(partial->first, partial->second);
    Error known = problem;
    known.retryable = known.retryable || known.code == Errc::too_large;
    dialer_.failed(known, now_);
    tell(problem);
  }

  /// Everything that came of this shard is of a dead generation from now on.
  void forget(std::size_t index) {
    Shard& shard = shards_[index];
    if (!shard.ours()) return;
    shard.forget();
    drop_waiting(index);
    ++version_;
    if (intake_ != nullptr) (void)intake_->revoke(static_cast<std::int32_t>(index), Instant::min());
  }

  void drop_waiting(std::size_t index) {
    std::erase_if(waiting_, [&](Held* held) {
      if (held->shard != index) return false;
      put_back(*held);
      return true;
    });
  }

  // ── turns ──────────────────────────────────────────────────────────────────────────────────────

  void serve() {
    if (bell_.serve(now_)) news_ = true;
    hand_on();
    if (!connection_->receive(turn_, now_) || connection_->lost()) return lose();
    switch (connection_->pulse(now_)) {
      case Connection::Pulse::fine: break;
      case Connection::Pulse::ping: turn_.ping(connection_->out()); break;
      case Connection::Pulse::lost: return lose();
    }
    if (turn_.over()) {
      drain();
      if (now_ >= turn_due()) take_turn();
    }
    if (!connection_->send()) return lose();
    arm_bell();
  }

  /// How many entries may be read. Nothing is read while some wait for room.
  std::size_t room() const { return waiting_.empty() ? intake_->room() : 0; }

  /// When there is something to ask the server for.
  Instant turn_due() const {
    using omnibus::detail::larger, omnibus::detail::smaller;
    if (!joined_) return larger(retry_at_, tend_at_);
    Instant due = smaller(tend_at_, move_at_);
    std::size_t acks = 0;
    bool active = false;
    const bool has_room = room() > 0;
    for (const Shard& shard : shards_) {
      acks += shard.ours() ? shard.done.size() : 0;
      active |= shard.state() == Shard::State::active;
      if (has_room && shard.state() == Shard::State::recovering) due = Instant::min();
      if (has_room && shard.state() == Shard::State::active) due = smaller(due, shard.due);
      if (shard.ours() && !shard.later.empty()) due = Instant::min();
      if (shard.state() == Shard::State::draining && shard.idle()) due = Instant::min();
    }
    due = larger(due, retry_at_);
    if (acks > 0) due = smaller(due, acks >= many ? Instant::min() : next_flush_);
    if (active && has_room) due = smaller(due, read_due());
    return due;
  }
  Instant read_due() const {
    if (news_) return next_read_;
    // Until the bell knows which shards are ours, we have to look by ourselves.
    return bell_.armed() && bell_.version() == version_ ? Instant::max() : look_at_;
  }
  void take_turn() {
    std::string& out = connection_->out();
    const bool calm = now_ >= retry_at_;
    if (!joined_) {
      turn_.join(out, member_, previous_);
      turn_.tend(out, member_, true);
      schedule_tend();
      return turn_.watch(out);
    }
    transact(out);
    if (calm && now_ >= tend_at_) {
      turn_.tend(out, member_, true);
      schedule_tend();
    }
    if (calm && now_ >= move_at_) {
      turn_.move(out);
      move_at_ = now_ + look_every;
    }
    for (std::size_t i = 0; calm && i < shards_.size(); ++i) ask_for(i, out);
    turn_.watch(out);
  }

  void transact(std::string& out) {
    const std::size_t space = room();
    std::vector<std::size_t>& reading = reading_;
    reading.clear();
    if (space > 0 && now_ >= read_due()) {
      for (std::size_t i = 0; i < shards_.size() && reading.size() < space; ++i) {
        const std::size_t index = (first_ + i) % shards_.size();
        if (shards_[index].state() == Shard::State::active) reading.push_back(index);
      }
      first_ = (first_ + 1) % shards_.size();
    }
    const bool acks = std::any_of(shards_.begin(), shards_.end(), [](const Shard& shard) {
      return shard.ours() && !shard.done.empty();
    });
    if (!watched_ || (!acks && reading.empty())) return;
    asked_ = reading.empty() ? 0 : omnibus::detail::smaller(space / reading.size(), at_once);
    for (Shard& shard : shards_) shard.got = 0;
    turn_.transact(out, reading, asked_);
    next_flush_ = now_ + flush_every;
    look_at_ = now_ + std::chrono::milliseconds{5};
  }

  /// What is to be said of one shard.
  void ask_for(std::size_t index, std::string& out) {
    Shard& shard = shards_[index];
    if (shard.ours() && !shard.later.empty()) turn_.postpone(out, index);
    const std::size_t space = omnibus::detail::smaller(room() / shards_.size() + 1, at_once);
    if (shard.state() == Shard::State::recovering) {
      if (room() > 0) turn_.recover(out, index, space);
    } else if (shard.state() == Shard::State::active) {
      if (now_ >= shard.due && room() > 0) {
        shard.due = Instant::max();
        turn_.again(out, index, space);
      }
      if (plan_.trim && now_ >= trim_at_) turn_.trim(out, index);
      if (index + 1 == shards_.size() && now_ >= trim_at_) trim_at_ = now_ + trim_every;
    } else if (shard.state() == Shard::State::draining && shard.idle()) {
      turn_.give(out, index);
    }
  }

  /// A share that has changed becomes effective within this time; who has less than its share asks again
  /// soon, as others may have just handed over.
  void schedule_tend() {
    using omnibus::detail::larger, omnibus::detail::smaller;
    const Duration eighth = plan_.group.lease / 8;
    const Duration pause = larger<Duration>(std::chrono::milliseconds{50},
                                            smaller<Duration>(eighth, std::chrono::seconds{1}));
    tend_at_ = now_ + (owned_ < share_ ? smaller<Duration>(pause, std::chrono::milliseconds{50})
                                       : pause);
  }

  /// Gives back what has not started of shards that are to be handed over.
  void drain() {
    for (std::size_t i = 0; i < shards_.size(); ++i) {
      Shard& shard = shards_[i];
      // What was given back though the shard is ours is read again by whoever takes it next: us, perhaps.
      if (shard.reads() && !shard.returned.empty() && intake_->room() > 0) start_draining(i);
      if (shard.state() != Shard::State::draining) continue;
      (void)intake_->revoke(static_cast<std::int32_t>(i), Instant::min());
    }
  }
  void start_draining(std::size_t index) {
    drop_waiting(index);
    shards_[index].drain();
    ++version_;
  }

  void arm_bell() {
    if (news_ || !bell_.ready(now_)) return;
    watched_streams_.clear();
    for (const Shard& shard : shards_) {
      if (shard.state() == Shard::State::active) {
        watched_streams_.push_back({&shard.stream, shard.last});
      }
    }
    if (!watched_streams_.empty()) bell_.arm(watched_streams_, version_);
  }

  // ── answers ────────────────────────────────────────────────────────────────────────────────────

  void joined(std::int64_t shards) override {
    if (shards == static_cast<std::int64_t>(shards_.size())) {
      joined_ = true;
      previous_.clear();
      return;
    }
    connection_->lose({Errc::topology_mismatch, false, "",
                       "the topic has " + std::to_string(shards) + " shards, and .shards says " +
                           std::to_string(shards_.size())});
  }

  void tended(std::size_t share, const std::vector<std::string>& owners) override {
    if (!joined_ || intake_ == nullptr) return;
    dialer_.worked();
    share_ = share;
    owned_ = 0;
    std::size_t keep = 0;
    for (std::size_t i = 0; i < shards_.size() && i < owners.size(); ++i) {
      Shard& shard = shards_[i];
      const bool mine = is_owner(owners[i], member_);
      if (shard.ours() && shard.owner() != owners[i]) forget(i);
      if (mine && !shard.ours()) {
        shard.take(owners[i]);
        ++version_;
      }
      if (!mine) continue;
      ++owned_;
      if (shard.reads() && ++keep > share_) start_draining(i);
    }
    if (owned_ >= share_ && tend_at_ < now_ + std::chrono::milliseconds{50}) schedule_tend();
    check_registered();
  }

  void watched(const std::vector<std::string>& owners) override {
    watched_ = true;
    for (std::size_t i = 0; i < shards_.size() && i < owners.size(); ++i) {
      if (shards_[i].ours() && shards_[i].owner() != owners[i]) forget(i);
    }
  }

  void executed(bool well) override {
    hand_on_read();
    watched_ = false;  // until the answer to the next WATCH, which has been sent already
    if (!well || asked_ == 0) return;
    news_ = false;
    for (const Shard& shard : shards_) {
      news_ |= shard.state() == Shard::State::active && shard.got >= asked_;
    }
    std::size_t count = 0;
    for (const Shard& shard : shards_) count += shard.got;
    const Duration linger = omnibus::detail::linger_after(count);
    next_read_ = now_ + (news_ ? Duration::zero() : linger);
    news_ |= linger > Duration::zero();  // where several come at once, more follow
  }

  void recovered(std::size_t index, const Recovered& result) override {
    Shard& shard = shards_[index];
    if (shard.state() != Shard::State::recovering) return;
    if (!result.ours) return forget(index);
    note_gone(result.gone);
    note_due(shard, result.due);
    shard.recover_after = result.stop;
    if (!result.stop.empty()) return;
    (void)parse_id(result.last, shard.last);
    shard.recovered();
    news_ = true;
    next_read_ = now_;
    ++version_;
    check_registered();
  }

  void took_again(std::size_t index, const Recovered& result) override {
    hand_on_read();
    if (!result.ours) return forget(index);
    note_gone(result.gone);
    note_due(shards_[index], result.due);
  }
  void postponed(std::size_t index, std::int64_t due) override { note_due(shards_[index], due); }
  void gave(std::size_t index) override {
    if (shards_[index].state() != Shard::State::giving) return;
    forget(index);
    tend_at_ = now_;
  }
  void moved(std::int64_t due) override {
    if (due >= 0) move_at_ = omnibus::detail::smaller(move_at_, soon(due));
  }

  void note_due(Shard& shard, std::int64_t due) {
    if (due >= 0) shard.due = omnibus::detail::smaller(shard.due, soon(due));
  }
  Instant soon(std::int64_t us) const {
    constexpr std::int64_t longest = 3'600'000'000;  // then we ask again
    return std::chrono::steady_clock::now() +
           std::chrono::microseconds{(us < longest ? us : longest) + 1};
  }

  void refused(std::int64_t index, const Error& problem) override {
    if (index >= 0) shards_[static_cast<std::size_t>(index)].take_back();
    if (now_ < quiet_until_) return;
    retry_at_ = now_ + retry_after;
    tend_at_ = omnibus::detail::smaller(tend_at_, retry_at_);
    if (problem.code == Errc::not_found) {
      // The stream or the group was deleted: it begins anew, with everything there is.
      quiet_until_ = now_ + retry_after;
      joined_ = false;
      for (std::string& start : plan_.group.starts) start = "0";
      for (Shard& shard : shards_) shard.recover_again();
      news_ = false;
      Error lost = problem;
      lost.code = Errc::position_lost;
      return tell(lost);
    }
    if (problem.code == Errc::access_denied || problem.code == Errc::topology_mismatch) {
      connection_->lose(problem);
      return;
    }
    tell(problem);
  }

  void check_registered() {
    if (registered_ || !joined_ || intake_ == nullptr || now_ < retry_at_) return;
    for (const Shard& shard : shards_) {
      if (shard.state() == Shard::State::recovering && room() > 0) return;
    }
    registered_ = true;
    intake_->report(nullptr);
  }

  // ── messages ───────────────────────────────────────────────────────────────────────────────────

  std::int64_t shard_of(std::string_view stream) const noexcept override {
    for (std::size_t i = 0; i < shards_.size(); ++i) {
      if (shards_[i].stream == stream) return static_cast<std::int64_t>(i);
    }
    return -1;
  }

  void arrived(Held& held) override {
    Shard& shard = shards_[held.shard];
    ++shard.got;
    if (held.entry.id() > shard.last) shard.last = held.entry.id();
    held.generation = shard.generation();
    if (shard.state() == Shard::State::active) return merge_.add(held);  // until the read is whole
    hand_on(held);
  }

  void hand_on(Held& held) {
    if (!shards_[held.shard].reads() || intake_ == nullptr) return put_back(held);
    if (waiting_.empty() && intake_->room() > 0) return deliver(held);
    waiting_.push_back(&held);
  }
  void hand_on_read() {
    if (!merge_.empty()) merge_.take([this](Held& held) { hand_on(held); });
  }

  /// It stays pending, as if it had never come.
  void put_back(Held& held) {
    Shard& shard = shards_[held.shard];
    if (shard.ours() && held.generation == shard.generation()) {
      shard.returned.push_back({held.entry.id(), held.attempts, {}});
    }
    pool_.give_back(held);
  }

  void hand_on() {
    while (!waiting_.empty() && intake_->room() > 0) {
      Held& held = *waiting_.front();
      waiting_.pop_front();
      deliver(held);
    }
  }

  void deliver(Held& held) {
    shards_[held.shard].took();
    ++delivered_;
    intake_->deliver({&held.entry.message(), plan_.topic, static_cast<std::int32_t>(held.shard),
                      held.entry.id(), held.attempts, reinterpret_cast<std::uint64_t>(&held)});
  }

  void gone(std::size_t, Position) override { note_gone(1); }
  void note_gone(std::int64_t count) {
    if (count == 0) return;
    tell(Error::make(Errc::position_lost, "",
                     std::to_string(count) +
                         " entries that were not finished have been deleted from the stream"));
    check_registered();
  }

  void too_large(std::size_t index, Position id) override {
    shards_[index].hostile.push_back(id);
    shards_[index].recover_again();
    tell(Error::make(Errc::too_large, "",
                     "entry " + std::string{std::string_view{IdText{id}}} + " of \"" +
                         shards_[index].stream + "\" is too large, and is passed over"));
    check_registered();
  }

  /// Sleeps until something happens.
  void rest(Instant until) {
    using omnibus::detail::smaller;
    until = smaller(until, bell_.due());
    bool unsent = false;
    if (!connection_) {
      until = smaller(until, dialer_.due());
    } else {
      unsent = connection_->unsent() > 0;
      until = smaller(until, connection_->next_pulse());
      if (turn_.over()) until = smaller(until, turn_due());
    }
    wakeup_.wait(connection_ ? connection_->fd() : -1, true, unsent, until, bell_.fd());
  }

  GroupPlan plan_;
  omnibus::detail::Wakeup wakeup_;
  std::vector<Shard> shards_;
  HeldPool pool_;
  Gatherer gatherer_;
  Merge merge_;
  Turn turn_;
  std::unique_ptr<Connection> connection_;
  std::string member_;    // of this connection
  std::string previous_;  // of those before, which the server may still take for alive
  bool joined_ = false;
  bool watched_ = false;  // the answers to the last turn showed whose the shards are
  bool registered_ = false;
  bool news_ = false;           // it is worth reading
  std::size_t share_ = 1;       // how many shards we may have
  std::size_t owned_ = 0;       // and have
  std::size_t asked_ = 0;       // entries of each shard, by the turn under way
  std::size_t first_ = 0;       // where the next read begins, so that all shards get their turn
  std::uint64_t version_ = 0;   // of the set of shards that are read
  std::vector<std::size_t> reading_;
  std::vector<Bell::Watched> watched_streams_;
  std::deque<Held*> waiting_;  // for room
  Intake* intake_ = nullptr;  // while polled
  std::size_t delivered_ = 0;
  Instant now_{};
  Instant tend_at_ = Instant::min();
  Instant move_at_ = Instant::min();
  Instant trim_at_ = Instant::min();
  Instant retry_at_ = Instant::min();     // after a refusal
  Instant quiet_until_ = Instant::min();  // the same refusal may come several times
  Instant next_flush_ = Instant::min();
  Instant next_read_ = Instant::min();
  Instant look_at_ = Instant::min();
  Dialer dialer_;  // last: their threads ring until they are joined
  Bell bell_;
};

}  // namespace omnibus::redis
