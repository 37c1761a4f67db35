// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <omnibus/backend.hpp>
#include <omnibus/backends/rabbitmq/adoption.hpp>
#include <omnibus/backends/rabbitmq/calls.hpp>
#include <omnibus/backends/rabbitmq/connection.hpp>
#include <omnibus/backends/rabbitmq/dialer.hpp>
#include <omnibus/backends/rabbitmq/later.hpp>
#include <omnibus/backends/rabbitmq/shard.hpp>
#include <omnibus/backends/rabbitmq/source.hpp>
#include <omnibus/detail/smaller.hpp>
#include <omnibus/subscription_spec.hpp>

// One subscription: the dispatcher's thread owns its connection. It connects, declares, consumes the
// shards of its group, hands some of them over when members join, and acknowledges what is done.

namespace omnibus::rabbitmq {

/// Thread safety: one thread, the dispatcher's, but for `wake`.
class Consumer {
 public:
  Consumer(ConnectOptions connect, Source source, Publisher& publisher)
      : connect_{std::move(connect)},
        source_{std::move(source)},
        later_{publisher, source_.later_name, mailbox_},
        adoption_{publisher} {
    for (const std::string& queue : source_.queues) {
      const auto index = static_cast<std::int32_t>(shards_.size());
      const auto channel = static_cast<std::uint16_t>(first_shard_channel + index);
      shards_.push_back(std::make_unique<Shard>(index, channel, queue, source_.prefetch));
    }
  }
  Consumer(const Consumer&) = delete;

  void poll(Intake& intake, Instant until) {
    intake_ = &intake;
    delivered_ = 0;
    while (true) {
      const bool woken = mailbox_->wakeup.take();
      const Instant now = std::chrono::steady_clock::now();
      connect(now);
      if (connection_) serve(now);
      if (delivered_ > 0 || woken || now >= until) break;
      rest(now, until);
    }
    intake_ = nullptr;
  }

  void settle(std::span<const Settlement> settlements) {
    for (const Settlement& each : settlements) {
      Held& held = *reinterpret_cast<Held*>(each.token);
      const bool current = held.generation == held.shard->generation();
      if (current && each.kind == Settlement::Kind::later) {
        later_.send(held, each.delay, each.attempts);
        continue;
      }
      // What is given back stays unacknowledged: its channel is about to be closed.
      if (current) held.shard->settle(held.tag, each.kind == Settlement::Kind::done);
      pool_.give_back(held);
    }
  }

  void wake() { mailbox_->wakeup.ring(); }

  Result<> close(Instant until) {
    if (!connection_) return {};
    await_copies(until);
    const bool finished = finish_shards(until);
    connection_->close(until);
    connection_.reset();
    for (const auto& shard : shards_) shard->closed();
    if (finished) return {};
    return Error::make(Errc::timed_out, "close " + source_.topic,
                       "the broker did not confirm the end; what was handled last may come again");
  }

 private:
  static constexpr std::uint16_t call_channel = 1;
  static constexpr std::uint16_t held_channel = 2;
  static constexpr std::uint16_t first_shard_channel = 3;
  static constexpr Duration check_members = std::chrono::seconds{1};
  static constexpr Duration flush_every = std::chrono::milliseconds{10};
  /// When several messages come at once, the next read waits a little for each of them, so that it
  /// takes many: every turn costs two switches of threads.
  static constexpr Duration linger_each = std::chrono::microseconds{50};
  static constexpr Duration longest_linger = std::chrono::milliseconds{1};
  static constexpr std::size_t several = 4;
  static constexpr std::size_t most_waiting_bytes = 8u << 20;

  Shard* held_shard() noexcept { return source_.held.empty() ? nullptr : shards_.back().get(); }

  // ── the connection's life ──────────────────────────────────────────────────────────────────────

  void connect(Instant now) {
    if (auto outcome = dialer_.take()) {
      if (*outcome) {
        connection_ = std::move(*outcome).value();
        begin();
      } else {
        failed(outcome->error(), now);
      }
    }
    if (!connection_ && !dialer_.busy() && now >= redial_.due()) {
      dialer_.dial(connect_.endpoints[redial_.endpoint()], connect_);
    }
  }

  void failed(const Error& problem, Instant now) {
    Error told = problem;
    told.operation = "subscribe " + source_.topic;
    if (!problem.operation.empty()) told.context = problem.operation + ": " + problem.context;
    intake_->report(&told);
    redial_.failed(now, problem.retryable, connect_.endpoints.size());
  }

