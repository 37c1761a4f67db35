// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <omnibus/backend.hpp>
#include <omnibus/backends/redis/agenda.hpp>
#include <omnibus/backends/redis/bell.hpp>
#include <omnibus/backends/redis/connection.hpp>
#include <omnibus/backends/redis/gatherer.hpp>
#include <omnibus/backends/redis/group.hpp>
#include <omnibus/backends/redis/reporter.hpp>
#include <omnibus/backends/redis/shards.hpp>
#include <omnibus/backends/redis/turn.hpp>
#include <omnibus/detail/smaller.hpp>
#include <omnibus/detail/uuid.hpp>
#include <omnibus/detail/wakeup.hpp>

// A member of a group: it owns some of the topic's shards for as long as it renews its lease, reads them,
// acknowledges what is done, and hands shards over when members join. It is another member with each
// connection, so that what an old connection still has under way at the server is fenced off.

namespace omnibus::redis {

/// Thread safety: one thread, the dispatcher's, but for `wake`.
class GroupConsumer final : private Arrivals, private TurnEvents {
 public:
  GroupConsumer(const ConnectOptions& connect, GroupPlan plan)
      : plan_{std::move(plan)},
        shards_{plan_.topic, plan_.group, plan_.picks},
        gatherer_{shards_.pool(), *this, plan_.foreign, plan_.largest_entry},
        turn_{plan_.group, shards_.all(), gatherer_, *this},
        dialer_{connect, [this] { wakeup_.ring(); }},
        bell_{connect, [this] { wakeup_.ring(); }} {}
  GroupConsumer(const GroupConsumer&) = delete;

  void poll(Intake& intake, Instant until) {
    shards_.begin_poll(&intake);
    while (true) {
      const bool woken = wakeup_.take();
      now_ = std::chrono::steady_clock::now();
      if (bell_.serve(now_)) agenda_.ring();
      if (!connection_) connect();
      if (connection_) serve();
      if (shards_.delivered() > 0 || woken || now_ >= until) break;
      rest(until);
    }
    shards_.begin_poll(nullptr);
  }

  void settle(std::span<const Settlement> settlements) {
    for (const Settlement& each : settlements) shards_.settle(each);
  }

  void wake() { wakeup_.ring(); }

  Result<> close(Instant until) {
    if (!connection_) return {};
    (void)finish_turn(until);
    for (std::size_t i = 0; i < shards_.size(); ++i) {
      Shard& shard = shards_[i];
      if (!shard.ours() || shard.state() == Shard::State::giving) continue;
      shards_.drop_waiting(i);
      shard.postponed(false);
      if (!shard.later.empty()) turn_.postpone(connection_->out(), i);
      turn_.give(connection_->out(), i);
    }
    turn_.leave(connection_->out(), member_);
    if (finish_turn(until)) return {};
    return Error::make(Errc::timed_out, "close " + plan_.topic,
                       "the server did not confirm it; what was handled last may come again");
  }

 private:
  static constexpr std::size_t at_once = 256;  ///< entries of a shard

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
    joined_ = watched_ = false;
    reporter_.begin();
    agenda_.begin();
  }

  std::string new_member() {
    const auto text = uuids_.next(std::chrono::system_clock::now());
    return {text.data(), text.size()};
  }

  void tell(const Error& problem) { reporter_.tell(shards_.intake(), problem); }

  void lose() {
    const Error problem = connection_->problem();
    const auto partial = gatherer_.abandon();
    connection_.reset();
    turn_.reset();
    shards_.drop_read();
    for (std::size_t i = 0; i < shards_.size(); ++i) shards_.forget(i);
    if (partial && problem.code == Errc::too_large) too_large(partial->first, partial->second);
    Error known = problem;
    known.retryable = known.retryable || known.code == Errc::too_large;
    dialer_.failed(known, now_);
    tell(problem);
  }

  // ── turns ──────────────────────────────────────────────────────────────────────────────────────

  void serve() {
    shards_.hand_on();
    if (!connection_->receive(turn_, now_) || connection_->lost()) return lose();
    switch (connection_->pulse(now_)) {
      case Connection::Pulse::fine: break;
      case Connection::Pulse::ping: turn_.ping(connection_->out()); break;
      case Connection::Pulse::lost: return lose();
    }
    if (turn_.over()) {
      shards_.go_on_draining();
      if (now_ >= turn_due()) take_turn();
    }
    if (!connection_->send()) return lose();
    arm_bell();
  }

  Instant turn_due() const { return agenda_.turn_due(shards_, joined_, bell_is_right()); }
  bool bell_is_right() const noexcept {
    return bell_.armed() && bell_.version() == shards_.version();
  }

