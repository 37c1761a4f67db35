// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <omnibus/backends/kafka/producer.hpp>
#include <omnibus/backends/kafka/routes.hpp>
#include <omnibus/backends/kafka/slots.hpp>
#include <omnibus/detail/waiters.hpp>

// What the callers who publish and the thread that hears of the outcome have in common.

namespace omnibus::kafka {

/// How publishing goes.
struct PublishPlan {
  std::size_t window = 0;
  std::size_t window_bytes = 0;
  Duration linger{};
  bool create_topics = true;
};

/// Messages on their way, and the producer that has them. Callers hold the mutex; the thread takes it
/// for what is rare.
struct Outbox {
  struct Refused {
    std::uint64_t number;
    Error error;
  };

  Outbox(const Settings& to, const PublishPlan& how, Callbacks& calls)
      : settings{to}, plan{how}, callbacks{calls} {}

  /// Nothing is there before the first message.
  void open() {
    make_producer();
    slots = std::make_unique<Slots>(plan.window, plan.window_bytes);
  }
  void make_producer() {
    producer.reset();  // one at a time
    producer = std::make_shared<Producer>(settings, plan.linger, callbacks, batch_bytes);
  }

  /// Hands a record to librdkafka. Returns false when it did not take it: then the thread has to do
  /// something.
  bool produce(Route& route, const RecordView& record, std::uint64_t number) {
    const auto code = producer->produce(route.topic.get(), record, number);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) return true;
    const Errc kind = errc_of(code);
    if (is_of_producer(code)) {  // a new one will take it
      route.wait_again({number, Record{record}});
      fatal.store(true);
    } else if (kind == Errc::not_found || kind == Errc::access_denied) {
      // So librdkafka was told before. It stays with that until somebody looks the topic up again.
      route.wait_again({number, Record{record}});
      route.state = Route::State::unknown;
      route.ask_again = std::chrono::steady_clock::now() + std::chrono::milliseconds{10};
      unready.store(true);
    } else {
      refused.push_back({number, to_error(code, "publish \"" + route.plan.name + "\"")});
    }
    return false;
  }

  /// Why there are messages without an ending.
  std::string reason() const {
    return trouble.empty() ? std::string{"the broker confirms slowly"} : trouble;
  }

  const Settings settings;
  const PublishPlan plan;
  Callbacks& callbacks;
  mutable std::mutex mutex;
  omnibus::detail::Waiters waiters{mutex};
  std::unique_ptr<Slots> slots;
  std::size_t batch_bytes = 0;  ///< of new producers; 0: as the settings say
  std::shared_ptr<Producer> producer;  ///< callers who hurry keep it for a moment
  Routes routes;
  std::vector<Refused> refused;  ///< by librdkafka, at once
  std::string trouble;
  bool closed = false;
  std::atomic<bool> unready{false};  ///< messages wait for their topics
  std::atomic<bool> fatal{false};    ///< the producer can't go on
  std::atomic<Instant::rep> awake_by{INT64_MIN};  ///< of the thread, unless it is woken
};

}  // namespace omnibus::kafka
