// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <omnibus/backend.hpp>
#include <omnibus/backends/redis/connection.hpp>
#include <omnibus/backends/redis/delays.hpp>
#include <omnibus/backends/redis/gatherer.hpp>
#include <omnibus/backends/redis/keys.hpp>
#include <omnibus/backends/redis/log_cursor.hpp>
#include <omnibus/backends/redis/reporter.hpp>
#include <omnibus/backends/redis/unfinished.hpp>
#include <omnibus/detail/smaller.hpp>
#include <omnibus/detail/wakeup.hpp>

// A reader without a group: it reads all streams of a topic from somewhere on, or what a group has not
// finished of them, and leaves no trace.

namespace omnibus::redis {

/// What a reader reads.
struct LogPlan {
  std::string topic;
  TopicKeys keys;
  Start start;
  ForeignFields foreign{};
  std::size_t largest_entry = 0;
  std::string group{};  ///< where there is one, only what it has not finished is wanted
};

/// Thread safety: one thread, the dispatcher's, but for `wake`.
class LogConsumer final : private Arrivals, private Replies {
 public:
  LogConsumer(const ConnectOptions& connect, LogPlan plan)
      : plan_{std::move(plan)},
        cursors_(make_cursors(plan_)),
        unfinished_(plan_.group.empty() ? 0 : cursors_.size(), Unfinished{plan_.group}),
        gatherer_{pool_, *this, plan_.foreign, plan_.largest_entry},
        dialer_{connect, [this] { wakeup_.ring(); }} {}
  LogConsumer(const LogConsumer&) = delete;

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

  /// Nothing is told to the server. What is given back was not begun: its reader is about to leave.
  void settle(std::span<const Settlement> settlements) {
    for (const Settlement& each : settlements) {
      pool_.give_back(*reinterpret_cast<Held*>(each.token));
    }
  }

  void wake() { wakeup_.ring(); }
  Result<> close(Instant) {
    connection_.reset();
    return {};
  }

 private:
  static constexpr std::size_t at_once = 256;  ///< entries of a stream

  enum class Kind : std::uint8_t { nothing, info, groups, pending, read, move };
  struct Awaited {
    Kind kind = Kind::nothing;
    std::size_t stream = 0;
  };

  static std::vector<LogCursor> make_cursors(const LogPlan& plan) {
    std::vector<LogCursor> cursors;
    for (std::size_t i = 0; i < plan.keys.streams.size(); ++i) {
      cursors.emplace_back(plan.start, static_cast<std::int32_t>(i));
    }
    return cursors;
  }

  // ── the connection's life ──────────────────────────────────────────────────────────────────────

  void connect() {
    auto outcome = dialer_.dial(now_);
    if (!outcome) return;
    if (!*outcome) return tell(outcome->error());
    connection_ = std::move(*outcome).value();
    awaited_.clear();
    reporter_.begin();
    for (std::size_t i = 0; i < cursors_.size(); ++i) {
      append_command(connection_->out(), "XINFO", "STREAM", plan_.keys.streams[i]);
      awaited_.push_back({Kind::info, i});
      if (plan_.group.empty()) continue;
      unfinished_[i].begin();
      append_command(connection_->out(), "XINFO", "GROUPS", plan_.keys.streams[i]);
      awaited_.push_back({Kind::groups, i});
      ask_for_pending(i);
    }
  }
  void ask_for_pending(std::size_t stream) {
    append_command(connection_->out(), "XPENDING", plan_.keys.streams[stream], plan_.group,
                   unfinished_[stream].next(), "+", Unfinished::page);
    awaited_.push_back({Kind::pending, stream});
  }

  void tell(const Error& problem) { reporter_.tell(intake_, problem); }

  void lose() {
    const Error problem = connection_->problem();
    const auto partial = gatherer_.abandon();
    connection_.reset();
    awaited_.clear();
    Error known = problem;
    if (partial && problem.code == Errc::too_large) {
      too_large(partial->first, partial->second);
      known.retryable = true;
    }
    dialer_.failed(known, now_);
    tell(problem);
  }

  void serve() {
    hand_on();
    if (!connection_->receive(*this, now_) || connection_->lost()) return lose();
    switch (connection_->pulse(now_)) {
      case Connection::Pulse::fine: break;
      case Connection::Pulse::ping:
        append_command(connection_->out(), "PING");
        awaited_.push_back({Kind::nothing});
        break;
      case Connection::Pulse::lost: return lose();
    }
    if (awaited_.empty() && waiting_.empty() && now_ >= retry_at_) read();
    if (!connection_->send()) return lose();
  }

  void read() {
    if (!reporter_.registered()) {
      dialer_.worked();
      reporter_.well(intake_);
    }
    std::string& out = connection_->out();
    if (now_ >= move_at_) {
      append_move(out, plan_.keys);
      awaited_.push_back({Kind::move});
      move_at_ = now_ + std::chrono::seconds{1};
    }
    const std::size_t room = intake_->room();
    if (room == 0) return;
    const std::size_t streams = omnibus::detail::smaller(room, cursors_.size());
    begin_command(out, 6 + 2 * streams);
    append_argument(out, "XREAD");
    append_argument(out, "COUNT");
    append_argument(out, omnibus::detail::smaller(room / streams, at_once));
    append_argument(out, "BLOCK");
    append_argument(out, streams < cursors_.size() ? 1 : 1000);  // others have their turn as well
    append_argument(out, "STREAMS");
    for (std::size_t i = 0; i < streams; ++i) append_argument(out, plan_.keys.streams[stream(i)]);
    for (std::size_t i = 0; i < streams; ++i) {
      append_argument(out, std::string_view{IdText{cursors_[stream(i)].after()}});
    }
    first_ = stream(1);
    awaited_.push_back({Kind::read});
  }
  std::size_t stream(std::size_t i) const noexcept { return (first_ + i) % cursors_.size(); }

