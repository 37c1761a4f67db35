// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <concepts>
#include <cstddef>
#include <memory>
#include <mutex>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <omnibus/batch_publishing.hpp>
#include <omnibus/bus_subscription.hpp>
#include <omnibus/dead_letters.hpp>
#include <omnibus/detail/latch.hpp>
#include <omnibus/detail/uuid.hpp>
#include <omnibus/message_batch.hpp>
#include <omnibus/observer.hpp>
#include <omnibus/options.hpp>
#include <omnibus/pipeline.hpp>
#include <omnibus/publishing.hpp>
#include <omnibus/submitter.hpp>
#include <omnibus/subscription.hpp>

// EventBus<Backend>: the one object a service has. It delegates and decides nothing.

namespace omnibus {

/// Publishes and consumes events over backend B.
///
///     Bus bus{{.endpoint = "localhost:9092", .group = "billing"}};
///     auto billing = bus.subscribe("orders", charge | reliable);
///     bus.publish("orders", OrderPlaced{.id = "o-17"}).value();
///     bus.run();
///
/// Construction does no I/O; it throws std::invalid_argument, naming the field, when the config is
/// malformed. Reconnecting is the backend's job.
/// Thread safety: all members may be called from any thread, handlers included.
/// Lifetime: destroy subscriptions before the bus, and an observer after it.
// Result and Subscription are [[nodiscard]] themselves; said again here, g++ needs half the lines.
template <Backend B, class Observer = NoObserver>
class EventBus {
 public:
  using Config = typename B::Config;
  using PublishOptions = omnibus::PublishOptions<B>;
  using SubscribeOptions = omnibus::SubscribeOptions<B>;
  /// What the backend can do.
  static constexpr Capabilities capabilities = B::capabilities;

  explicit EventBus(Config config = {}, BusOptions options = {})
    requires std::is_same_v<Observer, NoObserver>
      : EventBus{std::move(config), no_observer_, std::move(options)} {}
  /// With an observer, which must outlive the bus.
  EventBus(Config config, Observer& observer, BusOptions options = {})
      : group_{config.group},
        backend_(std::move(config)),
        observer_{observer},
        options_{std::move(options)},
        submitter_{backend_, options_.numbered_keys} {
    require(options_.numbered_keys <= std::size_t{1} << 31, "numbered_keys must be at most 2^31");
    require(options_.publish_timeout > Duration::zero(), "publish_timeout must be positive");
    require(options_.close_timeout >= Duration::zero(), "close_timeout must not be negative");
    if constexpr (requires {
                    observer.log(LogLevel::info, std::string_view{});
                    backend_.log_to(LogSink{});
                  }) {
      backend_.log_to(
          [&observer](LogLevel level, std::string_view line) { observer.log(level, line); });
    }
  }
  /// Closes, waiting for the handlers that run, however long they take.
  ~EventBus() { (void)close(options_.close_timeout); }
  EventBus(const EventBus&) = delete;
  EventBus& operator=(const EventBus&) = delete;

  /// Publishes one event, which is any type with a Codec, a Message or a MessageView.
  /// Delivery: when it returns a Receipt, the broker holds the message durably, as far as its
  /// capabilities go. Order: of one key, in the order of the calls.
  /// Blocks: until the ending, at most `options.timeout`.
  /// Errors: outcome_unknown when nobody can tell whether the broker holds it; every other code
  /// means that it does not: invalid_argument, too_large, encode_failed, closed, window_full,
  /// rejected, unroutable, not_found, access_denied, topology_mismatch, unavailable, unsupported.
  template <class E>
  [[nodiscard("check the Result or call .value()")]] Result<Receipt> publish(
      std::string_view topic, const E& event, const PublishOptions& options = {}) {
    detail::check_event<E>();
    detail::EncodedMessage encoded;
    detail::UuidText id;
    const Result<> ready = prepare(encoded, id, topic, event, options);
    auto result = ready ? detail::submit_and_wait(submitter_, topic, encoded.message, options.delay.value,
                                                  submit_options(options))
                        : Result<Receipt>{ready.error()};
    published(topic, encoded.message, result);
    return result;
  }

