// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <omnibus/backends/redis/connection.hpp>
#include <omnibus/backends/redis/delays.hpp>
#include <omnibus/backends/redis/outbox.hpp>
#include <omnibus/backends/redis/routes.hpp>
#include <omnibus/backends/redis/stream_id.hpp>
#include <omnibus/backends/redis/wait_for.hpp>
#include <omnibus/detail/pace.hpp>
#include <omnibus/detail/smaller.hpp>
#include <omnibus/detail/thread.hpp>
#include <omnibus/detail/unique_function.hpp>
#include <omnibus/detail/wakeup.hpp>

// The thread that owns the publishing connection: it writes what stands in the outbox, many messages
// at once, and hears what became of them.

namespace omnibus::redis {

/// Thread safety: public members from any thread. Lifetime: outbox and routes must outlive it.
class PublishLoop final : private Replies {
 public:
  /// `progress` is called on the loop's thread when messages may have got endings, with true when the
  /// loop is about to sleep for an indefinite time.
  PublishLoop(const ConnectOptions& connect, WaitFor wait_for, Outbox& outbox, Routes& routes,
              omnibus::detail::UniqueFunction<void(bool quiet)> progress)
      : wait_for_{wait_for},
        outbox_{outbox},
        routes_{routes},
        progress_{std::move(progress)},
        dialer_{connect, [this] { wakeup_.ring(); }} {
    thread_ = omnibus::detail::DeepThread{[this] { run(); }};
  }
  ~PublishLoop() override { stop(); }
  PublishLoop(const PublishLoop&) = delete;

  /// A message was added: wakes the loop if it would sleep for too long.
  void submitted(Instant deadline) noexcept {
    if (deadline.time_since_epoch().count() < awake_by_.load() ||
        outbox_.unwritten_bytes() >= wake_at_.load()) {
      wakeup_.ring();
    }
  }

  /// Ends the loop. What has no ending gets one: outcome_unknown where the server may have it, else
  /// closed. One caller at a time.
  void stop() {
    stopping_.store(true);
    wakeup_.ring();
    if (thread_.joinable()) thread_.join();
  }

  bool is_current() const noexcept { return thread_.is_current(); }
  /// What is wrong; empty when nothing is.
  std::string trouble() const {
    std::lock_guard lock{words_mutex_};
    return trouble_;
  }
  /// What the server's word is worth.
  std::string warning() const {
    std::lock_guard lock{words_mutex_};
    return warning_;
  }

 private:
  static constexpr std::size_t much = std::size_t{64} * 1024;

  /// Replies that are owed, in order.
  struct Awaited {
    enum class Kind : std::uint8_t { messages, replicas, shards_set, shards, moved, ping };
    Kind kind;
    std::uint64_t number = 0;  ///< of messages: how many; of replicas: before which message
    Route* route = nullptr;
  };
  using Kind = Awaited::Kind;

  void run() {
    while (!stopping_.load()) {
      (void)wakeup_.take();
      const Instant now = std::chrono::steady_clock::now();
      if (!connection_) connect(now);
      if (connection_) read(now);
      if (connection_) write(now);
      if (now >= outbox_.earliest()) {
        const std::string why = trouble();
        outbox_.expire(now, Error::make(Errc::unavailable, "publish",
                                        why.empty() ? "it could not be sent in time" : why));
      }
      progress_(false);
      sleep(now);
    }
    outbox_.end_if([](std::uint64_t, const Outbox::Item&) { return true; },
                   [](const Outbox::Item& item) {
                     return Error::make(item.ever_written ? Errc::outcome_unknown : Errc::closed,
                                        "publish", "the bus was closed");
                   });
    progress_(true);
  }

  // ── the connection's life ──────────────────────────────────────────────────────────────────────

  void connect(Instant now) {
    auto outcome = dialer_.dial(now);
    if (!outcome) return;
    if (!*outcome) return failed(outcome->error());
    connection_ = std::move(*outcome).value();
    awaited_.clear();
    ids_come_ = false;
    outbox_.restart();
    pace_.restart();
    routes_.for_all([](Route& route) { route.state = Route::State::unknown; });
    const std::lock_guard lock{words_mutex_};
    trouble_.clear();
    warning_ = wait_for_.once ? reach_warning(connection_->facts())
                              : durability_warning(connection_->facts());
  }

  void failed(const Error& problem) {
    {
      const std::lock_guard lock{words_mutex_};
      trouble_ = problem.message();
    }
    if (problem.retryable) return;
    // It will not pass by itself: nobody is kept waiting.
    outbox_.end_if([](std::uint64_t, const Outbox::Item& item) { return !item.ever_written; },
                   [&](const Outbox::Item&) { return problem; });
  }

  void lose(Instant now) {
    const Error problem = connection_->problem();
    connection_.reset();
    if (wait_for_.once) outbox_.give_up_written(problem);
    outbox_.restart();
    dialer_.failed(problem, now);
    failed(problem);
  }

  // ── replies ────────────────────────────────────────────────────────────────────────────────────

