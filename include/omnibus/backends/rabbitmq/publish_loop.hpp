// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include <omnibus/backends/rabbitmq/calls.hpp>
#include <omnibus/backends/rabbitmq/connection.hpp>
#include <omnibus/backends/rabbitmq/dialer.hpp>
#include <omnibus/backends/rabbitmq/outbox.hpp>
#include <omnibus/backends/rabbitmq/received.hpp>
#include <omnibus/backends/rabbitmq/routes.hpp>
#include <omnibus/detail/pace.hpp>
#include <omnibus/detail/smaller.hpp>
#include <omnibus/detail/thread.hpp>
#include <omnibus/detail/unique_function.hpp>
#include <omnibus/detail/wakeup.hpp>

// The thread that owns the publishing connection: it writes what stands in the outbox, many messages
// at once, and hears what became of them.

namespace omnibus::rabbitmq {

inline constexpr std::uint16_t publish_channel = 1;
inline constexpr std::uint16_t call_channel = 2;

/// Thread safety: public members from any thread. Lifetime: outbox and routes must outlive it.
class PublishLoop {
 public:
  /// `progress` is called on the loop's thread when messages may have got endings, with true when the
  /// loop is about to sleep for an indefinite time.
  PublishLoop(const ConnectOptions& connect, Outbox& outbox, Routes& routes,
              omnibus::detail::UniqueFunction<void(bool quiet)> progress)
      : outbox_{outbox},
        routes_{routes},
        progress_{std::move(progress)},
        dialer_{connect, [this] { wakeup_.ring(); }} {
    thread_ = omnibus::detail::DeepThread{[this] { run(); }};
  }
  ~PublishLoop() { stop(); }
  PublishLoop(const PublishLoop&) = delete;

  /// A message was added: wakes the loop if it would sleep for too long.
  void submitted(Instant deadline) noexcept {
    if (deadline.time_since_epoch().count() < awake_by_.load() ||
        outbox_.unwritten_bytes() >= wake_at_.load()) {
      wakeup_.ring();
    }
  }

  /// Ends the loop. What has no ending gets one: outcome_unknown where the broker may have it, else
  /// closed. One caller at a time.
  void stop() {
    stopping_.store(true);
    wakeup_.ring();
    if (thread_.joinable()) thread_.join();
  }

  bool is_current() const noexcept { return thread_.is_current(); }
  /// What is wrong; empty when nothing is.
  std::string trouble() const {
    std::lock_guard lock{trouble_mutex_};
    return trouble_;
  }

 private:
  static constexpr std::size_t much = std::size_t{64} * 1024;
  /// A queue that refuses has no leader yet, most often: it is given time.
  static constexpr Duration after_refusal = std::chrono::milliseconds{100};
  static constexpr std::uint64_t few = 16;  ///< messages under way while it refuses

  void set_trouble(std::string_view trouble) {
    const std::lock_guard lock{trouble_mutex_};
    trouble_ = trouble;
  }
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
    give_up();
    progress_(true);
  }

  void connect(Instant now) {
    auto outcome = dialer_.dial(now);
    if (!outcome) return;
    if (*outcome) {
      begin(std::move(*outcome).value());
    } else {
      failed(outcome->error());
    }
  }

  void failed(const Error& problem) {
    set_trouble(problem.message());
    if (problem.retryable) return;
    // It will not pass by itself: nobody is kept waiting.
    outbox_.end_if([](const Outbox::Slot& slot) { return !slot.ever_written; },
                   [&](const Outbox::Slot&) { return problem; });
  }

  void begin(std::unique_ptr<Connection> connection) {
    connection_ = std::move(connection);
    blocked_ = false;
    routes_.for_all([](Route& route) {
      route.state = Route::State::unknown;
      route.refuses_since = Instant::max();
    });
    calls_.open(connection_->out());
    open_channel();
  }

  /// Opens the channel for messages; it is ready when the broker has agreed to confirm.
  void open_channel() {
    amqp_channel_open_t open{};
    append_method(connection_->out(), publish_channel, AMQP_CHANNEL_OPEN_METHOD, &open);
    amqp_confirm_select_t select{};
    append_method(connection_->out(), publish_channel, AMQP_CONFIRM_SELECT_METHOD, &select);
    ready_ = returning_ = false;
    pace_.restart();
    outbox_.restart();
  }

  void lose(Instant now) {
    const Error problem = connection_->problem();
    connection_.reset();
    ready_ = returning_ = false;
    outbox_.restart();
    dialer_.failed(problem, now);
    failed(problem);
  }

  void read(Instant now) {
    amqp_frame_t frame{};
    while (true) {
      const Connection::Got got = connection_->next(frame, now);
      if (got == Connection::Got::nothing) break;
      if (got == Connection::Got::lost) return lose(now);
      handle(frame, now);
      connection_->release(frame);
    }
    if (!connection_->keep_alive(now, true)) lose(now);
  }

