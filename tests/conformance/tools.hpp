// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <omnibus/middleware/retry.hpp>

#include "suite.hpp"

// What the cases are written with. Every wait is for a condition and has a deadline; a check that
// something does not happen is made by something else that must happen first.

namespace conformance {

using Clock = std::chrono::steady_clock;

/// Waits until `holds()`, for conditions that nobody announces, such as counters.
template <class F, class Condition, class... Parts>
void eventually(F& f, Condition holds, const Parts&... what) {
  std::mutex mutex;
  std::condition_variable nobody;
  std::unique_lock lock{mutex};
  const auto end = Clock::now() + f.deadline;
  while (!holds()) {
    if (Clock::now() > end) violated("in vain waited for: ", what...);
    nobody.wait_for(lock, 200us);
  }
}

/// A door that handlers wait at. Put an `Opener` behind the subscription, so that nothing hangs
/// when the case ends early.
class Gate {
 public:
  void open() {
    std::lock_guard lock{mutex_};
    open_ = true;
    signal_.notify_all();
  }
  /// For a handler: waits until it is open.
  void pass() {
    std::unique_lock lock{mutex_};
    ++arrived_;
    signal_.notify_all();
    signal_.wait(lock, [this] { return open_; });
  }
  /// Waits until `count` have arrived.
  template <class F>
  void wait_for(F& f, std::size_t count) {
    std::unique_lock lock{mutex_};
    if (!signal_.wait_for(lock, f.deadline, [&] { return arrived_ >= count; })) {
      violated(arrived_, " of ", count, " handlers were running when the deadline came");
    }
  }
  std::size_t arrived() const {
    std::lock_guard lock{mutex_};
    return arrived_;
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable signal_;
  bool open_ = false;
  std::size_t arrived_ = 0;
};

struct Opener {
  Gate& gate;
  ~Opener() { gate.open(); }
};

/// One delivery as a handler saw it.
struct Got {
  ob::Message message;
  std::string topic;
  std::int32_t partition = 0;
  ob::Position position{};
  std::uint32_t attempt = 0;
  bool redelivered = false;
  int member = 0;
  Clock::time_point at{};
};

/// What handlers have seen, in their order. Shared objects are safe.
class Inbox {
 public:
  /// What holds in every case: a handler that takes everything.
  auto handler(int member = 0) {
    return [this, member](const ob::Delivery& delivery) { add(delivery, member); };
  }
  /// Returns how often this message has been seen, this time counted.
  std::size_t add(const ob::Delivery& delivery, int member = 0) {
    Got got{delivery.message(),
            std::string{delivery.topic()},
            delivery.partition(),
            delivery.position(),
            delivery.attempt(),
            delivery.redelivered(),
            member,
            Clock::now()};
    std::lock_guard lock{mutex_};
    got_.push_back(std::move(got));
    signal_.notify_all();
    return static_cast<std::size_t>(std::count_if(got_.begin(), got_.end(), [&](const Got& each) {
      return each.message.id == got_.back().message.id;
    }));
  }

  /// Waits until `holds(got)`.
  template <class F, class Condition, class... Parts>
  void wait(F& f, Condition holds, const Parts&... what) {
    std::unique_lock lock{mutex_};
    if (!signal_.wait_for(lock, f.deadline, [&] { return holds(std::as_const(got_)); })) {
      violated("in vain waited for: ", what..., "; ", got_.size(), " deliveries had been made");
    }
  }
  /// Waits for this many different messages.
  template <class F>
  void wait_for(F& f, std::size_t count) {
    std::set<std::string> ids;
    std::size_t looked = 0;
    wait(
        f,
        [&](const std::vector<Got>& got) {
          for (; looked < got.size(); ++looked) ids.insert(got[looked].message.id);
          return ids.size() >= count;
        },
        count, " different messages");
  }
  /// Waits for a message with this payload.
  template <class F>
  void wait_for(F& f, std::string_view payload) {
    wait(
        f,
        [&](const std::vector<Got>& got) {
          return std::any_of(got.begin(), got.end(),
                             [&](const Got& each) { return each.message.payload == payload; });
        },
        "a message ", payload);
  }