  /// Everything that came on the connection is of a dead generation from now on.
  void lose(Instant now) {
    const Error problem = connection_->problem();
    (void)connection_->send(now);  // acknowledgements, where it is the broker that gave up something
    connection_.reset();
    next_count_ = Instant::max();
    adoption_.end();
    for (const auto& shard : shards_) {
      if (shard->state() != Shard::State::closed) forget(*shard);
    }
    failed(problem, now);
  }

  /// The shard's channel is gone.
  void forget(Shard& shard) {
    if (source_.is_log) source_.cursor.resume_after(shard.settled().first_open());
    if (Held* arriving = std::exchange(shard.arriving, nullptr)) pool_.give_back(*arriving);
    drop_waiting(shard);
    shard.closed();
    (void)intake_->revoke(shard.index(), Instant::min());
  }

  void drop_waiting(const Shard& shard) {
    std::erase_if(waiting_, [&](Held* held) {
      if (held->shard != &shard) return false;
      waiting_bytes_ -= held->received.size();
      pool_.give_back(*held);
      return true;
    });
  }

  void begin() {
    registered_ = counting_ = false;
    calls_.open(connection_->out());
    held_calls_.open(connection_->out());
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
    if (!source_.is_log) {
      later_.wake();
      later_.wake(source_.topic);
    }
    if (!source_.members.name.empty()) {
      calls_.consume(connection_->out(), source_.members.name, {});
      next_count_ = std::chrono::steady_clock::now() + check_members;
    }
    adopt();
  }

  void open_shards() {
    for (const auto& shard : shards_) {
      if (shard.get() != held_shard() && shard->state() == Shard::State::closed) {
        shard->open(connection_->out(), source_.cursor.from());
      }
    }
  }

  // ── what came before the group ─────────────────────────────────────────────────────────────────

  void adopt() {
    if (held_shard() == nullptr) return open_shards();
    DeclareQueue queue{source_.held};
    queue.passive = true;
    held_calls_.declare(connection_->out(), {queue}, "look for " + source_.held,
                        [this](const Error* problem, QueueCounts) {
                          if (problem != nullptr) return open_shards();  // there is none
                          adoption_.begin(source_.held, std::chrono::steady_clock::now());
                          held_shard()->open(connection_->out());
                        });
  }

  void go_on_adopting(Instant now) {
    if (!adoption_.active()) return;
    if (adoption_.reached()) {
      open_shards();  // the lanes keep the keys in order, and no other member is as far
      if (adoption_.complete(*held_shard())) held_shard()->drain();
    } else if (now >= adoption_.due()) {
      adoption_.repeat(now);
    }
  }

  // ── members ────────────────────────────────────────────────────────────────────────────────────

  void count_members(Instant now) {
    if (source_.members.name.empty() || now < next_count_ || counting_) return;
    counting_ = true;
    calls_.declare(connection_->out(), {source_.members}, "count members",
                   [this](const Error* problem, QueueCounts counts) {
                     counting_ = false;
                     next_count_ = std::chrono::steady_clock::now() + check_members;
                     if (problem != nullptr) return (void)connection_->lose(*problem);
                     hand_over(counts.consumers);
                   });
  }

  /// Hands over shards when this member is the active consumer of more than its share.
  void hand_over(std::size_t members) {
    const std::size_t count = shards_.size() - (held_shard() != nullptr ? 1 : 0);
    if (members < 2) return;
    const std::size_t share = (count + members - 1) / members;
    std::size_t active = 0;
    for (std::size_t i = 0; i < count; ++i) {
      if (shards_[i]->active() && ++active > share) {
        drop_waiting(*shards_[i]);
        shards_[i]->drain();
      }
    }
  }

  /// Closes channels of which nothing is being handled any more.
  void drain() {
    for (const auto& shard : shards_) {
      if (shard->state() != Shard::State::draining) continue;
      if (intake_->revoke(shard->index(), Instant::min()) && shard->forwarding == 0) {
        shard->finish(connection_->out());
      }
    }
  }

  // ── frames ─────────────────────────────────────────────────────────────────────────────────────

  void serve(Instant now) {
    copies_ended(now);
    hand_on();
    if (now >= next_read_ && !read(now)) return;
    go_on_adopting(now);
    drain();
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
      if (got == Connection::Got::frame) handle(frame, now);
      if (connection_->lost()) {
        lose(now);
        return false;
      }
      connection_->release(frame);
    }
    if (const std::size_t came = delivered_ - before; came >= several) {
      next_read_ = now + omnibus::detail::smaller(longest_linger, linger_each * static_cast<int>(came));
    }
    return true;
  }

