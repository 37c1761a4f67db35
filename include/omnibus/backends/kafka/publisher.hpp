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
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <omnibus/backend.hpp>
#include <omnibus/backends/kafka/producer.hpp>
#include <omnibus/backends/kafka/routes.hpp>
#include <omnibus/backends/kafka/slots.hpp>
#include <omnibus/detail/smaller.hpp>
#include <omnibus/detail/thread.hpp>
#include <omnibus/detail/waiters.hpp>

// The publishing side: callers hand their records to librdkafka themselves; one thread hears what
// became of them, looks after topics, keeps deadlines, and starts over with a new producer where the
// old one cannot go on.

namespace omnibus::kafka {

/// How publishing goes.
struct PublishPlan {
  std::size_t window = 0;
  std::size_t window_bytes = 0;
  Duration linger{};
  bool create_topics = true;
};

/// Thread safety: shared objects are safe. No thread runs before the first message.
class Publisher {
 public:
  /// `callbacks` must outlive it.
  Publisher(Settings settings, PublishPlan plan, Callbacks& callbacks)
      : settings_{std::move(settings)}, plan_{plan}, callbacks_{callbacks} {}
  ~Publisher() { (void)close(Instant::min()); }
  Publisher(const Publisher&) = delete;

  /// Takes one record. `make_route(routes)` adds the topic where it is not known yet.
  template <class MakeRoute>
  void submit(std::string_view topic, MakeRoute make_route, const RecordView& record, PublishDone done,
              const Submit& how) {
    const Instant deadline = after(std::chrono::steady_clock::now(), how.timeout);
    std::unique_lock lock{mutex_};
    start();
    if (closed_ || (!slots_->has_room() && !wait_for_room(lock, how, deadline))) {
      const Error error = refusal();
      lock.unlock();
      return done(error);
    }
    Route* route = routes_.find(topic);
    if (route == nullptr) route = &make_route(routes_);
    const std::size_t bytes = record.payload.size() + record.key.size() + overhead;
    const std::uint64_t number = slots_->add(std::move(done), deadline, bytes);
    bool news = deadline.time_since_epoch().count() < awake_by_.load();
    if (route->state == Route::State::ready) {
      news |= !produce(*route, record, number);
    } else {
      route->waiting.push_back({number, Record{record}});
      news |= !unready_.exchange(true);
    }
    if (news) producer_->wake();
  }

  /// Blocks until everything submitted before has its ending. Errors: timed_out.
  Result<> flush(Instant until) {
    std::unique_lock lock{mutex_};
    if (!slots_) return {};
    const std::uint64_t tail = slots_->tail();
    if (waiters_.wait_for_end(lock, until, [&] { return slots_->ended() >= tail; })) return {};
    return Error::make(
        Errc::timed_out, "flush",
        std::to_string(tail - slots_->ended()) + " messages have no ending: " + reason());
  }

  /// Ends publishing: what has no ending by then gets one that says so. Idempotent.
  Result<> close(Instant until) {
    Result<> flushed = flush(until);
    {
      std::lock_guard lock{mutex_};
      closed_ = true;
      waiters_.tell_all();
      if (producer_) producer_->wake();
    }
    std::lock_guard joining{join_mutex_};
    if (thread_.joinable()) thread_.join();
    return flushed;
  }

  Health health() const {
    std::lock_guard lock{mutex_};
    if (closed_) return {false, "closed"};
    if (!slots_) return {true, "not connected: nothing was published yet"};
    if (!trouble_.empty()) return {false, trouble_};
    Health health;
    routes_.for_all([&](const Route& route) {
      if (route.state != Route::State::ready || route.fewest_in_sync > 1) return;
      health.detail.append(health.detail.empty() ? "" : "; ")
          .append("topic \"" + route.plan.name)
          .append("\" has one in-sync replica: what it holds is lost with that one");
    });
    return health;
  }

 private:
  static constexpr std::size_t overhead = 128;  ///< bytes that a record takes besides, roughly

  // ── on callers' threads, under the mutex ───────────────────────────────────────────────────────

  void start() {
    if (slots_ || closed_) return;
    producer_ = std::make_unique<Producer>(settings_, plan_.linger, callbacks_);
    slots_ = std::make_unique<Slots>(plan_.window, plan_.window_bytes);
    thread_ = omnibus::detail::DeepThread{[this] { run(); }};
  }

  bool wait_for_room(std::unique_lock<std::mutex>& lock, const Submit& how, Instant deadline) {
    // A completion that publishes runs on the thread that makes room.
    if (!how.wait_for_room || thread_.is_current()) return false;
    return waiters_.wait_for_room(
               lock, deadline, [&] { return slots_->has_room(); }, [&] { return closed_; }) &&
           !closed_;
  }

