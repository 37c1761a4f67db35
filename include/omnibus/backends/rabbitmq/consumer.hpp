// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include <omnibus/backend.hpp>
#include <omnibus/backends/rabbitmq/adoption.hpp>
#include <omnibus/backends/rabbitmq/calls.hpp>
#include <omnibus/backends/rabbitmq/connection.hpp>
#include <omnibus/backends/rabbitmq/dialer.hpp>
#include <omnibus/backends/rabbitmq/later.hpp>
#include <omnibus/backends/rabbitmq/shards.hpp>
#include <omnibus/backends/rabbitmq/source.hpp>
#include <omnibus/detail/pace.hpp>
#include <omnibus/detail/smaller.hpp>
#include <omnibus/subscription_spec.hpp>

// One subscription: the dispatcher's thread owns its connection. It connects, declares, consumes the
// shards of its group, hands some of them over when members join, and acknowledges what is done.

namespace omnibus::rabbitmq {

/// Thread safety: one thread, the dispatcher's, but for `wake`.
class Consumer {
 public:
  Consumer(const ConnectOptions& connect, Source source, Publisher& publisher)
      : source_{std::move(source)},
        shards_{source_, first_shard_channel},
        later_{publisher, source_.later_name},
        adoption_{publisher},
        dialer_{connect, [mailbox = later_.mailbox()] { mailbox->wakeup.ring(); }} {}
  Consumer(const Consumer&) = delete;

  void poll(Intake& intake, Instant until) {
    intake_ = &intake;
    delivered_ = 0;
    while (true) {
      const bool woken = later_.wakeup().take();
      const Instant now = std::chrono::steady_clock::now();
      if (!connection_) connect(now);
      if (connection_) serve(now);
      if (delivered_ > 0 || woken || now >= until) break;
      rest(now, until);
    }
    intake_ = nullptr;
  }

  void settle(std::span<const Settlement> settlements) {
    for (const Settlement& each : settlements) {
      Held& held = *reinterpret_cast<Held*>(each.token);
      const bool current = held.current();
      if (current && each.kind == Settlement::Kind::later) {
        later_.send(held, each.delay, each.attempts);
        continue;
      }
      // What is given back stays unacknowledged: its channel is about to be closed.
      const bool done = each.kind == Settlement::Kind::done && !source_.looks;
      if (current) held.shard->settle(held.tag, done);
      shards_.give_back(held);
    }
  }

  void wake() { later_.wakeup().ring(); }

  Result<> close(Instant until) {
    if (!connection_) return {};
    await_copies(until);
    const bool finished = finish_shards(until);
    connection_->close(until);
    connection_.reset();
    for (const auto& shard : shards_) shard->closed();
    constexpr auto why = "the broker did not confirm the end; what was handled last may come again";
    return finished ? Result<>{} : Error::make(Errc::timed_out, "close " + source_.topic, why);
  }

 private:
  static constexpr std::uint16_t call_channel = 1;
  static constexpr std::uint16_t first_shard_channel = Adoption::channel + 1;
  static constexpr auto check_members = std::chrono::seconds{1};
  static constexpr auto flush_every = std::chrono::milliseconds{10};

  // ── the connection's life ──────────────────────────────────────────────────────────────────────

  void connect(Instant now) {
    auto outcome = dialer_.dial(now);
    if (!outcome) return;
    if (*outcome) {
      connection_ = std::move(*outcome).value();
      begin();
    } else {
      tell(outcome->error());
    }
  }

  void tell(const Error& problem) {
    Error told = problem;
    told.operation = "subscribe " + source_.topic;
    if (!problem.operation.empty()) told.context = problem.operation + ": " + problem.context;
    intake_->report(&told);
  }

  /// Everything that came on the connection is of a dead generation from now on.
  void lose(Instant now) {
    (void)connection_->send(now);  // acknowledgements, where it is the broker that gave up something
    const Error problem = connection_->problem();
    connection_.reset();
    next_count_ = Instant::max();
    adoption_.end();
    for (const auto& shard : shards_) {
      if (shard->state() != Shard::State::closed) forget(*shard);
    }
    dialer_.failed(problem, now);
    tell(problem);
  }

  /// The shard's channel is gone.
  void forget(Shard& shard) {
    if (source_.is_log) source_.cursor.resume_after(shard.settled().first_open());
    if (Held* arriving = std::exchange(shard.arriving, nullptr)) shards_.give_back(*arriving);
    shards_.drop_waiting(shard);
    shard.closed();
    (void)intake_->revoke(shard.index(), Instant::min());
  }

  void begin() {
    registered_ = counting_ = false;
    calls_.open(connection_->out());
    calls_.declare(connection_->out(), source_.topology, "declare",
                   [this](const Error* problem, QueueCounts) {
                     if (problem != nullptr) {
                       (void)connection_->lose(*problem);
                     } else {
                       declared();
                     }
                   });
  }