  void take_turn() {
    std::string& out = connection_->out();
    if (!joined_) {
      turn_.join(out, member_, previous_);
      tend(out);
      return turn_.watch(out);
    }
    transact(out);
    if (agenda_.tend_due(now_)) tend(out);
    if (agenda_.move_due(now_)) {
      turn_.move(out);
      agenda_.moved(now_);
    }
    const bool care = agenda_.care_due(now_);
    for (std::size_t i = 0; agenda_.calm(now_) && i < shards_.size(); ++i) ask_for(i, out, care);
    if (care) agenda_.cared(now_);
    turn_.watch(out);
  }

  void tend(std::string& out) {
    turn_.tend(out, member_, true);
    agenda_.tended(now_, plan_.group.lease, owned_ < share_);
  }

  void transact(std::string& out) {
    const std::size_t space = shards_.room();
    reading_.clear();
    if (space > 0 && now_ >= agenda_.read_due(bell_is_right())) {
      for (std::size_t i = 0; i < shards_.size() && reading_.size() < space; ++i) {
        const std::size_t index = (first_ + i) % shards_.size();
        if (shards_[index].state() == Shard::State::active) reading_.push_back(index);
      }
      first_ = (first_ + 1) % shards_.size();
    }
    if (!watched_ || (!shards_.any_done() && reading_.empty())) return;
    asked_ = reading_.empty() ? 0 : omnibus::detail::smaller(space / reading_.size(), at_once);
    for (Shard& shard : shards_.all()) shard.got = 0;
    if (agenda_.by_script(now_)) {
      turn_.take(out, reading_, asked_);
    } else {
      turn_.transact(out, reading_, asked_, plan_.bounded);
    }
    agenda_.transacted(now_);
  }

  /// What is to be said of one shard; now and then also what takes `care` of it.
  void ask_for(std::size_t index, std::string& out, bool care) {
    Shard& shard = shards_[index];
    if (shard.ours() && !shard.later.empty()) turn_.postpone(out, index);
    const std::size_t space = omnibus::detail::smaller(shards_.room() / shards_.size() + 1, at_once);
    if (shard.state() == Shard::State::recovering) {
      if (shard.recover_after.empty()) turn_.look(out, index, false);
      if (shards_.room() > 0) turn_.recover(out, index, space);
    } else if (shard.state() == Shard::State::active) {
      if (now_ >= shard.due && shards_.room() > 0) {
        shard.due = Instant::max();
        turn_.again(out, index, space);
      }
      if (care) turn_.look(out, index, plan_.trim);
    } else if (shard.state() == Shard::State::draining && shard.idle()) {
      turn_.give(out, index);
    }
  }

  void arm_bell() {
    if (agenda_.news() || !bell_.ready(now_)) return;
    shards_.list_active(watched_streams_);
    if (!watched_streams_.empty()) bell_.arm(watched_streams_, shards_.version());
  }

  // ── answers ────────────────────────────────────────────────────────────────────────────────────

  void joined(std::int64_t shards, std::int64_t made) override {
    if (shards != static_cast<std::int64_t>(shards_.size())) {
      return (void)connection_->lose(problems::shards(shards, shards_.size()));
    }
    if (made > 0 && known_ && now_ >= quiet_until_) tell(problems::forgotten());
    joined_ = known_ = true;
    // If the server forgets the group it begins anew, with everything there is.
    for (std::string& start : plan_.group.starts) start = "0";
    previous_.clear();
  }

  void tended(std::size_t share, const std::vector<std::string>& owners) override {
    if (!joined_ || shards_.intake() == nullptr) return;
    dialer_.worked();
    share_ = share;
    owned_ = 0;
    std::size_t keep = 0;
    for (std::size_t i = 0; i < shards_.size() && i < owners.size(); ++i) {
      Shard& shard = shards_[i];
      const bool mine = is_owner(owners[i], member_);
      if (shard.ours() && shard.owner() != owners[i]) shards_.forget(i);
      if (mine && !shard.ours()) shards_.take(i, owners[i]);
      if (!mine) continue;
      ++owned_;
      if (shard.reads() && ++keep > share_) shards_.drain(i);
    }
    agenda_.tended(now_, plan_.group.lease, owned_ < share_);
    check_registered();
  }

  void watched(const std::vector<std::string>& owners) override {
    watched_ = true;
    for (std::size_t i = 0; i < shards_.size() && i < owners.size(); ++i) {
      if (shards_[i].ours() && shards_[i].owner() != owners[i]) shards_.forget(i);
    }
  }