  Error refusal() const {
    return closed_ ? Error::make(Errc::closed, "publish", "the bus is closed")
                   : Error::make(Errc::window_full, "publish",
                                 "too many messages have no ending: " + reason());
  }
  std::string reason() const {
    return trouble_.empty() ? std::string{"the broker confirms slowly"} : trouble_;
  }

  /// Returns false when librdkafka did not take it: then the thread has to do something.
  bool produce(Route& route, const RecordView& record, std::uint64_t number) {
    const auto code = producer_->produce(route.topic.get(), record, number);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) return true;
    if (code == RD_KAFKA_RESP_ERR__FATAL) {  // a new producer will take it
      route.wait_again({number, Record{record}});
      fatal_.store(true);
    } else {
      refused_.push_back({number, to_error(code, "publish \"" + route.plan.name + "\"")});
    }
    return false;
  }

  // ── the thread ─────────────────────────────────────────────────────────────────────────────────

  void run() {
    while (!is_closed()) {
      Instant now = std::chrono::steady_clock::now();
      const Instant until = omnibus::detail::smaller(slots_->earliest(), look_after_topics(now));
      awake_by_.store(until.time_since_epoch().count());
      // What came while the store was on its way did not wake us.
      const int ms = slots_->earliest() < until ? 0 : ms_until(until, now);
      const bool news = poll(ms);
      awake_by_.store(INT64_MIN);
      end_refused();
      now = std::chrono::steady_clock::now();
      if (now >= slots_->earliest()) expire(now);
      if (fatal_.load()) renew();
      tell_progress(!news);
    }
    give_up();
    std::lock_guard lock{mutex_};
    waiters_.tell_all();
  }

  bool is_closed() const {
    std::lock_guard lock{mutex_};
    return closed_;
  }

  /// Takes what librdkafka has to say. Returns true when there may be more.
  bool poll(int ms) {
    constexpr int most = 64;
    for (int count = 0; count < most; ++count) {
      const Event event = producer_->poll(count == 0 ? ms : 0);
      if (!event) return count > 0;
      switch (rd_kafka_event_type(event.get())) {
        case RD_KAFKA_EVENT_DR: reports(event.get()); break;
        case RD_KAFKA_EVENT_ERROR: failed(event.get()); break;
        case RD_KAFKA_EVENT_CREATETOPICS_RESULT: made(event.get()); break;
        default: break;
      }
    }
    return true;
  }

  void reports(rd_kafka_event_t* event) {
    constexpr std::size_t at_once = 256;
    const rd_kafka_message_t* sent[at_once];
    while (const std::size_t count = rd_kafka_event_message_array(event, sent, at_once)) {
      for (std::size_t i = 0; i < count; ++i) report(*sent[i]);
      slots_->advance();
      tell_progress(false);
    }
  }

  void report(const rd_kafka_message_t& sent) {
    const auto number = reinterpret_cast<std::uint64_t>(sent._private);
    if (sent.err == RD_KAFKA_RESP_ERR_NO_ERROR) {
      if (troubled_) well();
      slots_->end(number, Receipt{sent.partition, {static_cast<std::uint64_t>(sent.offset), 0}});
    } else if (!slots_->has_ended(number)) {
      if (goes_again(sent.err)) return send_again(sent, number);
      slots_->end(number, ending_of(sent));
    }
    slots_->returned(number);
  }

  /// True for what failed because of the producer, or because its topic went away.
  bool goes_again(rd_kafka_resp_err_t code) const noexcept {
    switch (code) {
      case RD_KAFKA_RESP_ERR__FATAL:
      case RD_KAFKA_RESP_ERR__PURGE_QUEUE:
      case RD_KAFKA_RESP_ERR__PURGE_INFLIGHT: return true;
      case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
      case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
      case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION: return plan_.create_topics;
      default: return false;
    }
  }
  void send_again(const rd_kafka_message_t& sent, std::uint64_t number) {
    std::lock_guard lock{mutex_};
    Route& route = *routes_.find(rd_kafka_topic_name(sent.rkt));
    if (route.state == Route::State::ready) route.state = Route::State::unknown;
    unready_.store(true);
    route.wait_again({number, Record{sent},
                      rd_kafka_message_status(&sent) != RD_KAFKA_MSG_STATUS_NOT_PERSISTED});
  }

  static Error ending_of(const rd_kafka_message_t& sent) {
    Error error = to_error(sent.err, "publish \"" + std::string{rd_kafka_topic_name(sent.rkt)} + "\"");
    if (rd_kafka_message_status(&sent) == RD_KAFKA_MSG_STATUS_NOT_PERSISTED) return error;
    return Error::make(Errc::outcome_unknown, error.operation, error.context);
  }

