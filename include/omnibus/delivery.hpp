// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <omnibus/clock.hpp>
#include <omnibus/error.hpp>
#include <omnibus/message.hpp>
#include <omnibus/result.hpp>

// A received message: the envelope, where it came from, and what has happened to it so far.

namespace omnibus {

class Delivery;
class Effects;
class MessageBatch;

/// How a delivery ended, or what happened on the way; observers and counters are told.
enum class DeliveryEvent : std::uint8_t {
  delivered,      ///< the handler is about to run
  handled,        ///< the pipeline ended well
  retrying,       ///< it will be tried again
  dead_lettered,  ///< it stands in a dead-letter topic
  dropped,        ///< a stage ended it well without calling the handler: the user wrote so
  duplicate,      ///< its idempotency key was completed before; the handler did not run
  given_back,     ///< it goes back to the broker unhandled
  out_of_sequence,  ///< its number is not the one that should come; see `sequenced`
};

/// The event's name, as written in the source.
constexpr std::string_view to_string(DeliveryEvent event) noexcept {
  switch (event) {
    case DeliveryEvent::delivered: return "delivered";
    case DeliveryEvent::handled: return "handled";
    case DeliveryEvent::retrying: return "retrying";
    case DeliveryEvent::dead_lettered: return "dead_lettered";
    case DeliveryEvent::dropped: return "dropped";
    case DeliveryEvent::duplicate: return "duplicate";
    case DeliveryEvent::given_back: return "given_back";
    case DeliveryEvent::out_of_sequence: return "out_of_sequence";
  }
  return "unknown";
}

/// What stages may ask of the subscription that runs them. Implemented by the dispatcher.
/// Thread safety: shared objects are safe.
class DeliveryContext {
 public:
  virtual ~DeliveryContext() = default;
  /// Publishes and blocks until the ending, as `EventBus::publish` does.
  virtual Result<Receipt> publish(std::string_view topic, const MessageView& message) = 0;
  /// The clock of the backend.
  virtual const Clock& clock() const noexcept = 0;
  /// The group of the subscription; empty for a reader without a group.
  virtual std::string_view group() const noexcept = 0;
  /// 64 random bits, for jitter.
  virtual std::uint64_t random() noexcept = 0;
  /// Makes what a handler wants to publish with its message ready for the backend. Errors: those of
  /// `EventBus::publish` that are known beforehand.
  virtual Result<> prepare(MessageBatch&) { return {}; }
  /// No new messages are taken until then. `why` is shown in health; nullptr: nothing is wrong.
  virtual void pause(Instant, const Error*) {}
  /// Tells observers that the consumer is registered (nullptr) or what is wrong with it.
  virtual void report(const Error* problem) = 0;
  /// Tells observers and counters.
  virtual void notify(DeliveryEvent event, const Delivery& delivery, const Error* error) = 0;
};

/// Who has to know of a dead letter before it is written.
class BurialGuard {
 public:
  /// The dead letter of the delivery goes to `topic`. An error, which asks for another try: it is not written
  /// yet. Blocks: while the guard notes it.
  virtual Result<> before_burial(Delivery& delivery, std::string_view topic) = 0;

 protected:
  ~BurialGuard() = default;
};

/// A message on its way through a pipeline. Handlers and stages get it by reference.
/// Thread safety: one thread at a time. Lifetime: views it gives are valid until the handler
/// returns; copy with `message()` what is needed longer.
class Delivery {
 public:
  /// `generation` changes when the partition may have been with another consumer.
  Delivery(const Incoming& incoming, DeliveryContext& context, std::uint64_t generation = 0) noexcept
      : incoming_{incoming},
        complete_{incoming.complete},
        context_{&context},
        generation_{generation},
        attempt_{incoming.attempts + 1} {}

  std::string_view id() const noexcept { return view().id; }
  std::string_view type() const noexcept { return view().type; }
  std::string_view key() const noexcept { return incoming_.message->key; }
  HeadersView headers() const noexcept { return view().headers; }
  /// The payload: bytes, not necessarily text.
  std::string_view payload() const noexcept { return incoming_.message->payload; }
  Time time() const noexcept { return incoming_.message->time; }
  Sequence sequence() const noexcept { return view().sequence; }
  const MessageView& view() const noexcept {
    if (complete_ != nullptr) std::exchange(complete_, nullptr)(incoming_.token);
    return *incoming_.message;
  }
  /// A copy that outlives the delivery.
  Message message() const { return Message{view()}; }

  std::string_view topic() const noexcept { return incoming_.topic; }
  std::string_view group() const noexcept { return context_->group(); }
  std::int32_t partition() const noexcept { return incoming_.partition; }
  Position position() const noexcept { return incoming_.position; }
  /// Which attempt this is, from 1. Counts redeliveries as far as the broker knows them.
  std::uint32_t attempt() const noexcept { return attempt_; }
  /// True when this message may have been handled before, in part or in whole.
  bool redelivered() const noexcept { return attempt_ > 1; }
  /// True when neither this pipeline nor, as far as the broker knows, another one has seen it before.
  bool first_time() const noexcept { return first_time_ && attempt_ == 1; }
  /// While this stays the same, no other consumer has had the partition in between.
  std::uint64_t generation() const noexcept { return generation_; }

  /// When this attempt began, on the clock of the backend; Instant{} where the bus has no observer that
  /// hears of every delivery. For observers: how long an attempt took.
  Instant began() const noexcept { return began_; }
  /// True until this pipeline has seen it once.
  bool first_pass() const noexcept { return first_time_; }