  void handle(const amqp_frame_t& frame, Instant now) {
    if (frame.frame_type == AMQP_FRAME_METHOD) {
      const amqp_method_t& method = frame.payload.method;
      if (frame.channel == publish_channel) return handle_channel(method, now);
      if (frame.channel == call_channel) return calls_.handle(connection_->out(), method);
      return handle_connection(method);
    }
    if (!returning_) return;
    if (frame.frame_type == AMQP_FRAME_HEADER) {
      const auto& header = frame.payload.properties;
      returned_.begin(*static_cast<const amqp_basic_properties_t*>(header.decoded), header.body_size,
                      false);
    } else if (frame.frame_type == AMQP_FRAME_BODY) {
      (void)returned_.add(view_of(frame.payload.body_fragment));
    }
    if (!returned_.whole()) return;
    returning_ = false;
    outbox_.returned(returned_.message().id, returned_exchange_,
                     "no queue is bound to exchange \"" + returned_exchange_ +
                         "\" for it; a group's queues are made by its first subscription");
    returned_.release();
  }

  void handle_connection(const amqp_method_t& method) {
    switch (method.id) {
      case AMQP_CONNECTION_BLOCKED_METHOD: {
        const auto* blocked = static_cast<const amqp_connection_blocked_t*>(method.decoded);
        blocked_ = true;
        set_trouble("the broker takes no messages for now: " + std::string{view_of(blocked->reason)});
        return;
      }
      case AMQP_CONNECTION_UNBLOCKED_METHOD:
        blocked_ = false;
        set_trouble("");
        return;
      default: return;
    }
  }

  void handle_channel(const amqp_method_t& method, Instant now) {
    switch (method.id) {
      case AMQP_CONFIRM_SELECT_OK_METHOD:
        ready_ = true;
        dialer_.worked();
        if (!blocked_) set_trouble("");
        return;
      case AMQP_BASIC_ACK_METHOD: {
        const auto* ack = static_cast<const amqp_basic_ack_t*>(method.decoded);
        strikes_ = refusals_ = 0;
        return outbox_.confirmed(ack->delivery_tag, ack->multiple != 0, true, now);
      }
      case AMQP_BASIC_NACK_METHOD: {
        const auto* nack = static_cast<const amqp_basic_nack_t*>(method.decoded);
        ++refusals_;
        outbox_.confirmed(nack->delivery_tag, nack->multiple != 0, false, now);
        if (!outbox_.all_confirmed()) return;
        // Nothing but refusals: a channel asks for ever the node that led a queue when it first published
        // to it (rabbit_fifo_client). A new channel asks anew.
        next_turn_ = now + after_refusal;
        append_channel_close(connection_->out(), publish_channel);
        ready_ = false;
        return;
      }
      case AMQP_BASIC_RETURN_METHOD:
        // Its header and body follow, and its confirm after them (rabbitmq.com/docs/confirms).
        returning_ = true;
        returned_exchange_ =
            view_of(static_cast<const amqp_basic_return_t*>(method.decoded)->exchange);
        return;
      case AMQP_CHANNEL_CLOSE_OK_METHOD: return open_channel();
      case AMQP_CHANNEL_CLOSE_METHOD: {
        const auto* close = static_cast<const amqp_channel_close_t*>(method.decoded);
        amqp_channel_close_ok_t ok{};
        append_method(connection_->out(), publish_channel, AMQP_CHANNEL_CLOSE_OK_METHOD, &ok);
        blame(close->reply_code, view_of(close->reply_text), now);
        return open_channel();
      }
      default: return;
    }
  }

  /// The broker closed the channel over one of the messages: which, and how does it end? The others
  /// go again.
  void blame(std::uint16_t code, std::string_view text, Instant now) {
    const Error problem = broker_error(code, text, "publish");
    if (code == AMQP_NOT_FOUND || code == AMQP_ACCESS_REFUSED) {
      routes_.for_all([&](Route& route) {
        if (text.find("'" + route.exchange + "'") == std::string_view::npos) return;
        // What is missing is declared again, or found missing, before anything more is sent there.
        route.state = Route::State::unknown;
        if (code == AMQP_ACCESS_REFUSED) refuse(route, problem, now);
      });
      if (code == AMQP_NOT_FOUND) return;
    } else if (const std::size_t size = refused_size(text); size != 0) {
      bool found = false;
      outbox_.end_if(
          [&](const Outbox::Slot& slot) {
            return slot.tag != 0 && slot.body_size == size && !std::exchange(found, true);
          },
          [&](const Outbox::Slot&) {
            return Error::make(Errc::too_large, "publish", std::string{text});
          });
      if (found) return;
    }
    if (++strikes_ < 3) return;
    strikes_ = 0;  // three times in a row without a confirm: it is the first one
    const Outbox::Slot* first = outbox_.first_unconfirmed();
    outbox_.end_if([&](const Outbox::Slot& slot) { return &slot == first; },
                   [&](const Outbox::Slot&) {
                     return Error::make(Errc::outcome_unknown, "publish", problem.context);
                   });
  }