  void read(Instant now) {
    now_ = now;
    if (!connection_->receive(*this, now) || connection_->lost()) return lose(now);
    switch (connection_->pulse(now)) {
      case Connection::Pulse::fine: return;
      case Connection::Pulse::ping:
        append_command(connection_->out(), "PING");
        awaited_.push_back({Kind::ping});
        return;
      case Connection::Pulse::lost: return lose(now);
    }
  }

  void part(const Part& part) noexcept override {
    if (awaited_.empty()) return;
    Awaited& awaited = awaited_.front();
    if (part.depth > 0 && !ids_come_) return;
    switch (awaited.kind) {
      case Kind::messages: return answered(part);
      case Kind::replicas: return outbox_.settle_accepted(awaited.number, replicated(part));
      case Kind::shards: return counted(part, *awaited.route);
      case Kind::moved:
        if (part.kind == Part::Kind::integer && part.number >= 0) {
          awaited.route->due = now_ + std::chrono::microseconds{part.number + 1};
        }
        return;
      case Kind::shards_set:
      case Kind::ping: return;
    }
  }
  void complete() noexcept override {
    if (awaited_.empty()) return;
    Awaited& awaited = awaited_.front();
    if (std::exchange(ids_come_, false)) several_answered();
    if (awaited.kind != Kind::messages || --awaited.number == 0) awaited_.pop_front();
  }

  void answered(const Part& part) {
    Outbox::Item& item = outbox_.awaiting();
    Position position{};
    if (item.several && (ids_come_ || part.kind == Part::Kind::array)) {
      ids_come_ = true;
      return item.several->note(part);
    }
    if (part.kind == Part::Kind::integer && wait_for_.once) {
      if (part.number > 0 || !wait_for_.heard) return outbox_.answered(Receipt{});
      return outbox_.answered(Error::make(Errc::unroutable, "publish", "nobody listens to the channel"));
    }
    if (part.kind == Part::Kind::text && parse_id(part.text, position)) {
      if (wait_for_.replicas > 0) return outbox_.accepted(position);
      return outbox_.answered(Receipt{item.shard, position});
    }
    if (part.kind == Part::Kind::integer) {  // it was delayed
      item.route->due = omnibus::detail::smaller(item.route->due, after(now_, item.delay));
      if (wait_for_.replicas > 0) return outbox_.accepted({});
      return outbox_.answered(Receipt{item.shard, {}});
    }
    if (part.kind != Part::Kind::error) {
      return outbox_.answered(Error::make(Errc::internal, "publish", "the reply makes no sense"));
    }
    const Error error = server_error(part.text, "publish");
    const std::string_view word = first_word(part.text);
    // Another server may be the one that takes messages, or this one needs the password again.
    if (word == "READONLY" || word == "MASTERDOWN" || word == "NOAUTH") {
      Error lost = error;
      lost.retryable = true;
      (void)connection_->lose(lost);
    }
    outbox_.answered(error);
  }

  void several_answered() {
    if (!outbox_.awaiting().several->is_whole()) {
      return outbox_.answered(Error::make(Errc::internal, "publish", "the reply makes no sense"));
    }
    wait_for_.replicas > 0 ? outbox_.accepted({}) : outbox_.answered(Receipt{});
  }

  bool replicated(const Part& part) const noexcept {
    return part.kind == Part::Kind::integer &&
           part.number >= static_cast<std::int64_t>(wait_for_.replicas);
  }

  /// How many shards the topic has: another number would scatter the keys.
  void counted(const Part& part, Route& route) {
    if (part.kind == Part::Kind::error) return refuse(route, server_error(part.text, "publish"));
    const Digits digits{route.keys.streams.size()};
    const std::string_view ours = digits;
    if (part.kind == Part::Kind::text && part.text != ours) {
      return refuse(route, Error::make(Errc::topology_mismatch, "publish",
                                       "the topic has " + detail::printable(part.text) +
                                           " shards, and .shards says " + std::string{ours}));
    }
    route.state = Route::State::ready;
  }

  /// Ends all messages of this route, now and for a while.
  void refuse(Route& route, const Error& problem) {
    if (route.state != Route::State::refused) {
      route.state = Route::State::refused;
      route.problem = problem;
      route.ask_again = now_ + std::chrono::seconds{1};
    }
    outbox_.end_if([&](std::uint64_t, const Outbox::Item& item) { return item.goes_to(route); },
                   [&](const Outbox::Item& item) {
                     Error error = route.problem;
                     if (item.ever_written) error.code = Errc::outcome_unknown;
                     return error;
                   });
  }

  // ── writing ────────────────────────────────────────────────────────────────────────────────────