  /// False while enough waits for room: then the broker has to wait as well.
  bool listening() const noexcept { return waiting_bytes_ < most_waiting_bytes; }

  void handle(const amqp_frame_t& frame, Instant now) {
    if (frame.channel >= first_shard_channel) {
      const std::size_t index = frame.channel - std::size_t{first_shard_channel};
      if (index < shards_.size()) handle_shard(*shards_[index], frame);
      return;
    }
    if (frame.frame_type != AMQP_FRAME_METHOD) return;
    const amqp_method_t& method = frame.payload.method;
    if (frame.channel == call_channel) return calls_.handle(connection_->out(), method);
    if (frame.channel == held_channel) return held_calls_.handle(connection_->out(), method);
    if (method.id == AMQP_CONNECTION_CLOSE_METHOD) {
      const auto* close = static_cast<const amqp_connection_close_t*>(method.decoded);
      amqp_connection_close_ok_t ok{};
      append_method(connection_->out(), 0, AMQP_CONNECTION_CLOSE_OK_METHOD, &ok);
      (void)connection_->send(now);
      connection_->lose(broker_error(close->reply_code, view_of(close->reply_text), "consume"));
    }
  }

  void handle_shard(Shard& shard, const amqp_frame_t& frame) {
    if (shard.state() == Shard::State::closed) return;
    switch (frame.frame_type) {
      case AMQP_FRAME_METHOD: return handle_method(shard, frame.payload.method);
      case AMQP_FRAME_HEADER: {
        if (shard.arriving == nullptr) return;
        const auto& header = frame.payload.properties;
        const auto* properties = static_cast<const amqp_basic_properties_t*>(header.decoded);
        Received& received = shard.arriving->received;
        received.begin(*properties, header.body_size, shard.arriving->redelivered);
        if (received.whole()) arrived(shard);
        return;
      }
      case AMQP_FRAME_BODY:
        if (shard.arriving == nullptr) return;
        if (shard.arriving->received.add(view_of(frame.payload.body_fragment))) arrived(shard);
        return;
      default: return;
    }
  }

  void handle_method(Shard& shard, const amqp_method_t& method) {
    switch (method.id) {
      case AMQP_BASIC_DELIVER_METHOD: {
        const auto* deliver = static_cast<const amqp_basic_deliver_t*>(method.decoded);
        Held& held = pool_.take();
        held.shard = &shard;
        held.generation = shard.generation();
        held.tag = deliver->delivery_tag;
        held.redelivered = deliver->redelivered != 0;
        shard.arriving = &held;
        return;
      }
      case AMQP_BASIC_CONSUME_OK_METHOD:
      case AMQP_BASIC_CANCEL_OK_METHOD:
        if (shard.state() == Shard::State::finishing) return shard.finish(connection_->out());
        if (shard.state() == Shard::State::opening) shard.opened();
        return check_registered();
      case AMQP_CHANNEL_CLOSE_OK_METHOD:
        if (intake_ == nullptr) return shard.closed();  // the consumer itself is being closed
        forget(shard);
        if (&shard != held_shard()) shard.open(connection_->out(), source_.cursor.from());
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
    const bool waits = adoption_.active() && !adoption_.reached();
    for (const auto& shard : shards_) {
      const bool wanted = waits == (shard.get() == held_shard());
      if (wanted && shard->state() != Shard::State::consuming) return;
    }
    registered_ = true;
    redial_.worked();
    intake_->report(nullptr);
  }

  // ── messages ───────────────────────────────────────────────────────────────────────────────────

  void arrived(Shard& shard) {
    Held& held = *std::exchange(shard.arriving, nullptr);
    if (!shard.takes()) return pool_.give_back(held);
    if (&shard == held_shard() && adoption_.takes(held.received.message(), held.tag)) {
      return pool_.give_back(held);
    }
    shard.took();
    const Received::Facts& facts = held.received.facts();
    if (source_.is_log && !source_.cursor.wants(held.received, held.tag)) {
      shard.settle(held.tag, true);
      return pool_.give_back(held);
    }
    if (facts.wait > Duration::zero() && !source_.is_log) {
      return later_.send(held, facts.wait, facts.attempts);
    }
    if (waiting_.empty() && intake_->room() > 0) return deliver(held);
    waiting_.push_back(&held);
    waiting_bytes_ += held.received.size();
  }

  /// Hands on what waited for room.
  void hand_on() {
    while (!waiting_.empty() && intake_->room() > 0) {
      Held& held = *waiting_.front();
      waiting_.pop_front();
      waiting_bytes_ -= held.received.size();
      deliver(held);
    }
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
    for (const Mailbox::Copied& each : mailbox_->take()) {
      Held& held = *each.held;
      const bool current = held.generation == held.shard->generation();
      if (current && !each.confirmed) {
        later_.failed(held, now);
        continue;
      }
      --held.shard->forwarding;
      if (current) held.shard->settle(held.tag, true);
      pool_.give_back(held);
    }
    later_.retry(now, [this](Held& held) {
      --held.shard->forwarding;
      pool_.give_back(held);
    });
  }

  /// Sends acknowledgements: where there are many, and every now and then whatever there is. The
  /// thread does not sleep on any, see `rest`.
  void acknowledge(Instant now, bool whatever) {
    if (whatever) next_flush_ = now + flush_every;
    for (const auto& shard : shards_) {
      const bool open = shard->takes() || shard->state() == Shard::State::draining;
      if (open && (whatever || shard->settled().unsent() >= shard->batch())) {
        shard->settled().acknowledge(connection_->out(), shard->channel());
      }
    }
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
      for (const auto& shard : shards_) {
        if (shard->settled().unsent() > 0 && shard->takes()) until = smaller(until, next_flush_);
      }
    } else if (!dialer_.busy()) {
      until = smaller(until, redial_.due());
    }
    if (now < next_read_) {
      omnibus::detail::Wakeup::doze(smaller(until, next_read_));
    } else {
      mailbox_->wakeup.sleep(connection_ ? connection_->fd() : -1, listening(), unsent, until);
    }
  }

