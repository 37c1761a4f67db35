// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include <omnibus/backends/kafka/producer.hpp>
#include <omnibus/backends/kafka/transaction.hpp>
#include <omnibus/backoff.hpp>
#include <omnibus/detail/smaller.hpp>
#include <omnibus/detail/thread.hpp>
#include <omnibus/detail/wakeup.hpp>

// Does transactions one after the other, on a thread of its own: librdkafka's calls for that block.

namespace omnibus::kafka {

/// A transactional producer. Thread safety: one thread, the consumer's.
class Transactor final : private Callbacks {
 public:
  enum class Ending : std::uint8_t {
    committed,
    aborted,  ///< nothing of it counts
    lost,     ///< nobody can tell yet, but it is decided once this is `ready` again
  };
  struct Ended {
    Transaction transaction;
    Ending ending{};
    Error problem;  ///< unless it was committed
  };

  /// `bell` rings when there is news. `logs` and `bell` must outlive it.
  Transactor(Settings settings, TransactorPlan plan, Callbacks& logs, omnibus::detail::Wakeup& bell)
      : settings_{std::move(settings)}, plan_{std::move(plan)}, logs_{logs}, bell_{bell}, thread_{[this] { run(); }} {}
  ~Transactor() { close(Instant::min()); }
  Transactor(const Transactor&) = delete;

  /// Throws std::invalid_argument where the settings are wrong.
  static void check(const Settings& settings, const TransactorPlan& plan) {
    rd_kafka_destroy(Producer::make(settings, plan.linger, nullptr, 0, plan.id));
  }

  /// True when no transaction of ours is undecided and none is under way: offsets can be looked up, and a
  /// transaction can be begun.
  bool ready() const {
    std::lock_guard lock{mutex_};
    return ready_;
  }
  /// Why it has not been ready for a while.
  std::optional<Error> problem() const {
    std::lock_guard lock{mutex_};
    return problem_;
  }
  /// To be called when it is ready.
  void begin(Transaction transaction) {
    std::lock_guard lock{mutex_};
    next_ = std::move(transaction);
    ready_ = false;
    signal_.notify_all();
  }
  /// How the last one ended, once.
  std::optional<Ended> ended() {
    std::lock_guard lock{mutex_};
    return std::exchange(ended_, std::nullopt);
  }
  /// Blocks until there is an ending to take.
  void wait(Instant until) {
    std::unique_lock lock{mutex_};
    signal_.wait_until(lock, omnibus::detail::smaller(until, long_from_now()), [this] { return ended_.has_value(); });
  }
  /// Ends what is under way, by committing it or else by aborting it. Blocks until then, or a little longer.
  void close(Instant until) {
    {
      std::lock_guard lock{mutex_};
      if (!stopping_) close_by_ = until;
      stopping_ = true;
      signal_.notify_all();
    }
    if (thread_.joinable()) thread_.join();
  }

 private:
  static Instant long_from_now() noexcept { return std::chrono::steady_clock::now() + std::chrono::hours{1}; }

  // ── what librdkafka calls ──────────────────────────────────────────────────────────────────────

  void log(int level, std::string_view line) noexcept override { logs_.log(level, line); }
  /// A message was not stored, from inside of a commit.
  void reported(const rd_kafka_message_t& sent) noexcept override {
    const bool withdrawn =
        sent.err == RD_KAFKA_RESP_ERR__PURGE_QUEUE || sent.err == RD_KAFKA_RESP_ERR__PURGE_INFLIGHT;
    if (sent.err == RD_KAFKA_RESP_ERR_NO_ERROR || withdrawn || refused_) return;
    refused_ = to_error(sent.err, "publish \"" + std::string{text_of(rd_kafka_topic_name(sent.rkt))} + "\"");
  }

  // ── the thread ─────────────────────────────────────────────────────────────────────────────────

