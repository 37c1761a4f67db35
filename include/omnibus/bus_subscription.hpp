// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include <omnibus/backend.hpp>
#include <omnibus/dead_letters.hpp>
#include <omnibus/detail/hash.hpp>
#include <omnibus/detail/uuid.hpp>
#include <omnibus/dispatcher.hpp>
#include <omnibus/message_batch.hpp>
#include <omnibus/observer.hpp>
#include <omnibus/options.hpp>
#include <omnibus/pipeline.hpp>
#include <omnibus/publishing.hpp>
#include <omnibus/subscription.hpp>

// One subscription of a bus: a dispatcher, and what its stages may ask of the bus.

namespace omnibus::detail {

/// A pipeline, and around it what keeps what it gives up on.
template <class Composed>
class KeptPipeline final : public RunnablePipeline {
 public:
  KeptPipeline(Composed composed, std::string dead_letter_topic)
      : composed_{std::move(composed)}, last_{std::move(dead_letter_topic)} {}

  Result<> operator()(Delivery& delivery) override { return last_(composed_.next(), delivery); }
  Result<bool> done_before(Delivery& delivery) override { return composed_.done_before(delivery); }

 private:
  Composed composed_;
  DeadLetterStage last_;
};

/// Lifetime: backend and observer must outlive it.
template <class B, class Observer>
class BusSubscription final : public RunningSubscription, private DeliveryContext {
 public:
  using Runner = Dispatcher<typename B::Consumer>;

  BusSubscription(B& backend, Observer& observer, const BusOptions& options, SubscriptionSpec spec,
                  DispatchOptions dispatch, typename Runner::Pipeline pipeline)
      : backend_{backend},
        observer_{observer},
        options_{options},
        spec_{std::move(spec)},
        random_{options.seed != 0 ? options.seed : entropy64()},
        runner_{[this] { return backend_.consume(spec_); }, std::move(pipeline), *this, dispatch} {}

  void start() { runner_.start(); }
  bool ended() { return runner_.state().wait_ended(Instant::min()); }

  void stop(Duration to_close) noexcept override { runner_.stop(to_close); }
  const ConsumerState& state() const noexcept override { return runner_.state(); }
  bool on_own_thread() const noexcept override { return runner_.on_own_thread(); }

  SubscriptionHealth health() const override {
    const auto& counters = runner_.counters();
    SubscriptionHealth health{spec_.topic, spec_.group, true, {}, {}};
    auto problem = runner_.state().problem();
    if (!problem) problem = runner_.pause_problem();
    if (problem) {
      health.ok = false;
      health.problem = problem->message();
    }
    const bool idle = runner_.idle();  // before the counts, which then are what they were
    health.stats = {counters.handled.load(), counters.retried.load(), dead_lettered_.load(),
                    dropped_.load(), duplicates_.load(), counters.given_back.load(),
                    counters.in_flight.load(), runner_.waiting(), idle};
    return health;
  }

 private:
  Result<Receipt> publish(std::string_view topic, const MessageView& message) override {
    return submit_and_wait(backend_, topic, message, Duration{}, {options_.publish_timeout, true});
  }
  Result<> prepare(MessageBatch& outputs) override {
    outputs.stamp(ids_, backend_.clock().wall());
    Result<> good = check_batch(outputs, options_.limits);
    if constexpr (requires { backend_.check(std::string_view{}, MessageView{}); }) {
      for (const MessageBatch::Each& each : outputs) {
        if (good) good = backend_.check(each.topic, each.message.view());
      }
    }
    return good;
  }
  const Clock& clock() const noexcept override { return backend_.clock(); }
  std::string_view group() const noexcept override { return spec_.group; }
  std::uint64_t random() noexcept override {
    return mix64(random_.fetch_add(1, std::memory_order_relaxed));
  }
  void pause(Instant until, const Error* why) override { runner_.pause(until, why); }
  void report(const Error* problem) override {
    if constexpr (requires { observer_.consumer(spec_.topic, spec_.group, problem); }) {
      observer_.consumer(spec_.topic, spec_.group, problem);
    }
  }
  void notify(DeliveryEvent event, const Delivery& delivery, const Error* error) override {
    if (event == DeliveryEvent::dead_lettered) dead_lettered_.fetch_add(1, std::memory_order_relaxed);
    if (event == DeliveryEvent::dropped) dropped_.fetch_add(1, std::memory_order_relaxed);
    if (event == DeliveryEvent::duplicate) duplicates_.fetch_add(1, std::memory_order_relaxed);
    tell(observer_, event, delivery, error);
  }

  B& backend_;
  Observer& observer_;
  const BusOptions& options_;
  const SubscriptionSpec spec_;
  detail::UuidGenerator ids_;
  std::atomic<std::uint64_t> random_;
  std::atomic<std::uint64_t> dead_lettered_{0};
  std::atomic<std::uint64_t> dropped_{0};
  std::atomic<std::uint64_t> duplicates_{0};
  Runner runner_;
};

}  // namespace omnibus::detail