  /// Waits for the confirms of copies, whose originals can then be acknowledged.
  void await_copies(Instant until) {
    while (true) {
      const Instant now = std::chrono::steady_clock::now();
      copies_ended(now);
      std::size_t under_way = 0;
      for (const auto& shard : shards_) under_way += shard->forwarding;
      if (under_way == 0 || now >= until) return;
      mailbox_->wakeup.sleep(-1, false, false,
                             omnibus::detail::smaller(until, later_.next_retry()));
      (void)mailbox_->wakeup.take();
    }
  }

  bool any_finishing() const {
    for (const auto& shard : shards_) {
      if (shard->state() == Shard::State::finishing) return true;
    }
    return false;
  }

  /// Acknowledges what is done and closes the channels. False when that did not work in time.
  bool finish_shards(Instant until) {
    const bool in_haste = std::chrono::steady_clock::now() >= until;
    for (const auto& shard : shards_) {
      if (!shard->takes() && shard->state() != Shard::State::draining) continue;
      in_haste ? shard->abandon(connection_->out()) : shard->finish(connection_->out());
    }
    amqp_frame_t frame{};
    while (true) {
      const Instant now = std::chrono::steady_clock::now();
      while (connection_->next(frame, now) == Connection::Got::frame) {
        if (frame.channel >= first_shard_channel || frame.channel == 0) handle(frame, now);
        connection_->release(frame);
      }
      bool closed = true;
      for (const auto& shard : shards_) closed &= shard->state() == Shard::State::closed;
      if (!connection_->send(now) || closed || now >= until) return closed;
      if (connection_->lost()) return !any_finishing();
      mailbox_->wakeup.sleep(connection_->fd(), true, connection_->unsent() > 0, until);
      (void)mailbox_->wakeup.take();
    }
  }

  const ConnectOptions connect_;
  Source source_;
  const std::shared_ptr<Mailbox> mailbox_ = std::make_shared<Mailbox>();
  Later later_;
  Adoption adoption_;
  HeldPool pool_;
  std::vector<std::unique_ptr<Shard>> shards_;
  std::unique_ptr<Connection> connection_;
  Dialer dialer_{[mailbox = mailbox_] { mailbox->wakeup.ring(); }};
  Redial redial_;
  Calls calls_{call_channel};
  Calls held_calls_{held_channel};
  Intake* intake_ = nullptr;  // while polled
  std::size_t delivered_ = 0;
  std::deque<Held*> waiting_;  // for room
  std::size_t waiting_bytes_ = 0;
  bool registered_ = false;
  bool counting_ = false;
  Instant next_count_ = Instant::max();
  Instant next_flush_ = Instant::min();
  Instant next_read_ = Instant::min();
};

}  // namespace omnibus::rabbitmq
