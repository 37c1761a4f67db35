// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <omnibus/backends/kafka/endings.hpp>
#include <omnibus/backends/kafka/outbox.hpp>
#include <omnibus/backends/kafka/reasons.hpp>
#include <omnibus/backends/kafka/symptoms.hpp>
#include <omnibus/backoff.hpp>
#include <omnibus/detail/smaller.hpp>
#include <omnibus/detail/thread.hpp>

// The thread that hears what became of messages, looks after topics, keeps deadlines, and starts over
// with a new producer where the old one cannot go on.

namespace omnibus::kafka {

/// Thread safety: public members from any thread. Lifetime: the outbox must outlive it.
class PublishLoop {
 public:
  explicit PublishLoop(Outbox& outbox) : outbox_{outbox}, thread_{[this] { run(); }} {}
  PublishLoop(const PublishLoop&) = delete;

  /// Waits for its end, which comes when the outbox is closed. One caller at a time.
  void join() {
    if (thread_.joinable()) thread_.join();
  }
  bool is_current() const noexcept { return thread_.is_current(); }

 private:
  void run() {
    while (!is_closed()) {
      Instant now = std::chrono::steady_clock::now();
      const Instant until = omnibus::detail::smaller(slots().earliest(), look_after_topics(now));
      outbox_.awake_by.store(until.time_since_epoch().count());
      // What came while the store was on its way did not wake us.
      const int ms = slots().earliest() < until ? 0 : ms_until(until, now);
      const bool news = poll(ms);
      outbox_.awake_by.store(INT64_MIN);
      end_refused();
      now = std::chrono::steady_clock::now();
      if (now >= slots().earliest()) expire(now);
      if (outbox_.fatal.load()) renew();
      tell_progress(!news);
    }
    give_up();
    std::lock_guard lock{outbox_.mutex};
    outbox_.waiters.tell_all();
  }

  bool is_closed() const {
    std::lock_guard lock{outbox_.mutex};
    return outbox_.closed;
  }

  /// Takes what librdkafka has to say. Returns true when there may be more.
  bool poll(int ms) {
    constexpr int most = 64;
    for (int count = 0; count < most; ++count) {
      const Event event = outbox_.producer->poll(count == 0 ? ms : 0);
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
      slots().advance();
      tell_progress(false);
    }
  }

  void report(const rd_kafka_message_t& sent) {
    const auto number = reinterpret_cast<std::uint64_t>(sent._private);
    if (sent.err == RD_KAFKA_RESP_ERR_NO_ERROR) {
      renewals_ = 0;
      if (troubled_) well();
      slots().end(number, ending_of(sent));
    } else if (!slots().has_ended(number)) {
      if (is_of_producer(sent.err)) outbox_.fatal.store(true);
      if (goes_again(sent.err) || was_in_company(sent)) return send_again(sent, number);
      slots().end(number, failure_of(sent));
    }
    slots().returned(number);
  }

  /// True for what failed because of the producer, or because its topic went away.
  bool goes_again(rd_kafka_resp_err_t code) const noexcept {
    if (is_of_producer(code)) return true;
    switch (code) {
      case RD_KAFKA_RESP_ERR__PURGE_QUEUE:
      case RD_KAFKA_RESP_ERR__PURGE_INFLIGHT: return true;
      case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
      case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
      case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION: return outbox_.plan.create_topics;
      default: return false;
    }
  }
  /// True for what the broker refused because of the batch that it was in. A topic takes batches as large as
  /// its largest message may be (kafka.apache.org/documentation, max.message.bytes), and a batch is
  /// refused whole: a new producer makes smaller ones.
  bool was_in_company(const rd_kafka_message_t& sent) {
    constexpr std::size_t overhead = 61;  // of a batch with one record
    const std::size_t most = outbox_.producer->batch_bytes();
    if (sent.err != RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE) return false;
    const Record record{sent};
    const std::size_t headers = record.envelope.size() + record.headers.view().block().size();
    if (sent.len + sent.key_len + headers + overhead >= most) return false;  // it was alone
    if (std::exchange(outbox_.batch_bytes, most / 4) != most / 4) {
      constexpr int warning = 4;
      outbox_.callbacks.log(warning, std::string{"a batch is too large for topic \""}
                                         .append(rd_kafka_topic_name(sent.rkt))
                                         .append("\": batches have at most ")
                                         .append(std::to_string(outbox_.batch_bytes))
                                         .append(" bytes from now on"));
    }
    outbox_.fatal.store(true);
    return true;
  }
  void send_again(const rd_kafka_message_t& sent, std::uint64_t number) {
    std::lock_guard lock{outbox_.mutex};
    Route& route = *outbox_.routes.find(rd_kafka_topic_name(sent.rkt));
    if (route.state == Route::State::ready) route.state = Route::State::unknown;
    outbox_.unready.store(true);
    route.wait_again({number, Record{sent},
                      rd_kafka_message_status(&sent) != RD_KAFKA_MSG_STATUS_NOT_PERSISTED});
  }