  void executed(bool well) override {
    shards_.hand_on_read();
    watched_ = false;  // until the answer to the next WATCH, which has been sent already
    if (well && asked_ > 0) agenda_.read(shards_, asked_, now_);
  }

  void recovered(std::size_t index, const Recovered& result) override {
    Shard& shard = shards_[index];
    if (shard.state() != Shard::State::recovering) return;
    if (!result.ours) return shards_.forget(index);
    note_gone(index, result.gone);
    note_due(shard, result.due);
    shard.recover_after = result.stop;
    if (!result.stop.empty()) return;
    shards_.recovered(index, result.last);
    agenda_.begin_reading(now_);
    check_registered();
  }

  void took_again(std::size_t index, const Recovered& result) override {
    shards_.hand_on_read();
    if (!result.ours) return shards_.forget(index);
    note_gone(index, result.gone);
    note_due(shards_[index], result.due);
  }
  void postponed(std::size_t index, std::int64_t due) override { note_due(shards_[index], due); }
  void gave(std::size_t index) override {
    if (shards_[index].state() != Shard::State::giving) return;
    shards_.forget(index);
    agenda_.tend_at(now_);
  }
  void moved(std::int64_t due) override {
    if (due >= 0) agenda_.move_at(soon(due, now_));
  }

  void looked(std::size_t index, std::int64_t removed, std::int64_t unread) override {
    Shard& shard = shards_[index];
    if (unread <= 0 || removed == shard.removed) return;
    shard.removed = removed;
    tell(problems::dropped(unread, shard.stream));
    check_registered();
  }

  void note_due(Shard& shard, std::int64_t due) {
    if (due >= 0) shard.due = omnibus::detail::smaller(shard.due, soon(due, now_));
  }

  void refused(std::int64_t index, const Error& problem) override {
    if (index >= 0) shards_[static_cast<std::size_t>(index)].take_back();
    if (now_ < quiet_until_) return;
    if (index < 0 && agenda_.memory_is_full(problem, now_)) return;
    agenda_.refused(now_);
    if (problem.code == Errc::not_found) {
      quiet_until_ = now_ + std::chrono::milliseconds{500};
      joined_ = false;  // the stream or the group was deleted
      for (Shard& shard : shards_.all()) shard.recover_again();
      agenda_.be_quiet();
      Error lost = problem;
      lost.code = Errc::position_lost;
      return tell(lost);
    }
    if (problem.code == Errc::access_denied || problem.code == Errc::topology_mismatch) {
      return (void)connection_->lose(problem);
    }
    tell(problem);
  }

  void check_registered() {
    if (!joined_ || shards_.intake() == nullptr || !agenda_.calm(now_)) return;
    if (shards_.any_recovering() && shards_.room() > 0) return;
    reporter_.well(shards_.intake());
  }

  // ── messages ───────────────────────────────────────────────────────────────────────────────────

  std::int64_t shard_of(std::string_view stream) const noexcept override {
    return shards_.index_of(stream);
  }
  void arrived(Held& held) override { shards_.arrived(held); }
  void gone(std::size_t index, Position) override { note_gone(index, 1); }
  void note_gone(std::size_t index, std::int64_t count) {
    if (count == 0) return;
    tell(problems::gone(count, shards_[index].stream));
    check_registered();
  }

  void too_large(std::size_t index, Position id) override {
    shards_[index].hostile.push_back(id);
    shards_.drain(index);  // and whoever takes it next gives the entry up
    tell(problems::too_large(id, shards_[index].stream));
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
  Reporter reporter_{plan_.topic};
  omnibus::detail::Wakeup wakeup_;
  Shards shards_;
  Gatherer gatherer_;
  Turn turn_;
  std::unique_ptr<Connection> connection_;
  omnibus::detail::UuidGenerator uuids_;
  std::string member_;    // of this connection
  std::string previous_;  // of those before, which the server may still take for alive
  bool joined_ = false;
  bool known_ = false;    // the group was there
  bool watched_ = false;  // the answers to the last turn showed whose the shards are
  std::size_t share_ = 1;       // how many shards we may have
  std::size_t owned_ = 0;       // and have
  std::size_t asked_ = 0;       // entries of each shard, by the turn under way
  std::size_t first_ = 0;       // where the next read begins, so that all shards get their turn
  std::vector<std::size_t> reading_;
  std::vector<Bell::Watched> watched_streams_;
  Instant now_{};
  Agenda agenda_;
  Instant quiet_until_ = Instant::min();  // the same refusal may come several times
  Dialer dialer_;  // last: their threads ring until they are joined
  Bell bell_;
};

}  // namespace omnibus::redis
