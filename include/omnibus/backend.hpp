// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <omnibus/detail/unique_function.hpp>
#include <omnibus/message.hpp>
#include <omnibus/result.hpp>
#include <omnibus/time.hpp>

// What a broker must offer, on one screen. backends/README.md says how each broker maps to it; the
// conformance suite says whether a backend is right.

namespace omnibus {

class Clock;
class MessageBatch;
struct SubscriptionSpec;

/// What a backend can do. It drives the API's static_asserts, the README's table and the selection
/// of conformance cases: one truth, three uses.
struct Capabilities {
  std::string_view name;            ///< "memory", "rabbitmq", ...
  bool durable = false;             ///< what was accepted survives the death of the process
  bool shared = false;              ///< several processes can use one broker
  bool groups = false;              ///< members of a group share its messages
  bool redelivers = false;          ///< unsettled messages come again: at least once
  bool ordered_by_key = false;      ///< messages of one key reach a group in order
  bool retains = false;             ///< a new group gets what was published before it existed
  bool delays = false;              ///< publishes and redeliveries can be delayed
  bool replay_by_position = false;  ///< a subscription can start at a position
  bool replay_by_time = false;      ///< a subscription can start at a time
  bool counts_attempts = false;     ///< the number of earlier deliveries survives redelivery
  bool atomic_publish = false;      ///< several messages, for any topics, stand there together or not at all
  bool transactions = false;        ///< what a handler publishes and that its message is done: both or neither
  Duration quiet = std::chrono::seconds{2};  ///< who has heard nothing for so long has got what there was
};

/// Runs exactly once with the ending of a publish: a Receipt when the broker holds the message
/// durably; an error of code outcome_unknown when nobody can tell; any other error when it was
/// positively not taken.
using PublishDone = detail::UniqueFunction<void(Result<Receipt>)>;

/// One message to publish.
struct Outgoing {
  MessageView message;
  Duration delay{};  ///< not delivered before so long has passed
  PublishDone done;
};

/// How long a submit may take.
struct Submit {
  Duration timeout{};         ///< every message has its ending by then
  bool wait_for_room = true;  ///< false: a full window fails at once
  bool awaited = false;       ///< the caller goes on when it has the endings: do not linger for more
};

/// One of several messages that are published as one, and where it goes.
struct Addressed {
  std::string_view topic;
  MessageView message;
};
/// Runs exactly once with the ending of all of them: a Receipt for each, in their order, which live as long as
/// the call, or one error that means for each what it means to a PublishDone.
using AtomicDone = detail::UniqueFunction<void(Result<std::span<const Receipt>>)>;

/// How a delivery ended, told to the backend.
struct Settlement {
  enum class Kind : std::uint8_t {
    done,     ///< handled or dead-lettered: never deliver it again
    later,    ///< deliver it again after `delay`
    release,  ///< not handled: deliver it again, to whoever is there
  };
  std::uint64_t token = 0;
  Kind kind = Kind::done;
  Duration delay{};
  std::uint32_t attempts = 0;  ///< attempts so far, for backends that carry the count
  /// To be published if and only if the message is done, when the subscription is transactional; nullptr:
  /// nothing. The backend takes what is in it.
  MessageBatch* outputs = nullptr;
};

/// What a consumer may do while it is polled. Implemented by the dispatcher.
/// Thread safety: only from inside `poll`, on its thread.
class Intake {
 public:
  virtual ~Intake() = default;
  /// How many more deliveries fit now; 0 means: go on serving the connection, deliver nothing.
  virtual std::size_t room() const noexcept = 0;
  /// Hands over one message. At most `room()` times.
  virtual void deliver(const Incoming& incoming) = 0;
  /// A partition is being taken away: settles as `release` what has not started, waits until
  /// `until` for what runs, settles that, and says whether nothing of the partition is left. Where it has
  /// settled something it wakes the consumer: the poll returns, and the dispatcher sees what is left.
  virtual bool revoke(std::int32_t partition, Instant until) = 0;
  /// Says what the state of the consumer is: nullptr when it is registered and may get messages,
  /// else what is wrong. Shown in `health` and told to the observer.
  virtual void report(const Error* problem) = 0;
};

/// One subscription's connection to the broker. Everything but `wake` is called by one thread, the
/// dispatcher's, which is thereby the owner of the connection.
template <class C>
concept BackendConsumer = requires(C& consumer, Intake& intake, Instant until,
                                   std::span<const Settlement> settlements) {
  // Serves the connection and delivers up to intake.room() messages. Returns when it delivered
  // something, at `until` on the backend's clock, or after `wake`; never runs handlers.
  { consumer.poll(intake, until) } -> std::same_as<void>;
  // Takes note of endings, in the order they happened. Settling an old generation is a no-op.
  { consumer.settle(settlements) } -> std::same_as<void>;
  // Makes the current or the next poll return. From any thread.
  { consumer.wake() } -> std::same_as<void>;
  // Sends what is unsent and leaves the group, by this moment of the machine's clock. What is
  // unsettled is delivered again.
  { consumer.close(until) } -> std::same_as<Result<>>;
};

/// What is known about a connection.
struct Health {
  bool ok = true;
  std::string detail;  ///< why it is not, or a warning such as "appendonly is off"
};

/// How much a line of a log matters.
enum class LogLevel : std::uint8_t { error, warning, info, debug };
/// Takes lines of a log, from many threads at once.
using LogSink = detail::UniqueFunction<void(LogLevel, std::string_view)>;

/// What a backend has whose capabilities say atomic_publish.
template <class B>
concept AtomicPublisher = requires(B& backend, std::span<const Addressed> messages, const Submit& how,
                                   AtomicDone done) {
  // Takes messages, at least one, of which readers see all or none, in this order within a partition. Copies
  // what it needs longer than the call, which may run `done`.
  { backend.submit_atomic(messages, how, std::move(done)) } -> std::same_as<void>;
};

namespace detail {
/// Named for whoever reads it in an error.
template <class B>
inline constexpr bool atomic_publish_needs_submit_atomic =
    !B::capabilities.atomic_publish || AtomicPublisher<B>;
}  // namespace detail

/// A broker. Constructors validate (std::invalid_argument names the field) and do no I/O.
/// One whose client library writes a log has `void log_to(LogSink)` as well, called before anything else;
/// no secret may be in a line. One with transactions may have `Result<> check(topic, const MessageView&) const`:
/// whether it can ever publish this.
/// Thread safety: shared objects are safe.
template <class B>
concept Backend =
    std::constructible_from<B, typename B::Config> &&
    requires(typename B::Config config) {
      { config.endpoint } -> std::convertible_to<std::string>;
      { config.group } -> std::convertible_to<std::string>;
      { B::capabilities } -> std::convertible_to<Capabilities>;
    } &&
    requires(B& backend, const B& shared, std::string_view topic, std::span<Outgoing> messages,
             const Submit& how, const SubscriptionSpec& spec, Instant until) {
      requires BackendConsumer<typename B::Consumer>;
      // Takes messages in this order and sees to it that every `done` runs exactly once, possibly
      // before it returns. Copies what it needs longer than the call.
      { backend.submit(topic, messages, how) } -> std::same_as<void>;
      // Blocks until everything submitted before has its ending, or this moment has come.
      { backend.flush(until) } -> std::same_as<Result<>>;
      // A consumer that connects when it is polled. Throws std::invalid_argument for what this
      // backend can never do.
      { backend.consume(spec) } -> std::same_as<typename B::Consumer>;
      // The state of the publishing side.
      { shared.health() } -> std::same_as<Health>;
      { shared.clock() } -> std::same_as<const Clock&>;
      // Stops publishing: later submits end in `closed`. Idempotent.
      { backend.close(until) } -> std::same_as<Result<>>;
    } && detail::atomic_publish_needs_submit_atomic<B>;

}  // namespace omnibus