  // ── answers ────────────────────────────────────────────────────────────────────────────────────

  void part(const Part& part) noexcept override {
    if (awaited_.empty()) return;
    const Awaited& awaited = awaited_.front();
    if (part.kind == Part::Kind::error) return refused(awaited, part);
    switch (awaited.kind) {
      case Kind::info:
        if (part.depth != 1) return;
        part.kind == Part::Kind::integer ? cursors_[awaited.stream].info(part.index, part.number)
                                         : cursors_[awaited.stream].info(part.index, part.text);
        return;
      case Kind::groups: return unfinished_[awaited.stream].group_part(part);
      case Kind::pending: return unfinished_[awaited.stream].pending_part(part);
      case Kind::read: return gatherer_.streams_part(part, 0);
      case Kind::move:
        if (part.kind == Part::Kind::integer && part.number >= 0) {
          move_at_ = omnibus::detail::smaller(
              move_at_, now_ + std::chrono::microseconds{part.number + 1});
        }
        return;
      case Kind::nothing: return;
    }
  }
  void complete() noexcept override {
    if (awaited_.empty()) return;
    const Awaited awaited = awaited_.front();
    awaited_.pop_front();
    if (awaited.kind == Kind::pending && unfinished_[awaited.stream].more()) {
      return ask_for_pending(awaited.stream);
    }
    if (awaited.kind == Kind::info && cursors_[awaited.stream].begin()) {
      const Error lost =
          Error::make(Errc::position_lost, "subscribe " + plan_.topic,
                      "the beginning of \"" + plan_.keys.streams[awaited.stream] +
                          "\" was trimmed away: it starts with what is left");
      if (intake_ != nullptr) intake_->report(&lost);
    }
  }

  void refused(const Awaited& awaited, const Part& part) {
    if (awaited.kind == Kind::move) {  // who may only read does not move
      move_at_ = Instant::max();
      return;
    }
    // There is no stream yet, or no group: nothing to know of it.
    const bool asked = awaited.kind == Kind::info || awaited.kind == Kind::groups ||
                       awaited.kind == Kind::pending;
    if (asked && part.text.find("no such key") != std::string_view::npos) return;
    if (asked && part.text.starts_with("NOGROUP")) return;
    retry_at_ = now_ + std::chrono::milliseconds{500};
    const Error problem = server_error(part.text, "read");
    tell(problem);
    if (!problem.retryable) (void)connection_->lose(problem);
  }

  // ── messages ───────────────────────────────────────────────────────────────────────────────────

  std::int64_t shard_of(std::string_view key) const noexcept override {
    for (std::size_t i = 0; i < plan_.keys.streams.size(); ++i) {
      if (plan_.keys.streams[i] == key) return static_cast<std::int64_t>(i);
    }
    return -1;
  }
  void arrived(Held& held) override {
    const Position id = held.entry.id();
    const bool wanted = cursors_[held.shard].wants(id, held.entry.message().time) &&
                        (unfinished_.empty() || unfinished_[held.shard].contains(id));
    if (!wanted) return pool_.give_back(held);
    if (waiting_.empty() && intake_ != nullptr && intake_->room() > 0) return deliver(held);
    waiting_.push_back(&held);
  }
  void hand_on() {
    while (!waiting_.empty() && intake_->room() > 0) {
      Held& held = *waiting_.front();
      waiting_.pop_front();
      deliver(held);
    }
  }
  void deliver(Held& held) {
    ++delivered_;
    intake_->deliver({&held.entry.message(), plan_.topic, static_cast<std::int32_t>(held.shard),
                      held.entry.id(), 0, reinterpret_cast<std::uint64_t>(&held)});
  }
  void gone(std::size_t, Position) override {}
  void too_large(std::size_t index, Position id) override {
    (void)cursors_[index].wants(id, Time::max());
    tell(problems::too_large(id, plan_.keys.streams[index]));
  }

  void rest(Instant until) {
    using omnibus::detail::smaller;
    if (!connection_) {
      until = smaller(until, dialer_.due());
    } else {
      until = smaller(until, connection_->next_pulse());
      if (awaited_.empty() && now_ < retry_at_) until = smaller(until, retry_at_);
    }
    wakeup_.wait(connection_ ? connection_->fd() : -1, true, connection_ && connection_->unsent() > 0,
                 until);
  }

  const LogPlan plan_;
  Reporter reporter_{plan_.topic};
  omnibus::detail::Wakeup wakeup_;
  std::vector<LogCursor> cursors_;
  std::vector<Unfinished> unfinished_;  // of the group, by stream; empty without one
  HeldPool pool_;
  Gatherer gatherer_;
  std::unique_ptr<Connection> connection_;
  std::deque<Awaited> awaited_;
  std::size_t first_ = 0;      // where the next read begins
  std::deque<Held*> waiting_;  // for room
  Intake* intake_ = nullptr;   // while polled
  std::size_t delivered_ = 0;
  Instant now_{};
  Instant move_at_ = Instant::min();
  Instant retry_at_ = Instant::min();
  Dialer dialer_;  // last: its thread rings until it is joined
};

}  // namespace omnibus::redis