  void write(Instant now) {
    if (!connection_->send(now)) return lose(now);
    waiting_for_route_ = false;
    if (!ready_ || blocked_) return;
    if (now < next_turn_ && (refusals_ > 0 || outbox_.unwritten_bytes() < much)) return;
    while (connection_->unsent() == 0) {
      while (connection_->unsent() < much && !waiting_for_route_) {
        Outbox::Slot* slot = outbox_.to_write();
        if (slot == nullptr || (refusals_ > 0 && outbox_.under_way() >= few)) break;
        if (is_ready(*slot->route, now)) {
          connection_->out().append(slot->frames);
          outbox_.written();
        }
      }
      if (connection_->unsent() == 0) break;
      if (!connection_->send(now)) return lose(now);
    }
    pace_.note(outbox_, now);
    if (outbox_.under_way() >= omnibus::detail::Pace::many) next_turn_ = now + pace_.turn();
  }

  /// Asks for what must stand before messages can go this way. Those behind wait: order is kept.
  bool is_ready(Route& route, Instant now) {
    if (route.state == Route::State::refused && now < route.ask_again) {
      refuse(route, route.problem, now);
      return false;
    }
    if (route.state == Route::State::ready || route.topology.empty()) return true;
    waiting_for_route_ = true;
    if (route.state == Route::State::asked || now < next_question_) return false;
    route.state = Route::State::asked;
    calls_.declare(connection_->out(), route.topology, "publish",
                   [this, &route](const Error* problem, QueueCounts) {
                     const Instant answered = std::chrono::steady_clock::now();
                     route.state = problem == nullptr ? Route::State::ready : Route::State::unknown;
                     if (problem == nullptr) return;
                     if (!problem->retryable) return refuse(route, *problem, answered);
                     next_question_ = answered + std::chrono::milliseconds{20};  // it was locked
                   });
    return false;
  }

  /// Ends all messages of this route, now and for a while.
  void refuse(Route& route, const Error& problem, Instant now) {
    if (route.state != Route::State::refused) {
      route.state = Route::State::refused;
      route.problem = problem;
      route.ask_again = now + std::chrono::seconds{1};
    }
    outbox_.end_if([&](const Outbox::Slot& slot) { return slot.route == &route; },
                   [&](const Outbox::Slot& slot) {
                     return slot.ever_written ? Error::make(Errc::outcome_unknown, "publish",
                                                            route.problem.context)
                                              : route.problem;
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
      until = smaller(until, connection_->next_beat());
      unsent = connection_->unsent() > 0;
      if (waiting_for_route_ && now < next_question_) until = smaller(until, next_question_);
      lingering = now < next_turn_;
      if (lingering) until = smaller(until, next_turn_);
      if (ready_ && !blocked_ && !unsent && !waiting_for_route_ && outbox_.may_write()) {
        wake_at = !lingering ? 1 : refusals_ > 0 ? SIZE_MAX : much;
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

  /// The end: nothing more will be known of what has no ending.
  void give_up() {
    if (connection_) connection_->close(std::chrono::steady_clock::now() + std::chrono::milliseconds{200});
    outbox_.end_if([](const Outbox::Slot&) { return true; },
                   [](const Outbox::Slot& slot) {
                     return Error::make(slot.ever_written ? Errc::outcome_unknown : Errc::closed,
                                        "publish", "the bus was closed");
                   });
  }

  Outbox& outbox_;
  Routes& routes_;
  omnibus::detail::UniqueFunction<void(bool)> progress_;
  omnibus::detail::Wakeup wakeup_;
  std::atomic<std::size_t> wake_at_{SIZE_MAX};    // ring when so many bytes are unwritten
  std::atomic<Instant::rep> awake_by_{INT64_MIN};  // ring for a deadline before this
  std::atomic<bool> stopping_{false};
  mutable std::mutex trouble_mutex_;
  std::string trouble_;

  std::unique_ptr<Connection> connection_;  // what follows is the thread's alone
  Dialer dialer_;
  Calls calls_{call_channel};
  bool ready_ = false;    // the broker confirms on the channel
  bool blocked_ = false;  // the broker takes nothing
  bool waiting_for_route_ = false;
  Instant next_question_ = Instant::min();
  std::uint32_t strikes_ = 0;   // channels that were closed on us, since the last confirm
  std::uint32_t refusals_ = 0;  // since the last confirm
  Instant next_turn_ = Instant::min();  // before it, waiting pays
  omnibus::detail::Pace pace_;
  bool returning_ = false;
  Received returned_;
  std::string returned_exchange_;

  omnibus::detail::DeepThread thread_;
};

}  // namespace omnibus::rabbitmq
