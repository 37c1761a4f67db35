// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include <omnibus/backend.hpp>
#include <omnibus/backends/kafka/outbox.hpp>
#include <omnibus/backends/kafka/publish_loop.hpp>

// The publishing side as its callers see it: they hand their records to librdkafka themselves, and
// wait where that is wanted.

namespace omnibus::kafka {

/// Thread safety: shared objects are safe. No thread runs before the first message.
class Publisher {
 public:
  /// `callbacks` must outlive it.
  Publisher(const Settings& settings, const PublishPlan& plan, Callbacks& callbacks)
      : outbox_{settings, plan, callbacks} {}
  ~Publisher() { (void)close(Instant::min()); }
  Publisher(const Publisher&) = delete;

  /// Takes one record. `make_route(routes)` adds the topic where it is not known yet.
  template <class MakeRoute>
  void submit(std::string_view topic, MakeRoute make_route, const RecordView& record, PublishDone done,
              const Submit& how) {
    const Instant deadline = after(std::chrono::steady_clock::now(), how.timeout);
    std::unique_lock lock{outbox_.mutex};
    start();
    if (outbox_.closed || (!outbox_.slots->has_room() && !wait_for_room(lock, how, deadline))) {
      const Error error = refusal();
      lock.unlock();
      return done(error);
    }
    Route* route = outbox_.routes.find(topic);
    if (route == nullptr) route = &make_route(outbox_.routes);
    const std::size_t bytes = record.payload.size() + record.key.size() + overhead;
    const std::uint64_t number = outbox_.slots->add(std::move(done), deadline, bytes);
    bool news = deadline.time_since_epoch().count() < outbox_.awake_by.load();
    if (route->state == Route::State::ready) {
      news |= !outbox_.produce(*route, record, number);
    } else {
      route->waiting.push_back({number, Record{record}});
      news |= !outbox_.unready.exchange(true);
    }
    if (news) outbox_.producer->wake();
  }

  /// Someone waits for what was submitted: it is sent without lingering for more. Blocks for a moment.
  void hurry() {
    if (outbox_.plan.linger <= Duration::zero()) return;
    std::unique_lock lock{outbox_.mutex};
    const std::shared_ptr<Producer> producer = outbox_.producer;
    lock.unlock();
    if (producer) producer->hurry();
  }

  /// Blocks until everything submitted before has its ending. Errors: timed_out.
  Result<> flush(Instant until) {
    std::unique_lock lock{outbox_.mutex};
    if (!outbox_.slots) return {};
    Slots& slots = *outbox_.slots;
    const std::uint64_t tail = slots.tail();
    if (outbox_.waiters.wait_for_end(lock, until, [&] { return slots.ended() >= tail; })) return {};
    return Error::make(Errc::timed_out, "flush",
                       std::to_string(tail - slots.ended()) + " messages have no ending: " +
                           outbox_.reason());
  }

  /// Ends publishing: what has no ending by then gets one that says so. Idempotent.
  Result<> close(Instant until) {
    Result<> flushed = flush(until);
    {
      std::lock_guard lock{outbox_.mutex};
      outbox_.closed = true;
      outbox_.waiters.tell_all();
      if (outbox_.producer) outbox_.producer->wake();
    }
    std::lock_guard joining{join_mutex_};
    if (loop_) loop_->join();
    return flushed;
  }

  Health health() const {
    std::lock_guard lock{outbox_.mutex};
    if (outbox_.closed) return {false, "closed"};
    if (!outbox_.slots) return {true, "not connected: nothing was published yet"};
    if (!outbox_.trouble.empty()) return {false, outbox_.trouble};
    Health health;
    outbox_.routes.for_all([&](const Route& route) {
      if (route.state != Route::State::ready || route.fewest_in_sync > 1) return;
      health.detail.append(health.detail.empty() ? "" : "; ")
          .append("topic \"" + route.plan.name)
          .append("\" has one in-sync replica: what it holds is lost with that one");
    });
    return health;
  }

 private:
  static constexpr std::size_t overhead = 128;  ///< bytes that a record takes besides, roughly

  void start() {
    if (loop_ || outbox_.closed) return;
    outbox_.open();
    loop_ = std::make_unique<PublishLoop>(outbox_);
  }

  bool wait_for_room(std::unique_lock<std::mutex>& lock, const Submit& how, Instant deadline) {
    // A completion that publishes runs on the thread that makes room.
    if (!how.wait_for_room || loop_->is_current()) return false;
    return outbox_.waiters.wait_for_room(
               lock, deadline, [this] { return outbox_.slots->has_room(); },
               [this] { return outbox_.closed; }) &&
           !outbox_.closed;
  }

  Error refusal() const {
    if (outbox_.closed) return Error::make(Errc::closed, "publish", "the bus is closed");
    return Error::make(Errc::window_full, "publish",
                       "too many messages have no ending: " + outbox_.reason());
  }

  Outbox outbox_;
  std::mutex join_mutex_;
  std::unique_ptr<PublishLoop> loop_;
};

}  // namespace omnibus::kafka
