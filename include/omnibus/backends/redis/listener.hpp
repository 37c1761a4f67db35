// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <omnibus/backend.hpp>
#include <omnibus/backends/redis/connection.hpp>
#include <omnibus/backends/redis/heard.hpp>
#include <omnibus/backends/redis/pushes.hpp>
#include <omnibus/backends/redis/reporter.hpp>
#include <omnibus/detail/pace.hpp>
#include <omnibus/detail/pool.hpp>
#include <omnibus/detail/smaller.hpp>
#include <omnibus/detail/wakeup.hpp>

// Who listens to a channel. The server keeps nothing: what is published while nobody listens is gone, and
// what is gone is reported. While handlers are behind, nothing is read; the server then keeps what its
// client-output-buffer-limit allows, and disconnects who is farther behind than that.

namespace omnibus::redis {

/// What to listen to.
struct ListenPlan {
  std::string topic;
  std::string channel;   ///< or a pattern
  bool pattern = false;  ///< then the channel of each message is its topic
};

/// Thread safety: one thread, the dispatcher's, but for `wake`.
class Listener final : private PushEvents {
 public:
  Listener(const ConnectOptions& connect, ListenPlan plan)
      : plan_{std::move(plan)}, dialer_{connect, [this] { wakeup_.ring(); }} {}
  Listener(const Listener&) = delete;

  void poll(Intake& intake, Instant until) {
    intake_ = &intake;
    delivered_ = 0;
    while (true) {
      const bool woken = wakeup_.take();
      now_ = std::chrono::steady_clock::now();
      wall_ = std::chrono::system_clock::now();
      if (!connection_) connect();
      if (connection_) serve();
      if (delivered_ > 0 || woken || now_ >= until) break;
      rest(until);
    }
    intake_ = nullptr;
  }

  /// Nobody is told. What is given back is gone.
  void settle(std::span<const Settlement> settlements) {
    for (const Settlement& each : settlements) {
      pool_.give_back(*reinterpret_cast<Heard*>(each.token));
    }
  }

  void wake() { wakeup_.ring(); }
  Result<> close(Instant) {
    connection_.reset();
    return {};
  }

 private:
  static constexpr Duration just_now = std::chrono::seconds{2};
  /// Of waiting for more: measured to cost less CPU, and to hear more in a second, than 0 and 1.5 ms.
  static constexpr Duration longest = std::chrono::microseconds{700};

  // ── the connection's life ──────────────────────────────────────────────────────────────────────

  void connect() {
    auto outcome = dialer_.dial(now_);
    if (!outcome) return;
    if (!*outcome) return reporter_.tell(intake_, outcome->error());
    connection_ = std::move(*outcome).value();
    reporter_.begin();
    append_command(connection_->out(), plan_.pattern ? "PSUBSCRIBE" : "SUBSCRIBE", plan_.channel);
  }

  void lose() {
    Error problem = connection_->problem();
    connection_.reset();
    if (problem.code == Errc::too_large) problem.retryable = true;  // the next one may be smaller
    if (now_ - behind_at_ < just_now) {
      problem.context +=
          "; handlers were behind, and a subscriber that does not read is disconnected: see "
          "client-output-buffer-limit pubsub";
    }
    if (reporter_.registered()) {
      lost_at_ = now_;
      lost_why_ = problem.context;
    }
    dialer_.failed(problem, now_);
    reporter_.tell(intake_, problem);
  }

  void serve() {
    hand_on();
    if (hungry() && now_ >= read_at_) {
      const bool kept = connection_->receive(pushes_, now_, [this] { return hungry(); });
      if (!kept || connection_->lost()) return lose();
      // Who has read everything lets more gather; who has not goes on as soon as there is room.
      read_at_ = now_;
      if (hungry()) {
        read_at_ += omnibus::detail::smaller(longest, omnibus::detail::linger_after(delivered_));
      }
      switch (connection_->pulse(now_)) {
        case Connection::Pulse::fine: break;
        case Connection::Pulse::ping: append_command(connection_->out(), "PING"); break;
        case Connection::Pulse::lost: return lose();
      }
    }
    if (!hungry()) behind_at_ = now_;
    if (!connection_->send()) lose();
  }
  /// There is nothing that must go first, and room for more.
  bool hungry() const noexcept { return waiting_.empty() && intake_->room() > 0; }

  // ── what comes ─────────────────────────────────────────────────────────────────────────────────

  void subscribed() override {
    dialer_.worked();
    if (!lost_why_.empty()) {
      const auto ms = std::chrono::ceil<std::chrono::milliseconds>(now_ - lost_at_).count();
      reporter_.tell(intake_, problems::missed(ms, lost_why_));
      lost_why_.clear();
    }
    reporter_.well(intake_);
  }
  void arrived(std::string_view channel, std::string_view bytes) override {
    Heard& heard = pool_.take();
    heard.take(plan_.pattern ? channel : std::string_view{plan_.topic}, bytes, wall_);
    if (hungry()) return deliver(heard);
    waiting_.push_back(&heard);  // no more of them than lie in one buffer
  }
  void refused(const Error& problem) override { (void)connection_->lose(problem); }

  void hand_on() {
    while (!waiting_.empty() && intake_->room() > 0) {
      Heard& heard = *waiting_.front();
      waiting_.pop_front();
      deliver(heard);
    }
  }
  void deliver(Heard& heard) {
    ++delivered_;
    intake_->deliver(
        {&heard.message(), heard.topic(), 0, {}, 0, reinterpret_cast<std::uint64_t>(&heard)});
  }

  void rest(Instant until) {
    using omnibus::detail::smaller;
    if (!connection_) return wakeup_.wait(-1, false, false, smaller(until, dialer_.due()));
    const bool reads = hungry() && now_ >= read_at_;
    const bool unsent = connection_->unsent() > 0;
    if (hungry()) until = smaller(until, reads ? connection_->next_pulse() : read_at_);
    // A socket that is not read would wake us again and again when the server has gone.
    wakeup_.wait(reads || unsent ? connection_->fd() : -1, reads, unsent, until);
  }

  const ListenPlan plan_;
  Reporter reporter_{plan_.topic};
  omnibus::detail::Wakeup wakeup_;
  omnibus::detail::Pool<Heard> pool_;
  PushReader pushes_{*this};
  std::unique_ptr<Connection> connection_;
  std::deque<Heard*> waiting_;  // for room
  Intake* intake_ = nullptr;    // while polled
  std::size_t delivered_ = 0;
  Instant now_{};  // of this turn, as wall_
  Time wall_{};
  Instant read_at_ = Instant::min();  // before it, waiting pays
  Instant behind_at_ = Instant{};     // when there was last no room
  Instant lost_at_{};
  std::string lost_why_;  // empty: nothing was missed
  Dialer dialer_;         // last: its thread rings until it is joined
};

}  // namespace omnibus::redis