  /// Publishes one event and returns when it stands in the window; `done` is called exactly once with
  /// what `publish` would return, on this thread or another, and must not block.
  /// Blocks: while the window is full, at most `options.timeout`.
  template <class E, class Done>
  void publish_async(std::string_view topic, const E& event, Done&& done,
                     const PublishOptions& options = {}) {
    detail::check_event<E>();
    detail::EncodedMessage encoded;
    detail::UuidText id;
    if (Result<> ready = prepare(encoded, id, topic, event, options); !ready) {
      Result<Receipt> refused = std::move(ready.error());
      published(topic, encoded.message, refused);
      detail::completion(std::forward<Done>(done))(std::move(refused));
      return;
    }
    Outgoing outgoing{encoded.message, options.delay.value,
                      detail::completion(std::forward<Done>(done))};
    if constexpr (detail::observes_publishes<Observer>) {
      outgoing.done = [this, name = std::string{topic}, copy = Message{encoded.message},
                       then = std::move(outgoing.done)](Result<Receipt> result) mutable {
        published(name, copy.view(), result);
        then(std::move(result));
      };
    }
    submitter_.submit(topic, {&outgoing, 1}, submit_options(options));
  }

  /// Publishes events in this order, as one call to the backend. `options` hold for each of them;
  /// keys come from the codec or from each Message, ids are new for each.
  /// Blocks: until every ending is known. Returns one result for each event, in order.
  template <class E>
  std::vector<Result<Receipt>> publish_batch(std::string_view topic, std::span<const E> events,
                                             const PublishOptions& options = {}) {
    detail::check_event<E>();
    struct Each {
      detail::EncodedMessage encoded;
      detail::UuidText id;
    };
    std::vector<Result<Receipt>> results(events.size(), Receipt{});
    std::vector<Each> each(events.size());
    std::vector<Outgoing> outgoing;
    outgoing.reserve(events.size());
    detail::Latch ended{events.size()};
    for (std::size_t i = 0; i < events.size(); ++i) {
      auto finish = [&result = results[i], &ended](Result<Receipt> ending) {
        result = std::move(ending);
        ended.arrive();
      };
      Result<> ready = prepare(each[i].encoded, each[i].id, topic, events[i], options);
      if (ready) {
        outgoing.push_back({each[i].encoded.message, options.delay.value, finish});
      } else {
        finish(std::move(ready.error()));
      }
    }
    Submit how = submit_options(options);
    how.awaited = true;
    if (!outgoing.empty()) submitter_.submit(topic, outgoing, how);
    ended.wait();
    for (std::size_t i = 0; i < events.size(); ++i) {
      published(topic, each[i].encoded.message, results[i]);
    }
    return results;
  }

  /// Publishes the messages of a batch, in their order, and waits for all of them: ok, with a receipt for
  /// each, when the broker holds all. Nothing is sent when one of them is malformed.
  /// Delivery: each by itself, so that after an error some may stand there; the error says how many. The
  /// batch keeps its ids: publish it again, and `idempotent` handles once what was there already.
  /// Blocks: until every ending is known, at most `options.timeout`.
  /// Errors: outcome_unknown when one of them has it; else as `publish`, of a message that was not taken.
  [[nodiscard("check the Result or call .value()")]] Result<std::vector<Receipt>> publish_all(
      MessageBatch& batch, const BatchPublishOptions& options = {}) {
    if (Result<> ready = prepare(batch); !ready) return refused(batch, ready.error());
    const auto endings = detail::submit_all_and_wait(submitter_, batch, submit_options(options));
    for (std::size_t i = 0; i < endings.size(); ++i) {
      published(batch[i].topic, batch[i].message.view(), endings[i]);
    }
    return detail::one_ending(endings);
  }

  /// Publishes the messages of a batch as one: readers see all of them or none. Compiles where the backend's
  /// capabilities say atomic_publish.
  /// Delivery: as `publish`, of all or none; outcome_unknown is about all as well. Order: as in the batch.
  /// Blocks: until the ending, at most `options.timeout`.
  /// Errors: as `publish`, and too_large where the batch is more than the backend takes at once.
  template <std::same_as<MessageBatch> Messages>
  [[nodiscard("check the Result or call .value()")]] Result<std::vector<Receipt>> publish_atomic(
      Messages& batch, const BatchPublishOptions& options = {}) {
    constexpr bool can = capabilities.atomic_publish;
    static_assert(can,
                  "omnibus: this backend cannot publish several messages as one. Write publish_all, or "
                  "choose a backend whose capabilities say atomic_publish");
    if constexpr (can) {
      if (Result<> ready = prepare(batch); !ready) return refused(batch, ready.error());
      if (batch.empty()) return std::vector<Receipt>{};
      auto result = detail::submit_atomic_and_wait(submitter_, batch, submit_options(options));
      if (!result) return refused(batch, result.error());
      for (std::size_t i = 0; i < batch.size(); ++i) {
        published(batch[i].topic, batch[i].message.view(), (*result)[i]);
      }
      return result;
    } else {
      return std::vector<Receipt>{};
    }
  }