  void failed(rd_kafka_event_t* event) {
    const auto code = rd_kafka_event_error(event);
    // As an event it has the code of what is behind it.
    if (rd_kafka_event_error_is_fatal(event) != 0) return outbox_.fatal.store(true);
    const std::string_view why = text_of(rd_kafka_event_error_string(event));
    const std::optional<Error> problem = symptoms_.add(code, why);
    if (!problem) return;
    ill(problem->operation + ": " + problem->context);
    if (problem->retryable) return;
    // It will not pass by itself: nobody is kept waiting, and nothing goes after all.
    renew();
    end_waiting([](const Route&, const Route::Waiting&) { return true; }, *problem);
  }

  void ill(std::string why) {
    std::lock_guard lock{outbox_.mutex};
    outbox_.trouble = std::move(why);
    troubled_ = true;
  }
  void well() {
    std::lock_guard lock{outbox_.mutex};
    outbox_.trouble.clear();
    symptoms_ = {};
    troubled_ = false;
  }

  void end_refused() {
    std::vector<Outbox::Refused> refused;
    {
      std::lock_guard lock{outbox_.mutex};
      refused.swap(outbox_.refused);
    }
    for (const auto& [number, error] : refused) {
      slots().end(number, error);
      slots().returned(number);
    }
    if (!refused.empty()) slots().advance();
  }

  // ── topics ─────────────────────────────────────────────────────────────────────────────────────

  /// Asks for topics that messages wait for. Returns when there is something more to ask.
  Instant look_after_topics(Instant now) {
    if (!outbox_.unready.load()) return Instant::max();
    std::vector<Route*> due;
    Instant next = Instant::max();
    {
      std::lock_guard lock{outbox_.mutex};
      bool waiting = false;
      outbox_.routes.for_all([&](Route& route) {
        if (route.waiting.empty()) return;
        waiting = true;
        if (route.state != Route::State::unknown) return;
        if (route.ask_again <= now) due.push_back(&route);
        if (!route.topic) route.topic = outbox_.producer->topic(route.plan.name);
        next = omnibus::detail::smaller(next, route.ask_again);
      });
      outbox_.unready.store(waiting);
    }
    for (Route* route : due) look_up(*route);
    return due.empty() ? next : now;
  }

  void look_up(Route& route) {
    constexpr int patience_ms = 500;
    rd_kafka_t* const client = outbox_.producer->get();
    Result<TopicFacts> facts = describe(client, route.topic.get(), patience_ms);
    if (facts) {
      const Result<> led = check_leaders(client, route.topic.get(), facts->partitions, patience_ms);
      if (!led) facts = led.error();
    }
    if (facts) {
      well();
      std::lock_guard lock{outbox_.mutex};
      route.fewest_in_sync = facts->fewest_in_sync;
      route.state = Route::State::ready;
      auto& waiting = route.waiting;
      while (!waiting.empty() && !outbox_.fatal.load() && route.state == Route::State::ready) {
        const Route::Waiting next = std::move(waiting.front());
        waiting.pop_front();
        (void)outbox_.produce(route, next.record.view(), next.number);
      }
    } else if (facts.error().code == Errc::not_found && outbox_.plan.create_topics) {
      make(route);
    } else {
      ask_later(route, facts.error(), std::chrono::milliseconds{100});
    }
  }

  void make(Route& route) {
    TopicPlan plan = route.plan;
    if (!route.like.empty()) {
      const Topic like = outbox_.producer->topic(route.like);
      if (const auto facts = describe(outbox_.producer->get(), like.get(), 500)) {
        plan.partitions = facts->partitions;
      }
    }
    {
      std::lock_guard lock{outbox_.mutex};
      route.state = Route::State::creating;
    }
    const Producer& producer = *outbox_.producer;
    const Result<> asked = create(producer.get(), plan, producer.events(), &route);
    if (!asked) ask_later(route, asked.error(), std::chrono::seconds{1});
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
      std::lock_guard lock{outbox_.mutex};
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
      std::lock_guard lock{outbox_.mutex};
      outbox_.routes.for_all([&](Route& route) {
        std::erase_if(route.waiting, [&](const Route::Waiting& each) {
          const bool chosen = fits(route, each);
          if (chosen) found.emplace_back(each.number, each.doubtful);
          return chosen;
        });
      });
    }
    const std::string said =
        why.operation.empty() ? why.context : why.operation + ": " + why.context;
    for (const auto& [number, doubtful] : found) {
      slots().end(number, doubtful ? Error::make(Errc::outcome_unknown, "publish", said)
                                   : Error{why.code, why.retryable, "publish", said});
      slots().returned(number);
    }
    slots().advance();
  }

