// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <random>
#include <semaphore>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <omnibus/delivery.hpp>
#include <omnibus/pipeline.hpp>
#include <omnibus/virtual_clock.hpp>

// What the unit tests share: a context and deliveries without a bus, and ways to wait for another
// thread that end in a failure and never hang.

namespace omnibus::unit {

using namespace std::chrono_literals;
using namespace std::string_literals;
using namespace std::string_view_literals;

/// Longer than any machine needs; a test that waits so long has failed.
inline constexpr auto patience = 20s;

/// State that threads change and a test waits for.
template <class T>
class Watched {
 public:
  explicit Watched(T value = {}) : value_{std::move(value)} {}

  /// Changes the state, and wakes whoever waits for it. Returns what `change` returns.
  template <class Change>
  auto change(Change&& change) {
    std::lock_guard lock{mutex_};
    signal_.notify_all();
    return change(value_);
  }
  /// True once `condition` holds; false when patience is at an end.
  template <class Condition>
  bool wait(Condition&& condition) const {
    std::unique_lock lock{mutex_};
    return signal_.wait_for(lock, patience, [&] { return condition(value_); });
  }
  T get() const {
    std::lock_guard lock{mutex_};
    return value_;
  }

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable signal_;
  T value_;
};

/// A door that threads wait at until it is opened.
class Gate {
 public:
  void open() {
    open_.change([](bool& open) { open = true; });
  }
  bool pass() const {
    return open_.wait([](bool open) { return open; });
  }

 private:
  Watched<bool> open_;
};

/// True once `condition` holds, for state that nobody announces.
template <class Condition>
bool eventually(Condition&& condition) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  std::binary_semaphore never{0};
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    (void)never.try_acquire_for(200us);
  }
  return true;
}

inline Message message_of(std::string id, std::string key, std::string payload = {},
                          std::string type = {}) {
  Message message;
  message.id = std::move(id);
  message.key = std::move(key);
  message.payload = std::move(payload);
  message.type = std::move(type);
  return message;
}

/// What stages ask of a bus, answered by the test.
class FakeContext final : public DeliveryContext {
 public:
  struct Sent {
    std::string topic;
    Message message;
  };

  VirtualClock time;
  std::string name = "billing";
  std::uint64_t bits = UINT64_MAX;  ///< of `random`: all ones, so that delays are the longest
  std::vector<Sent> sent;
  std::vector<DeliveryEvent> events;
  std::vector<Error> reported;  ///< problems of the consumer
  Instant paused_until = Instant::min();
  std::string paused_why;
  std::function<Result<Receipt>()> answer = [] { return Result<Receipt>{Receipt{}}; };

  Result<Receipt> publish(std::string_view topic, const MessageView& message) override {
    Result<Receipt> result = answer();
    std::lock_guard lock{mutex_};
    if (result) sent.push_back({std::string{topic}, Message{message}});
    return result;
  }
  const Clock& clock() const noexcept override { return time; }
  std::string_view group() const noexcept override { return name; }
  std::uint64_t random() noexcept override { return bits; }
  void pause(Instant until, const Error* why) override {
    std::lock_guard lock{mutex_};
    paused_until = until;
    paused_why = why != nullptr ? why->context : "";
  }
  void report(const Error* problem) override {
    std::lock_guard lock{mutex_};
    if (problem != nullptr) reported.push_back(*problem);
  }
  void notify(DeliveryEvent event, const Delivery&, const Error*) override {
    std::lock_guard lock{mutex_};
    events.push_back(event);
  }

  std::size_t count(DeliveryEvent event) {
    std::lock_guard lock{mutex_};
    std::size_t count = 0;
    for (const DeliveryEvent each : events) count += each == event ? 1 : 0;
    return count;
  }

 private:
  std::mutex mutex_;
};

/// A delivery that stands on its own.
struct Received {
  Message message;
  MessageView view;
  std::string topic;
  Delivery delivery;

  Received(FakeContext& context, Message received, std::uint32_t attempts = 0,
           std::string from = "orders")
      : message{std::move(received)},
        view{message.view()},
        topic{std::move(from)},
        delivery{Incoming{&view, topic, 3, {17, 0}, attempts, 1}, context} {}
  Received(const Received&) = delete;
};

/// Runs a pipeline as the dispatcher does: again as long as it asks for more, moving the clock to
/// the time it asks for. Returns the last result.
template <class P>
Result<> run_to_end(P& composed, Delivery& delivery, FakeContext& context, int most = 1000) {
  Result<> result = composed(delivery);
  while (!result && result.error().again() && --most > 0) {
    context.time.advance(result.error().retry_after);
    delivery.begin_again();
    result = composed(delivery);
  }
  return result;
}

/// True when `call` throws E with a text that contains `part`.
template <class E, class Call>
bool throws_saying(Call&& call, std::string_view part) {
  try {
    call();
  } catch (const E& thrown) {
    return std::string_view{thrown.what()}.find(part) != std::string_view::npos;
  }
  return false;
}

}  // namespace omnibus::unit