  /// Blocks until everything published before has its ending. Errors: timed_out.
  [[nodiscard("check the Result or call .value()")]] Result<> flush(
      Duration timeout = std::chrono::seconds{30}) {
    return backend_.flush(after(std::chrono::steady_clock::now(), timeout));
  }

  /// Delivers the topic's messages to `handler`, a handler with or without stages around it, until
  /// the Subscription is destroyed or the bus is closed. Delivery begins at once, on threads of the
  /// subscription: one that talks to the broker and `concurrency` that run handlers.
  /// Delivery: at least once where the backend redelivers; what still fails after the pipeline goes
  /// to the topic of its `dead_letter` stage, or to `<topic>.<group>.dlq`. Order: of one key, one at a time and as published; see Order.
  /// Errors: throws std::invalid_argument, naming the option, for what can never work. What the
  /// broker says later is shown in `health` and told to the observer.
  template <class H>
  [[nodiscard("delivery stops when the Subscription is destroyed; keep it")]] Subscription subscribe(
      std::string_view topic, H&& handler, SubscribeOptions options = {}) {
    (void)detail::check_pipeline<std::remove_cvref_t<H>>();
    constexpr bool transactional =
        detail::check_transactional<std::remove_cvref_t<H>, B::capabilities.transactions>();
    require(is_topic_name(topic), "subscribe: topic is no topic name");
    require(options.concurrency >= 1 && options.concurrency <= 1024,
            "subscribe: concurrency must be 1 to 1024");
    require(options.window >= 1, "subscribe: window must be at least 1");
    if (options.group.empty()) options.group = group_;
    require(options.group.empty() || is_topic_name(options.group), "subscribe: group is no name");
    if (options.parked_in.value != nullptr) {
      require(options.order.value == Order::parked,
              "subscribe: parked_in is for .order = omnibus::parked; leave it out, or write that");
      require(!options.group.empty(), "subscribe: parked_in needs a group, whose keys these are");
    }
    auto composed = detail::compose(std::forward<H>(handler));
    std::string dead = composed.dead_letter_topic();
    if (dead.empty()) dead = default_dead_letter_topic(topic, options.group);
    std::vector<std::string> outputs = composed.outputs();
    outputs.push_back(dead);
    for (const std::string& output : outputs) {
      require(output != topic, "subscribe: a dead-letter topic must not be the topic itself");
    }
    SubscriptionSpec spec{std::string{topic}, options.group,   std::move(options.start.value),
                          options.order.value, options.window, std::move(outputs)};
    spec.transactional = transactional;
    require(!transactional || !options.group.empty(), "subscribe: transactional() needs a group, whose messages are done");
    require(!transactional || options.order.value != Order::relaxed,
            "subscribe: transactional() does not go with .order = omnibus::relaxed, which handles copies");
    const DispatchOptions dispatch{options.concurrency,    options.window,
                                   options.window_waiting, options.window_bytes,
                                   options.order.value,    detail::observes_deliveries<Observer>,
                                   options.parked_in.value};
    auto running = std::make_shared<detail::BusSubscription<B, Observer>>(
        backend_, observer_, options_, std::move(spec), dispatch,
        std::make_unique<detail::KeptPipeline<decltype(composed)>>(std::move(composed), std::move(dead)));
    std::lock_guard lock{mutex_};
    std::erase_if(running_, [](const auto& each) { return each.use_count() == 1 && each->ended(); });
    if (closing_) {
      running->stop(Duration{});
    }
    running->start();
    running_.push_back(running);
    return Subscription{std::move(running)};
  }

  /// Blocks until `stop`, then closes. Returns what `close` returns.
  [[nodiscard("check the Result or call .value()")]] Result<> run() {
    stop_signal_.wait();
    return close(options_.close_timeout);
  }