  void failed(rd_kafka_event_t* event) {
    const auto code = rd_kafka_event_error(event);
    if (code == RD_KAFKA_RESP_ERR__FATAL) return fatal_.store(true);
    const std::string_view said = text_of(rd_kafka_event_error_string(event));
    if (code == RD_KAFKA_RESP_ERR__TRANSPORT) {  // one of several; all: _ALL_BROKERS_DOWN
      last_broker_ = said;
      return;
    }
    // What it says first says most: that all are down follows from it.
    if (troubled_ && code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) return;
    const Error error = to_error(code, "connect to Kafka", why_down(code, said, last_broker_));
    ill(error.message());
    if (error.retryable) return;
    // It will not pass by itself: nobody is kept waiting, and nothing goes after all.
    renew();
    end_waiting([](const Route&, const Route::Waiting&) { return true; }, error);
  }

  void ill(std::string why) {
    std::lock_guard lock{mutex_};
    trouble_ = std::move(why);
    troubled_ = true;
  }
  void well() {
    std::lock_guard lock{mutex_};
    trouble_.clear();
    troubled_ = false;
  }

  void end_refused() {
    std::vector<std::pair<std::uint64_t, Error>> refused;
    {
      std::lock_guard lock{mutex_};
      refused.swap(refused_);
    }
    for (const auto& [number, error] : refused) {
      slots_->end(number, error);
      slots_->returned(number);
    }
    if (!refused.empty()) slots_->advance();
  }

  // ── topics ─────────────────────────────────────────────────────────────────────────────────────

  /// Asks for topics that messages wait for. Returns when there is something more to ask.
  Instant look_after_topics(Instant now) {
    if (!unready_.load()) return Instant::max();
    std::vector<Route*> due;
    Instant next = Instant::max();
    {
      std::lock_guard lock{mutex_};
      bool waiting = false;
      routes_.for_all([&](Route& route) {
        if (route.waiting.empty()) return;
        waiting = true;
        if (route.state != Route::State::unknown) return;
        if (route.ask_again <= now) due.push_back(&route);
        if (!route.topic) route.topic = producer_->topic(route.plan.name);
        next = omnibus::detail::smaller(next, route.ask_again);
      });
      unready_.store(waiting);
    }
    for (Route* route : due) look_up(*route);
    return due.empty() ? next : now;
  }

  void look_up(Route& route) {
    constexpr int patience_ms = 500;
    const Result<TopicFacts> facts = describe(producer_->get(), route.topic.get(), patience_ms);
    if (facts) {
      well();
      std::lock_guard lock{mutex_};
      route.fewest_in_sync = facts->fewest_in_sync;
      route.state = Route::State::ready;
      for (auto& waiting = route.waiting; !waiting.empty() && !fatal_.load(); waiting.pop_front()) {
        const Route::Waiting next = std::move(waiting.front());
        (void)produce(route, next.record.view(), next.number);
      }
    } else if (facts.error().code == Errc::not_found && plan_.create_topics) {
      make(route);
    } else {
      ask_later(route, facts.error(), std::chrono::milliseconds{100});
    }
  }

  void make(Route& route) {
    TopicPlan plan = route.plan;
    if (!route.like.empty()) {
      const Topic like = producer_->topic(route.like);
      if (const auto facts = describe(producer_->get(), like.get(), 500)) {
        plan.partitions = facts->partitions;
      }
    }
    {
      std::lock_guard lock{mutex_};
      route.state = Route::State::creating;
    }
    if (const auto asked = create(producer_->get(), plan, producer_->events(), &route); !asked) {
      ask_later(route, asked.error(), std::chrono::seconds{1});
    }
  }

  /// The broker has answered: the topic's leaders are there a little later.
  void made(rd_kafka_event_t* event) {
    auto& route = *static_cast<Route*>(rd_kafka_event_opaque(event));
    const Result<> result = created(event);
    ask_later(route, result ? Error::make(Errc::unavailable, "") : result.error(),
              std::chrono::milliseconds{result ? 10 : 500});
  }

  void ask_later(Route& route, const Error& problem, Duration pause) {
    {
      std::lock_guard lock{mutex_};
      route.state = Route::State::unknown;
      route.ask_again = std::chrono::steady_clock::now() + pause;
    }
    if (problem.retryable) return;
    end_waiting([&](const Route& of, const Route::Waiting&) { return &of == &route; }, problem);
  }