  void declared() {
    if (!source_.members.name.empty()) {
      calls_.consume(connection_->out(), source_.members.name, {});
      next_count_ = std::chrono::steady_clock::now() + check_members;
    }
    adopt();
  }

  void open_shards() { shards_.open(connection_->out(), source_.cursor.from()); }

  // ── what came before the group ─────────────────────────────────────────────────────────────────

  void adopt() {
    Shard* held = shards_.held();
    if (held == nullptr) return open_shards();
    adoption_.look(connection_->out(), held->queue(), [this, held](bool found) {
      found ? held->open(connection_->out()) : open_shards();
    });
  }

  void go_on_adopting(Instant now) {
    if (adoption_.reached()) {
      open_shards();  // the lanes keep the keys in order, and no other member is as far
      if (adoption_.complete(*shards_.held())) shards_.held()->drain();
    } else if (now >= adoption_.due()) {
      adoption_.repeat(now);
    }
  }

  void count_members(Instant now) {
    if (source_.members.name.empty() || now < next_count_ || counting_) return;
    counting_ = true;
    calls_.declare(connection_->out(), {source_.members}, "count members",
                   [this](const Error* problem, QueueCounts counts) {
                     counting_ = false;
                     next_count_ = std::chrono::steady_clock::now() + check_members;
                     if (problem != nullptr) return (void)connection_->lose(*problem);
                     shards_.hand_over(counts.consumers);
                   });
  }

  // ── frames ─────────────────────────────────────────────────────────────────────────────────────

  void serve(Instant now) {
    copies_ended(now);
    hand_on();
    if (now >= next_read_ && !read(now)) return;
    go_on_adopting(now);
    shards_.go_on_draining(connection_->out(), *intake_);
    count_members(now);
    acknowledge(now, now >= next_flush_);
    if (!connection_->keep_alive(now, listening()) || !connection_->send(now)) lose(now);
  }

  /// Takes what has come in. Returns false when the connection is lost.
  bool read(Instant now) {
    const std::size_t before = delivered_;
    amqp_frame_t frame{};
    while (listening() && (delivered_ == 0 || intake_->room() > 0)) {
      const Connection::Got got = connection_->next(frame, now);
      if (got == Connection::Got::nothing) break;
      if (got == Connection::Got::frame) handle(frame);
      if (connection_->lost()) return lose(now), false;
      connection_->release(frame);
    }
    if (delivered_ > before) next_read_ = now + omnibus::detail::linger_after(delivered_ - before);
    return true;
  }

  /// False while enough waits for room: then the broker has to wait as well.
  bool listening() const noexcept { return shards_.waiting_bytes() < 8u << 20; }

  void handle(const amqp_frame_t& frame) {
    if (frame.channel >= first_shard_channel) {
      Shard* shard = shards_.on_channel(frame.channel);
      if (shard == nullptr) return;
      if (Held* held = shards_.assemble(*shard, frame)) return arrived(*held);
      if (frame.frame_type == AMQP_FRAME_METHOD) handle_method(*shard, frame.payload.method);
      return;
    }
    if (frame.frame_type != AMQP_FRAME_METHOD) return;
    const amqp_method_t& method = frame.payload.method;
    if (frame.channel == call_channel) return calls_.handle(connection_->out(), method);
    if (frame.channel == Adoption::channel) adoption_.handle(connection_->out(), method);
  }

  void handle_method(Shard& shard, const amqp_method_t& method) {
    switch (method.id) {
      case AMQP_BASIC_CONSUME_OK_METHOD:
      case AMQP_BASIC_CANCEL_OK_METHOD:
        if (shard.state() == Shard::State::finishing) return shard.finish(connection_->out());
        if (shard.state() == Shard::State::opening) shard.opened();
        return check_registered();
      case AMQP_CHANNEL_CLOSE_OK_METHOD:
        if (intake_ == nullptr) return shard.closed();  // the consumer itself is being closed
        forget(shard);
        if (&shard != shards_.held()) shard.open(connection_->out(), source_.cursor.from());
        return;
      case AMQP_BASIC_CANCEL_METHOD:
        // The queue was deleted, or its node went: everything is declared again, after a while.
        shard.settled().acknowledge(connection_->out(), shard.channel(), true);
        connection_->lose(Error::make(Errc::unavailable, "consume",
                                      "queue \"" + shard.queue() + "\" was deleted"));
        return;
      case AMQP_CHANNEL_CLOSE_METHOD: {
        const auto* close = static_cast<const amqp_channel_close_t*>(method.decoded);
        connection_->lose(broker_error(close->reply_code, view_of(close->reply_text),
                                       "consume \"" + shard.queue() + "\""));
        return;
      }
      default: return;
    }
  }

  void check_registered() {
    if (registered_) return;
    // A member that waits until another one has worked off what was held is registered there.
    if (!shards_.registered(adoption_.active() && !adoption_.reached())) return;
    registered_ = true;
    dialer_.worked();
    intake_->report(nullptr);
  }