  void write(Instant now) {
    move(now);
    if (!connection_->send()) return lose(now);
    waiting_for_route_ = false;
    if (now < next_turn_ && outbox_.unwritten_bytes() < much) return;
    while (connection_->unsent() == 0) {
      std::uint64_t count = 0;
      Route* asked = nullptr;
      while (connection_->unsent() < much && outbox_.under_way() < most_under_way) {
        Outbox::Item* item = outbox_.to_write();
        if (item == nullptr) break;
        asked = not_ready(*item, now);
        if (asked != nullptr) break;
        connection_->out().append(item->command);
        outbox_.written();
        ++count;
      }
      if (count > 0) note(count);  // replies are awaited in the order of the commands
      if (asked != nullptr) ask(*asked);
      if (connection_->unsent() == 0) break;
      if (!connection_->send()) return lose(now);
      if (count == 0) break;
    }
    pace_.note(outbox_, now);
    if (outbox_.under_way() >= omnibus::detail::Pace::many) next_turn_ = now + pace_.turn();
  }

  void note(std::uint64_t count) {
    if (!awaited_.empty() && awaited_.back().kind == Kind::messages) {
      awaited_.back().number += count;
    } else {
      awaited_.push_back({Kind::messages, count});
    }
    if (wait_for_.replicas == 0) return;
    const auto ms = std::chrono::ceil<std::chrono::milliseconds>(wait_for_.timeout).count();
    append_command(connection_->out(), "WAIT", wait_for_.replicas, ms);
    awaited_.push_back({Kind::replicas, outbox_.last_written()});
  }

  /// Whether it is known how many shards the topic has. Until then messages behind wait: order is kept.
  bool is_ready(Route& route, Instant now) {
    if (route.state == Route::State::refused && now < route.ask_again) {
      now_ = now;
      refuse(route, route.problem);
      waiting_for_route_ = false;
      return false;
    }
    if (route.state == Route::State::ready || route.keys.shards.empty()) return true;
    waiting_for_route_ = true;
    return false;
  }
  Route* not_ready(const Outbox::Item& item, Instant now) {
    for (Route* each : item.routes()) {
      if (!is_ready(*each, now)) return each;
    }
    return nullptr;
  }
  void ask(Route& route) {
    if (route.state == Route::State::asked || !waiting_for_route_) return;
    route.state = Route::State::asked;
    append_command(connection_->out(), "SET", route.keys.shards, route.keys.streams.size(), "NX");
    append_command(connection_->out(), "GET", route.keys.shards);
    awaited_.push_back({Kind::shards_set, 0, &route});
    awaited_.push_back({Kind::shards, 0, &route});
  }

  /// Moves what is due where it belongs; consumers do so too, but later.
  void move(Instant now) {
    next_move_ = Instant::max();
    routes_.for_all([&](Route& route) {
      if (now >= route.due) {
        route.due = Instant::max();
        append_move(connection_->out(), route.keys);
        awaited_.push_back({Kind::moved, 0, &route});
      }
      next_move_ = omnibus::detail::smaller(next_move_, route.due);
    });
  }

  void sleep(Instant now) {
    using omnibus::detail::smaller;
    Instant until = outbox_.earliest();
    std::size_t wake_at = SIZE_MAX;
    bool unsent = false;
    bool lingering = false;
    if (!connection_) {
      until = smaller(until, dialer_.due());
    } else {
      until = smaller(until, smaller(connection_->next_pulse(), next_move_));
      unsent = connection_->unsent() > 0;
      lingering = now < next_turn_;
      if (lingering) until = smaller(until, next_turn_);
      if (!unsent && !waiting_for_route_ && outbox_.under_way() < most_under_way) {
        wake_at = lingering ? much : 1;
      }
    }
    if (!lingering) progress_(true);
    wake_at_.store(wake_at);
    awake_by_.store(until.time_since_epoch().count());
    // Who added something before these stores did not ring: look once more.
    if (outbox_.unwritten_bytes() < wake_at && outbox_.earliest() >= until) {
      wakeup_.wait(connection_ ? connection_->fd() : -1, !lingering, unsent, until);
    }
    wake_at_.store(SIZE_MAX);
    awake_by_.store(INT64_MIN);
  }

  static constexpr std::uint64_t most_under_way = 1u << 20;

  const WaitFor wait_for_;
  Outbox& outbox_;
  Routes& routes_;
  omnibus::detail::UniqueFunction<void(bool)> progress_;
  omnibus::detail::Wakeup wakeup_;
  std::atomic<std::size_t> wake_at_{SIZE_MAX};     // ring when so many bytes are unwritten
  std::atomic<Instant::rep> awake_by_{INT64_MIN};  // ring for a deadline before this
  std::atomic<bool> stopping_{false};
  mutable std::mutex words_mutex_;
  std::string trouble_;
  std::string warning_;

  std::unique_ptr<Connection> connection_;  // what follows is the thread's alone
  Dialer dialer_;
  std::deque<Awaited> awaited_;
  bool ids_come_ = false;  // the reply that is being read is of several messages
  Instant now_{};  // of this turn
  bool waiting_for_route_ = false;
  Instant next_move_ = Instant::max();
  Instant next_turn_ = Instant::min();  // before it, waiting pays
  omnibus::detail::Pace pace_;

  omnibus::detail::DeepThread thread_;
};

}  // namespace omnibus::redis