  // ── time, and the end ──────────────────────────────────────────────────────────────────────────

  std::string reason(Instant now) {
    std::vector<std::string> names;
    {
      std::lock_guard lock{outbox_.mutex};
      if (!outbox_.trouble.empty()) return outbox_.trouble;
      outbox_.routes.for_all([&names](const Route& route) {
        if (route.state == Route::State::ready) names.push_back(route.plan.name);
      });
    }
    return reasons_.of(*outbox_.producer, names, now);
  }

  void expire(Instant now) {
    // What librdkafka still has could be sent after all: with no broker in sight it is taken back, so
    // that there is something definite to say. Where it has nothing, it is left alone: a new producer for
    // each message that is late would never come to connect.
    if (troubled_ && rd_kafka_outq_len(outbox_.producer->get()) > 0) renew();
    const std::string why = reason(now);
    const auto is_due = [&](const Route&, const Route::Waiting& each) {
      return slots().is_due(each.number, now);
    };
    const Errc code = symptoms_.refusal() ? symptoms_.refusal()->code : Errc::unavailable;
    end_waiting(is_due, Error::make(code, "", "it could not be sent in time: " + why));
    slots().expire(now,
                   Error::make(Errc::outcome_unknown, "publish", "no report of it in time: " + why));
  }

  /// Takes everything back from librdkafka. What has no ending waits for its topic again, in order.
  void take_back() {
    rd_kafka_purge(outbox_.producer->get(), RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    const Instant until = std::chrono::steady_clock::now() + std::chrono::seconds{2};
    while (rd_kafka_outq_len(outbox_.producer->get()) > 0) {
      const Event event = outbox_.producer->poll(10);
      if (event && rd_kafka_event_type(event.get()) == RD_KAFKA_EVENT_DR) reports(event.get());
      if (std::chrono::steady_clock::now() >= until) break;
    }
    std::set<std::uint64_t> kept;
    std::unique_lock lock{outbox_.mutex};
    outbox_.routes.for_all([&](Route& route) {
      for (const auto& each : route.waiting) kept.insert(each.number);
    });
    for (const Outbox::Refused& each : outbox_.refused) kept.insert(each.number);
    const std::uint64_t tail = slots().tail();
    lock.unlock();
    slots().abandon([&](std::uint64_t number) { return number >= tail || kept.contains(number); },
                    Error::make(Errc::outcome_unknown, "publish", "the producer was lost"));
  }

  /// Starts over with a new producer. Until it has looked up the topics, messages wait; when the one
  /// before sent nothing either, for a while longer.
  void renew() {
    constexpr Backoff pause{.max = std::chrono::seconds{1}, .jitter = false};
    {
      std::lock_guard lock{outbox_.mutex};
      outbox_.routes.for_all([](Route& route) { route.state = Route::State::unknown; });
    }
    take_back();
    const Instant again = renewals_ == 0 ? Instant::min()
                                         : std::chrono::steady_clock::now() + backoff(pause, renewals_, 0);
    ++renewals_;
    std::lock_guard lock{outbox_.mutex};
    outbox_.routes.for_all([again](Route& route) {
      route.state = Route::State::unknown;
      route.ask_again = again;
      route.topic.reset();
    });
    outbox_.make_producer();
    outbox_.unready.store(true);
    outbox_.fatal.store(false);
  }

  void give_up() {
    {
      std::lock_guard lock{outbox_.mutex};
      outbox_.routes.for_all([](Route& route) { route.state = Route::State::unknown; });
    }
    take_back();
    end_refused();
    end_waiting([](const Route&, const Route::Waiting&) { return true; },
                Error::make(Errc::closed, "publish", "the bus was closed"));
    std::lock_guard lock{outbox_.mutex};
    outbox_.routes.for_all([](Route& route) { route.topic.reset(); });
    outbox_.producer.reset();
  }

  void tell_progress(bool quiet) {
    outbox_.waiters.tell(
        quiet, [&] { return slots().has_much_room(); },
        [&] { return slots().ended() == slots().tail(); });
  }

  Slots& slots() const noexcept { return *outbox_.slots; }

  Outbox& outbox_;
  Symptoms symptoms_;
  Reasons reasons_;
  bool troubled_ = false;
  std::uint32_t renewals_ = 0;  ///< since a message was stored
  omnibus::detail::DeepThread thread_;
};

}  // namespace omnibus::kafka