  // ── messages ───────────────────────────────────────────────────────────────────────────────────

  void arrived(Held& held) {
    Shard& shard = *held.shard;
    if (!shard.takes()) return shards_.give_back(held);
    if (&shard == shards_.held() && adoption_.takes(held.received.message(), held.tag)) {
      return shards_.give_back(held);
    }
    shard.took();
    const Received::Facts& facts = held.received.facts();
    if (source_.is_log && !source_.cursor.wants(held.received, held.tag, shard.settled().first_open())) {
      shard.settle(held.tag, true);
      return shards_.give_back(held);
    }
    if (facts.wait > Duration::zero() && !source_.is_log) {
      return later_.send(held, facts.wait, facts.attempts);
    }
    if (!shards_.any_waiting() && intake_->room() > 0) return deliver(held);
    shards_.wait_for_room(held);
  }

  /// Hands on what waited for room.
  void hand_on() {
    while (shards_.any_waiting() && intake_->room() > 0) deliver(shards_.next_waiting());
  }

  void deliver(Held& held) {
    const Received::Facts& facts = held.received.facts();
    if (source_.is_log && source_.cursor.lost()) {
      const Error lost = Error::make(Errc::position_lost, "subscribe " + source_.topic,
                                     "the log no longer holds the start; it begins later");
      intake_->report(&lost);
    }
    intake_->deliver({&held.received.message(), source_.topic, held.shard->index(),
                      {facts.offset, 0}, facts.attempts, reinterpret_cast<std::uint64_t>(&held)});
    ++delivered_;
  }

  void copies_ended(Instant now) {
    later_.turn(now, [this](Held& held) {
      if (held.current()) held.shard->settle(held.tag, true);
      shards_.give_back(held);
    });
  }

  /// Sends acknowledgements: where there are many, and every now and then whatever there is. The
  /// thread does not sleep on any, see `rest`.
  void acknowledge(Instant now, bool whatever) {
    if (whatever) next_flush_ = now + flush_every;
    shards_.acknowledge(connection_->out(), whatever);
  }

  /// Sleeps until something happens.
  void rest(Instant now, Instant until) {
    using omnibus::detail::smaller;
    until = smaller(until, later_.next_retry());
    bool unsent = false;
    if (connection_) {
      acknowledge(now, true);
      if (!connection_->send(now)) return;  // the next turn finds out
      unsent = connection_->unsent() > 0;
      until = smaller(until, smaller(connection_->next_beat(), adoption_.due()));
      if (!source_.members.name.empty() && !counting_) until = smaller(until, next_count_);
      if (shards_.any_unsent()) until = smaller(until, next_flush_);
    } else {
      until = smaller(until, dialer_.due());
    }
    if (now < next_read_) {
      omnibus::detail::Wakeup::doze(smaller(until, next_read_));
    } else {
      later_.wakeup().wait(connection_ ? connection_->fd() : -1, listening(), unsent, until);
    }
  }

  /// Waits for the confirms of copies, whose originals can then be acknowledged.
  void await_copies(Instant until) {
    while (true) {
      const Instant now = std::chrono::steady_clock::now();
      copies_ended(now);
      if (shards_.forwarding() == 0 || now >= until) return;
      later_.wakeup().wait(-1, false, false,
                             omnibus::detail::smaller(until, later_.next_retry()));
      (void)later_.wakeup().take();
    }
  }

  /// Acknowledges what is done and closes the channels. False when that did not work in time.
  bool finish_shards(Instant until) {
    const bool in_haste = std::chrono::steady_clock::now() >= until;
    shards_.finish(connection_->out(), in_haste);
    amqp_frame_t frame{};
    while (true) {
      const Instant now = std::chrono::steady_clock::now();
      while (connection_->next(frame, now) == Connection::Got::frame) {
        if (frame.channel >= first_shard_channel || frame.channel == 0) handle(frame);
        connection_->release(frame);
      }
      const bool closed = shards_.all_closed();
      if (!connection_->send(now) || closed || now >= until) return closed;
      if (connection_->lost()) return !shards_.any_finishing();
      later_.wakeup().wait(connection_->fd(), true, connection_->unsent() > 0, until);
      (void)later_.wakeup().take();
    }
  }

  Source source_;
  Shards shards_;
  Later later_;
  Adoption adoption_;
  std::unique_ptr<Connection> connection_;
  Dialer dialer_;
  Calls calls_{call_channel};
  Intake* intake_ = nullptr;  // while polled
  std::size_t delivered_ = 0;
  bool registered_ = false;
  bool counting_ = false;
  Instant next_count_ = Instant::max();
  Instant next_flush_ = Instant::min();
  Instant next_read_ = Instant::min();
};

}  // namespace omnibus::rabbitmq