  void run() {
    while (true) {
      if (!producer_ && !renew()) break;
      std::optional<Transaction> next = take();
      if (!next) break;
      Ended ended{std::move(*next), {}, {}};
      ended.ending = perform(ended.transaction);
      ended.problem = refused_ ? *refused_ : trouble_;
      if (ended.ending != Ending::committed) topics_.clear();  // one may have gone
      if (ended.ending == Ending::lost) {
        // When the time is up, the broker should know at once rather than after longest_transaction.
        if (is_late()) {
          const LibraryError ignored{rd_kafka_abort_transaction(get(), slice_ms())};
        }
        producer_.reset();
      }
      std::lock_guard lock{mutex_};
      ready_ = producer_ != nullptr;
      if (ended.ending == Ending::committed) problem_.reset();
      ended_ = std::move(ended);
      signal_.notify_all();
      bell_.ring();
    }
    topics_.clear();
    producer_.reset();
  }

  std::optional<Transaction> take() {
    std::unique_lock lock{mutex_};
    signal_.wait(lock, [this] { return stopping_ || next_; });
    return std::exchange(next_, std::nullopt);
  }

  /// Makes a producer, and has whatever one of its name left behind committed or aborted. False: there is no more
  /// time.
  bool renew() {
    for (std::uint32_t failures = 1; true; ++failures) {
      try {
        Callbacks& calls = *this;
        producer_ = std::make_unique<Producer>(settings_, plan_.linger, calls, 0, plan_.id);
        const auto begin = [&] { return rd_kafka_init_transactions(get(), slice_ms()); };
        if (!call("begin with transactions", begin, false)) {
          std::lock_guard lock{mutex_};
          ready_ = true;
          problem_.reset();
          bell_.ring();
          return true;
        }
      } catch (const std::exception& failure) {
        trouble_ = Error::make(Errc::unavailable, "begin with transactions", failure.what());
      }
      producer_.reset();
      tell();
      constexpr Backoff delay{std::chrono::milliseconds{100}, std::chrono::seconds{5}, 2.0, false};
      if (!pause(backoff(delay, failures, 0))) return false;
    }
  }

  Ending perform(const Transaction& what) {
    refused_.reset();
    if (const Result<> found = find_topics(what); !found) {
      trouble_ = found.error();
      return Ending::aborted;  // it has not begun
    }
    std::optional<Remedy> remedy = call("begin a transaction", [&] { return rd_kafka_begin_transaction(get()); });
    if (remedy) return Ending::lost;
    remedy = publish(what);
    if (!remedy) {
      const Offsets offsets = what.offsets();
      remedy = call("commit offsets", [&] {
        return rd_kafka_send_offsets_to_transaction(get(), offsets.get(), what.membership.get(), slice_ms());
      });
    }
    if (!remedy) remedy = call("commit a transaction", [&] { return rd_kafka_commit_transaction(get(), slice_ms()); });
    if (!remedy) return Ending::committed;
    if (remedy == Remedy::renew) return Ending::lost;
    const Error why = trouble_;
    remedy = call("abort a transaction", [&] { return rd_kafka_abort_transaction(get(), slice_ms()); });
    trouble_ = why;
    return remedy ? Ending::lost : Ending::aborted;
  }

  std::optional<Remedy> publish(const Transaction& what) {
    for (const Transaction::Part& part : what.parts) {
      for (const RecordOutputs& record : part.share.outputs) {
        for (const MessageBatch::Each& each : record.batch) {
          const auto code = produce(each);
          if (code == RD_KAFKA_RESP_ERR_NO_ERROR) continue;
          trouble_ = to_error(code, "publish \"" + each.topic + "\"");
          return is_of_producer(code) ? Remedy::renew : Remedy::abort;
        }
      }
    }
    return {};
  }
  rd_kafka_resp_err_t produce(const MessageBatch::Each& each) {
    const Message& message = each.message;
    envelope_.clear();
    append_envelope(envelope_, {message.id, message.type, message.sequence, 0, 0, {}});
    return producer_->produce(topics_.find(each.topic)->second.get(),
                              {message.key, message.payload, to_ms(message.time), envelope_, message.headers}, 0);
  }

  /// Calls again while that may help and there is time. Nothing: it has worked.
  template <class Call>
  std::optional<Remedy> call(const char* operation, Call what, bool while_stopping = true) {
    for (std::uint32_t failures = 1; true; ++failures) {
      const LibraryError error{what()};
      if (!error) return {};
      trouble_ = to_error(rd_kafka_error_code(error.get()), operation, rd_kafka_error_string(error.get()));
      const Remedy remedy = remedy_of(*error);
      if (remedy != Remedy::again) return remedy;
      constexpr std::uint32_t few = 5;  // that pass by themselves, such as a coordinator that moves
      if (failures >= few) tell();
      constexpr Backoff delay{std::chrono::milliseconds{10}, std::chrono::seconds{1}, 2.0, false};
      const bool goes_on = pause(backoff(delay, failures, 0));
      if (is_late() || (!goes_on && !while_stopping)) return Remedy::renew;
    }
  }