  /// Ends what waits for its topic and fits the description. What may have been stored nevertheless
  /// ends as unknown.
  template <class Fits>
  void end_waiting(Fits fits, const Error& why) {
    std::vector<std::pair<std::uint64_t, bool>> found;
    {
      std::lock_guard lock{mutex_};
      routes_.for_all([&](Route& route) {
        std::erase_if(route.waiting, [&](const Route::Waiting& each) {
          const bool chosen = fits(route, each);
          if (chosen) found.emplace_back(each.number, each.doubtful);
          return chosen;
        });
      });
    }
    for (const auto& [number, doubtful] : found) {
      slots_->end(number, doubtful ? Error::make(Errc::outcome_unknown, "publish", why.message())
                                   : Error{why.code, why.retryable, "publish", why.message()});
      slots_->returned(number);
    }
    slots_->advance();
  }

  // ── time, and the end ──────────────────────────────────────────────────────────────────────────

  void expire(Instant now) {
    // What librdkafka still has could be sent after all: with no broker in sight it is taken back, so
    // that there is something definite to say.
    if (troubled_) renew();
    std::string why;
    {
      std::lock_guard lock{mutex_};
      why = reason();
    }
    end_waiting([&](const Route&, const Route::Waiting& each) { return slots_->is_due(each.number, now); },
                Error::make(Errc::unavailable, "", "it could not be sent in time: " + why));
    slots_->expire(now, Error::make(Errc::outcome_unknown, "publish",
                                    "no report of it in time: " + why));
  }

  /// Takes everything back from librdkafka. What has no ending waits for its topic again, in order.
  void take_back() {
    rd_kafka_purge(producer_->get(), RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    const Instant until = std::chrono::steady_clock::now() + std::chrono::seconds{2};
    while (rd_kafka_outq_len(producer_->get()) > 0) {
      const Event event = producer_->poll(10);
      if (event && rd_kafka_event_type(event.get()) == RD_KAFKA_EVENT_DR) reports(event.get());
      if (std::chrono::steady_clock::now() >= until) break;
    }
    std::set<std::uint64_t> kept;
    std::unique_lock lock{mutex_};
    routes_.for_all([&](Route& route) {
      for (const auto& each : route.waiting) kept.insert(each.number);
    });
    for (const auto& [number, error] : refused_) kept.insert(number);
    const std::uint64_t tail = slots_->tail();
    lock.unlock();
    slots_->abandon([&](std::uint64_t number) { return number >= tail || kept.contains(number); },
                    Error::make(Errc::outcome_unknown, "publish", "the producer was lost"));
  }

  /// Starts over with a new producer. Until it has looked up the topics, messages wait.
  void renew() {
    {
      std::lock_guard lock{mutex_};
      routes_.for_all([](Route& route) { route.state = Route::State::unknown; });
    }
    take_back();
    std::lock_guard lock{mutex_};
    routes_.for_all([](Route& route) {
      route.state = Route::State::unknown;
      route.ask_again = Instant::min();
      route.topic.reset();
    });
    producer_.reset();
    producer_ = std::make_unique<Producer>(settings_, plan_.linger, callbacks_);
    unready_.store(true);
    fatal_.store(false);
  }

  void give_up() {
    {
      std::lock_guard lock{mutex_};
      routes_.for_all([](Route& route) { route.state = Route::State::unknown; });
    }
    take_back();
    end_refused();
    end_waiting([](const Route&, const Route::Waiting&) { return true; },
                Error::make(Errc::closed, "publish", "the bus was closed"));
    std::lock_guard lock{mutex_};
    routes_.for_all([](Route& route) { route.topic.reset(); });
    producer_.reset();
  }

  void tell_progress(bool quiet) {
    waiters_.tell(
        quiet, [&] { return slots_->has_much_room(); },
        [&] { return slots_->ended() == slots_->tail(); });
  }

  const Settings settings_;
  const PublishPlan plan_;
  Callbacks& callbacks_;
  mutable std::mutex mutex_;  // of those who add; the thread takes it for what is rare
  omnibus::detail::Waiters waiters_{mutex_};
  bool closed_ = false;
  std::unique_ptr<Slots> slots_;
  std::unique_ptr<Producer> producer_;
  Routes routes_;
  std::vector<std::pair<std::uint64_t, Error>> refused_;  // by librdkafka, at once
  std::string trouble_;
  std::atomic<bool> unready_{false};  // messages wait for their topics
  std::atomic<bool> fatal_{false};    // the producer can't go on
  std::atomic<Instant::rep> awake_by_{INT64_MIN};
  bool troubled_ = false;  // the thread's alone
  std::string last_broker_;  // what was last said of one; the thread's alone
  std::mutex join_mutex_;
  omnibus::detail::DeepThread thread_;
};

}  // namespace omnibus::kafka