  /// Lets `run` return. May be called from a signal handler; does not block.
  void stop() noexcept { stop_signal_.raise(); }

  /// Ends in fixed phases under one deadline: stop intake, give back what has not started, finish
  /// what runs, flush outgoing messages, flush acknowledgements, close. Idempotent. Inside a handler
  /// it begins the end and returns at once, because it cannot wait for itself; the destructor, or a
  /// call from another thread, waits.
  /// Errors: timed_out while a handler still runs or messages have no ending: they are not settled
  /// and come again; whatever closing the connections met.
  [[nodiscard("check the Result or call .value()")]] Result<> close(Duration timeout) {
    const auto deadline = after(std::chrono::steady_clock::now(), timeout);
    const auto running = [this] {
      std::lock_guard lock{mutex_};
      closing_ = true;
      return running_;
    }();
    stop_signal_.raise();
    for (const auto& each : running) each->stop(timeout);
    for (const auto& each : running) {
      if (each->on_own_thread()) return {};
    }
    Result<> worst;
    for (const auto& each : running) {
      if (!each->state().wait_ended(deadline)) {
        const bool handling = each->health().stats.in_flight > 0;
        worst = Error::make(Errc::timed_out, "close",
                            handling ? "a handler still runs" : "the broker does not answer");
      } else if (Result<> closed = each->state().closed(); !closed) {
        worst = std::move(closed);
      }
    }
    if (Result<> flushed = backend_.flush(deadline); !flushed && worst) worst = std::move(flushed);
    if (Result<> closed = backend_.close(deadline); !closed && worst) worst = std::move(closed);
    return worst;
  }

  /// Whether publishing works and every subscription is registered, and what each has done.
  BusHealth health() const {
    const Health backend = backend_.health();
    BusHealth health{backend.ok, backend.detail, {}};
    std::lock_guard lock{mutex_};
    for (const auto& each : running_) {
      if (each->ended() && !closing_) continue;
      health.subscriptions.push_back(each->health());
      health.ok &= health.subscriptions.back().ok;
    }
    return health;
  }

  /// The backend itself, for what only it can do.
  B& backend() noexcept { return backend_; }

 private:
  static void require(bool good, const char* what) {
    if (!good) throw std::invalid_argument{std::string{"omnibus: "} + what};
  }

  /// Makes a message of an event and checks it. The message views the other arguments.
  template <class E>
  Result<> prepare(detail::EncodedMessage& encoded, detail::UuidText& id, std::string_view topic,
                   const E& event, const PublishOptions& options) {
    const Time now = backend_.clock().wall();
    if (options.id.empty()) id = ids_.next(now);
    if (Result<> ready = encoded.encode(event, options, {id.data(), id.size()}, now); !ready) {
      return ready;
    }
    if (!is_topic_name(topic)) {
      return Error::make(Errc::invalid_argument, "publish",
                         "the topic is empty, over 249 characters or has one that is not a letter, "
                         "digit, '.', '_', ':' or '-'");
    }
    return check_message(encoded.message, options_.limits);
  }

  Result<> prepare(MessageBatch& batch) {
    batch.stamp(ids_, backend_.clock().wall());
    return detail::check_batch(batch, options_.limits);
  }
  /// One error for all of a batch.
  Error refused(const MessageBatch& batch, const Error& why) {
    for (const MessageBatch::Each& each : batch) published(each.topic, each.message.view(), why);
    return why;
  }

  void published(std::string_view topic, const MessageView& message, const Result<Receipt>& result) {
    if constexpr (detail::observes_publishes<Observer>) observer_.published(topic, message, result);
  }

  template <class Options>
  Submit submit_options(const Options& options) const noexcept {
    return {options.timeout > Duration::zero() ? options.timeout : options_.publish_timeout,
            options.wait_for_room};
  }

  static inline NoObserver no_observer_{};

  const std::string group_;
  B backend_;
  Observer& observer_;
  const BusOptions options_;
  detail::Submitter<B> submitter_;
  detail::UuidGenerator ids_;
  detail::StopSignal stop_signal_;
  mutable std::mutex mutex_;
  bool closing_ = false;
  std::vector<std::shared_ptr<detail::BusSubscription<B, Observer>>> running_;
};

}  // namespace omnibus