  // ── topics ─────────────────────────────────────────────────────────────────────────────────────

  /// Looks up the topics that are published to, and makes those that are missing.
  Result<> find_topics(const Transaction& what) {
    for (const Transaction::Part& part : what.parts) {
      for (const RecordOutputs& record : part.share.outputs) {
        for (const MessageBatch::Each& each : record.batch) {
          if (topics_.contains(each.topic)) continue;
          Topic topic = producer_->topic(each.topic);
          if (Result<> found = find(topic.get(), each.topic); !found) return found;
          topics_.emplace(each.topic, std::move(topic));
        }
      }
    }
    return {};
  }
  Result<> find(rd_kafka_topic_t* topic, const std::string& name) {
    const Instant until = std::chrono::steady_clock::now() + std::chrono::seconds{5};
    bool asked = false;
    while (true) {
      const Result<TopicFacts> facts = describe(get(), topic, slice_ms());
      const Result<> led = facts ? check_leaders(get(), topic, facts->partitions, slice_ms()) : facts.error();
      if (led) return {};
      const bool missing = led.error().code == Errc::not_found && plan_.create_topics;
      if (missing && !std::exchange(asked, true)) {
        if (Result<> made = make(name); !made) return made;
      } else if (!missing && !led.error().retryable) {
        return led;
      }
      if (std::chrono::steady_clock::now() >= until || !pause(std::chrono::milliseconds{20})) return led;
    }
  }
  Result<> make(const std::string& name) {
    TopicPlan plan = plan_.topics;
    plan.name = name;
    const Queue answers{rd_kafka_queue_new(get())};
    if (Result<> asked = create(get(), plan, answers.get(), nullptr); !asked) return asked;
    constexpr int longest_ms = 6000;  // the request itself has five seconds
    const Event answer{rd_kafka_queue_poll(answers.get(), longest_ms)};
    if (!answer) return Error::make(Errc::unavailable, "create topic \"" + name + "\"", "no answer");
    return created(answer.get());
  }

  // ── time ───────────────────────────────────────────────────────────────────────────────────────

  /// How long one call blocks.
  int slice_ms() const {
    const Instant now = std::chrono::steady_clock::now();
    std::lock_guard lock{mutex_};
    constexpr std::chrono::milliseconds most{2000}, least{200};  // so that an abort has a chance
    if (!stopping_) return static_cast<int>(most.count());
    return ms_until(omnibus::detail::larger(omnibus::detail::smaller(close_by_, now + most), now + least), now);
  }
  bool is_late() const {
    std::lock_guard lock{mutex_};
    return stopping_ && std::chrono::steady_clock::now() >= close_by_;
  }
  /// Returns false when it is time to end.
  bool pause(Duration length) {
    std::unique_lock lock{mutex_};
    signal_.wait_for(lock, length, [this, before = stopping_] { return stopping_ != before; });
    return !stopping_;
  }
  void tell() {
    std::lock_guard lock{mutex_};
    problem_ = trouble_;
    bell_.ring();
  }

  rd_kafka_t* get() const noexcept { return producer_->get(); }

  const Settings settings_;
  const TransactorPlan plan_;
  Callbacks& logs_;
  omnibus::detail::Wakeup& bell_;

  std::unique_ptr<Producer> producer_;  // the thread's alone, from here ...
  std::map<std::string, Topic, std::less<>> topics_;  // of the producer, and gone before it
  std::optional<Error> refused_;  // the first message that was not stored
  Error trouble_;
  std::string envelope_;  // ... to here

  mutable std::mutex mutex_;
  std::condition_variable signal_;
  std::optional<Transaction> next_;
  std::optional<Ended> ended_;
  std::optional<Error> problem_;
  bool ready_ = false;
  bool stopping_ = false;
  Instant close_by_ = Instant::max();

  omnibus::detail::DeepThread thread_;  // begins last
};

}  // namespace omnibus::kafka