  /// When this attempt should have ended, on the clock of the backend; Instant::max(): whenever. See
  /// `timeout`.
  Instant deadline() const noexcept { return deadline_; }
  void set_deadline(Instant deadline) noexcept { deadline_ = deadline; }
  /// What is left of it; not below zero.
  Duration time_left() const noexcept {
    if (deadline_ == Instant::max()) return Duration::max();
    const Duration left = deadline_ - context_->clock().now();
    return left > Duration::zero() ? left : Duration::zero();
  }

  /// For stages: the time that a rate limit gave this attempt; Instant{}: none yet.
  Instant turn() const noexcept { return turn_; }
  void set_turn(Instant turn) noexcept { turn_ = turn; }

  /// For key stores: where the handler puts what is to be written or kept with the completion of its key;
  /// nullptr: nobody keeps anything.
  Effects* effects() const noexcept { return effects_; }
  void set_effects(Effects* effects) noexcept { effects_ = effects; }

  /// For `publish_with`: what is published with this message; nullptr: no transactional() runs the handler.
  MessageBatch* outputs() const noexcept { return outputs_.get(); }
  /// For stages: of this attempt.
  void set_outputs(std::shared_ptr<MessageBatch> outputs) noexcept { outputs_ = std::move(outputs); }

  /// For the dispatcher: who is asked before the dead letter is written; nullptr: nobody.
  BurialGuard* burial_guard() const noexcept { return burial_guard_; }
  void set_burial_guard(BurialGuard* guard) noexcept { burial_guard_ = guard; }

  /// What the handler left with `keep_result`; of a duplicate, what it left when it handled the message first.
  /// There once idempotent() has returned, for the stages around it and for observers. Empty: nothing.
  std::string_view result() const noexcept { return result_ ? std::string_view{*result_} : std::string_view{}; }
  /// For stages.
  void set_result(std::string result) {
    result_ = result.empty() ? nullptr : std::make_unique<const std::string>(std::move(result));
  }

  /// For stages: the subscription that runs this delivery.
  DeliveryContext& context() const noexcept { return *context_; }
  /// For stages: what earlier attempts in this process left behind; none before the first failure.
  struct History {
    Instant first_failure{};     ///< when the first attempt failed, on the backend's clock
    Error first_error;           ///< how the first attempt failed
    Error last_error;            ///< how the last attempt failed
    bool given_up = false;       ///< no further attempt: only the dead letter is still to be written
    std::string dead_letter_topic;  ///< where it is to be written
    std::uint32_t burials = 0;      ///< how often that was tried
    std::uint64_t claim_to_complete = 0;  ///< handled, but the key store could not be told yet
    std::uint64_t claim_handle = 0;
    std::shared_ptr<Effects> effects = {};  ///< to be written or kept with that completion
    bool returned = false;  ///< a redriven one has ended well, but the parked store could not be told yet
    bool handled = false;   ///< and its handler was called for that
  };
  const History* history() const noexcept { return history_.get(); }
  /// For stages: true when only its dead letter is still to be written, so that no handler is called.
  bool given_up() const noexcept { return history_ != nullptr && history_->given_up; }
  /// For stages: keeps what went wrong for the attempts to come.
  History& remember(const Error& error, Instant now) {
    if (!history_) {
      history_ = std::make_unique<History>();
      history_->first_failure = now;
      history_->first_error = error;
    }
    history_->last_error = error;
    return *history_;
  }
  /// For stages: it now stands in this dead-letter topic, so that nothing counts it as handled.
  /// Lifetime: the name must outlive the delivery.
  void mark_dead_lettered(std::string_view topic) noexcept { dead_letter_topic_ = topic; }
  bool dead_lettered() const noexcept { return !dead_letter_topic_.empty(); }
  /// For stages: its key was completed before, so that it need not be handled.
  void mark_duplicate() noexcept { duplicate_ = true; }
  bool duplicate() const noexcept { return duplicate_; }
  /// The topic its dead letter stands in; empty when there is none.
  std::string_view dead_letter_topic() const noexcept { return dead_letter_topic_; }

  /// For the dispatcher: an attempt begins.
  void mark_began(Instant now) noexcept { began_ = now; }
  /// For the pipeline: the handler is called, so that this attempt counts.
  void mark_attempted() noexcept { attempted_ = true; }
  /// True when the handler was called in this attempt.
  bool attempted() const noexcept { return attempted_; }
  /// For the dispatcher: the delivery goes through the pipeline again.
  void begin_again() noexcept {
    if (attempted_) {
      ++attempt_;
      turn_ = {};
    }
    deadline_ = Instant::max();
    attempted_ = false;
    first_time_ = false;
  }
  /// For the dispatcher: how many attempts have been made by now.
  std::uint32_t attempts_made() const noexcept { return attempted_ ? attempt_ : attempt_ - 1; }
  /// For the dispatcher: what the backend handed over.
  const Incoming& incoming() const noexcept { return incoming_; }

 private:
  Incoming incoming_;
  mutable void (*complete_)(std::uint64_t token);  // null once it has been called
  DeliveryContext* context_;
  std::unique_ptr<History> history_;
  Effects* effects_ = nullptr;
  BurialGuard* burial_guard_ = nullptr;
  std::shared_ptr<MessageBatch> outputs_;
  std::unique_ptr<const std::string> result_;
  std::string_view dead_letter_topic_;
  std::uint64_t generation_;
  Instant began_{};
  Instant deadline_ = Instant::max();
  Instant turn_{};
  std::uint32_t attempt_;
  bool first_time_ = true;
  bool attempted_ = false;
  bool duplicate_ = false;
};

}  // namespace omnibus