  std::vector<Got> all() const {
    std::lock_guard lock{mutex_};
    return got_;
  }
  std::size_t size() const {
    std::lock_guard lock{mutex_};
    return got_.size();
  }
  /// All payloads in the order of delivery.
  std::vector<std::string> payloads() const {
    std::vector<std::string> all_payloads;
    for (const Got& each : all()) all_payloads.push_back(each.message.payload);
    return all_payloads;
  }
  /// How often a payload came.
  std::size_t times(std::string_view payload) const {
    std::lock_guard lock{mutex_};
    return static_cast<std::size_t>(std::count_if(got_.begin(), got_.end(), [&](const Got& each) {
      return each.message.payload == payload;
    }));
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable signal_;
  std::vector<Got> got_;
};

inline ob::Message message(std::string payload, std::string key = {}) {
  ob::Message made;
  made.payload = std::move(payload);
  made.key = std::move(key);
  return made;
}

/// Messages "0", "1", ... with `keys` keys in turn; none without keys.
inline std::vector<ob::Message> numbered(std::size_t count, std::size_t keys = 0) {
  std::vector<ob::Message> made;
  for (std::size_t i = 0; i < count; ++i) {
    made.push_back(message(std::to_string(i), keys == 0 ? "" : "key-" + std::to_string(i % keys)));
  }
  return made;
}

/// Endings of asynchronous publishes. Kept alive by the completions, so that a late one is
/// harmless.
struct Endings {
  std::mutex mutex;
  std::condition_variable signal;
  std::vector<std::optional<ob::Result<ob::Receipt>>> results;
  std::vector<int> calls;
  std::size_t ended = 0;

  explicit Endings(std::size_t count) : results(count), calls(count) {}

  static auto completion(std::shared_ptr<Endings> self, std::size_t index) {
    return [self = std::move(self), index](ob::Result<ob::Receipt> result) {
      std::lock_guard lock{self->mutex};
      ++self->calls[index];
      if (self->calls[index] == 1) {
        ++self->ended;
        self->results[index].emplace(std::move(result));
      }
      self->signal.notify_all();
    };
  }
  /// Waits until every publish has its ending.
  template <class F>
  void wait(F& f) {
    std::unique_lock lock{mutex};
    if (!signal.wait_for(lock, f.deadline, [&] { return ended == results.size(); })) {
      violated(results.size() - ended, " of ", results.size(), " publishes never got an ending");
    }
  }
};

/// Publishes in this order, pipelined, and waits for the endings.
template <class F>
std::vector<ob::Result<ob::Receipt>> try_send(
    F& f, Bus<F>& bus, const std::string& topic, const std::vector<ob::Message>& messages,
    const ob::PublishOptions<typename F::Backend>& how = {}) {
  const auto endings = std::make_shared<Endings>(messages.size());
  for (std::size_t i = 0; i < messages.size(); ++i) {
    bus.publish_async(topic, messages[i], Endings::completion(endings, i), how);
  }
  endings->wait(f);
  std::vector<ob::Result<ob::Receipt>> results;
  std::lock_guard lock{endings->mutex};
  for (const auto& each : endings->results) results.push_back(*each);
  return results;
}

/// The same, and every ending must be ok.
template <class F>
void send(F& f, Bus<F>& bus, const std::string& topic, const std::vector<ob::Message>& messages,
          const ob::PublishOptions<typename F::Backend>& how = {}) {
  for (const auto& each : try_send(f, bus, topic, messages, how)) {
    if (!each) violated("publish failed: ", each.error().message());
  }
}
template <class F>
void send(F& f, Bus<F>& bus, const std::string& topic, std::string payload, std::string key = {},
          const ob::PublishOptions<typename F::Backend>& how = {}) {
  send(f, bus, topic, std::vector{message(std::move(payload), std::move(key))}, how);
}

/// Makes a call that blocks; it must return before the deadline.
template <class F, class Call>
auto in_time(F& f, Call call) {
  const auto start = Clock::now();
  auto result = call();
  expect(Clock::now() - start < f.deadline, "a call blocked past the deadline");
  return result;
}

/// Waits until the subscription is registered at the broker.
template <class F>
void registered(F& f, const ob::Subscription& subscription) {
  eventually(
      f, [&] { return subscription.health().ok; }, "the subscription to be registered");
}

/// Waits until nothing is in flight.
template <class F>
void drained(F& f, const ob::Subscription& subscription) {
  eventually(
      f, [&] { return subscription.stats().in_flight == 0; }, "in_flight to become 0");
}

/// Every payload came, and none more than once.
inline void expect_exactly(const Inbox& inbox, const std::vector<ob::Message>& sent) {
  std::map<std::string, std::size_t> times;
  const auto came = inbox.payloads();
  for (const auto& each : came) ++times[each];
  for (const auto& each : sent) {
    if (times[each.payload] != 1) {
      violated("message ", each.payload, " came ", times[each.payload], " times, not once");
    }
  }
  expect_equal(came.size(), sent.size(), "the number of messages that came");
}

/// A retry policy that loses no time.
inline auto quick_retry(std::uint32_t attempts) {
  return ob::retry({.attempts = attempts, .initial = 1ms, .max = 2ms, .jitter = false});
}

/// Random numbers that a seed repeats. Shared objects are safe.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : state_{seed} {}
  /// 0 to `sides` - 1.
  std::uint64_t roll(std::uint64_t sides) {
    std::uint64_t x = state_.fetch_add(0x9E3779B97F4A7C15u) + 0x9E3779B97F4A7C15u;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return (x ^ (x >> 31)) % sides;
  }

 private:
  std::atomic<std::uint64_t> state_;
};

}  // namespace conformance
