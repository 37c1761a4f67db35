// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <omnibus/backend.hpp>
#include <omnibus/backends/memory/group.hpp>
#include <omnibus/backends/memory/log.hpp>
#include <omnibus/clock.hpp>
#include <omnibus/detail/smaller.hpp>
#include <omnibus/subscription_spec.hpp>

// The in-process broker: topics by name, each with a log, its groups and those who wait for news.

namespace omnibus::memory {

/// What bounds a broker. All buses on one broker must agree.
struct BrokerLimits {
  std::size_t log_bytes = 256u << 20;  ///< of each topic
  std::size_t delayed = 100'000;       ///< messages of each topic that wait for their time
  std::int32_t partitions = 64;        ///< shares of the keys that members of a group divide up
  bool operator==(const BrokerLimits&) const = default;
};

/// Someone who sleeps until a topic has news. Thread safety: shared objects are safe.
class Sleeper {
 public:
  explicit Sleeper(Clock& clock) : clock_{clock} { clock_.wakes(Instant::max()); }

  /// Ends the current sleep or the next one.
  void ring() {
    std::lock_guard lock{mutex_};
    rung_ = true;
    wake();
    signal_.notify_one();
  }
  /// Sleeps until rung or until this instant of the clock.
  void sleep(Instant until) {
    std::unique_lock lock{mutex_};
    const auto rung = [this] { return rung_; };
    if (!rung_) {
      clock_.sleeps(until);
      asleep_until_ = until;
    }
    if (until == Instant::max() || clock_.by_hand()) {
      signal_.wait(lock, rung);
    } else {
      signal_.wait_until(lock, until, rung);
    }
    wake();
    rung_ = false;
  }
  /// Will not sleep again and has nothing left to do. To be called once.
  void retire() { clock_.sleeps(Instant::max()); }

 private:
  void wake() {
    if (asleep_until_) clock_.wakes(*std::exchange(asleep_until_, std::nullopt));
  }

  Clock& clock_;
  std::optional<Instant> asleep_until_;
  std::mutex mutex_;
  std::condition_variable signal_;
  bool rung_ = false;
};

/// A group of a topic with the lock that guards it. Lock order: group before topic.
struct GuardedGroup {
  GuardedGroup(std::uint64_t start, std::int32_t partitions) : group{start, partitions} {}
  std::mutex mutex;
  Group group;
};

/// Thread safety: shared objects are safe.
class Topic {
 public:
  Topic(std::string name, const BrokerLimits& limits, const Clock& clock)
      : name_{std::move(name)}, limits_{limits}, clock_{clock}, log_{limits.log_bytes} {}

  const std::string& name() const noexcept { return name_; }

  /// Stores messages in order; each `done` runs before it returns. Blocks while the log is full of
  /// what some group still needs, at most until the deadline.
  void submit(std::span<Outgoing> messages, const Submit& how) {
    // The clock is asked when someone has to wait, once for the whole batch.
    std::optional<std::chrono::steady_clock::time_point> deadline;
    for (Outgoing& each : messages) {
      Result<Receipt> ending = each.delay > Duration::zero() ? store_delayed(each)
                                                             : store(each.message, how, deadline);
      if (ending && asleep_.load(std::memory_order_seq_cst) > 0) ring_all();
      each.done(std::move(ending));  // user code: without the lock, so that it may publish
    }
  }

  /// Stores messages, each in its topic, all of them or none: with the locks of all those topics. Blocks
  /// while a log is full of what some group still needs, at most until the deadline.
  static Result<std::vector<Receipt>> store_as_one(std::span<Topic* const> to,
                                                   std::span<const Addressed> messages,
                                                   const Submit& how) {
    std::map<Topic*, Part> parts;  // in one order for everybody, since one lock is taken after the other
    for (std::size_t i = 0; i < messages.size(); ++i) parts[to[i]].size += Log::size_of(messages[i].message);
    for (const auto& [topic, part] : parts) {
      if (part.size > topic->log_.largest_batch()) return too_large();
    }
    for (const auto& [topic, part] : parts) topic->waiting_.fetch_add(1);
    const Instant deadline = after(std::chrono::steady_clock::now(), how.timeout);
    std::vector<Receipt> receipts;
    bool stored = false;
    bool in_time = true;
    while (!stored && in_time) {
      for (auto& [topic, part] : parts) part.lock = std::unique_lock{topic->mutex_};
      Topic* full = place_all(parts, to, messages, receipts);
      stored = full == nullptr;
      std::unique_lock<std::mutex> lock;
      if (!stored) lock = std::move(parts[full].lock);
      for (auto& [topic, part] : parts) part.lock = {};
      if (stored) break;
      in_time = how.wait_for_room && full->space_.wait_until(lock, deadline) == std::cv_status::no_timeout;
    }
    for (const auto& [topic, part] : parts) topic->waiting_.fetch_sub(1);
    if (!stored) return log_is_full();
    for (const auto& [topic, part] : parts) {
      if (topic->asleep_.load(std::memory_order_seq_cst) > 0) topic->ring_all();
    }
    return receipts;
  }

  /// Moves delayed messages whose time has come into the log. Returns when the next one is due.
  Instant move_due() {
    if (next_due_.load() > clock_.now().time_since_epoch().count()) {
      return Instant{Instant::duration{next_due_.load()}};
    }
    std::lock_guard lock{mutex_};
    const Instant now = clock_.now();
    bool any = false;
    bool full = false;
    while (!full && !delayed_.empty() && delayed_.begin()->first <= now) {
      full = log_.append(delayed_.begin()->second.view(), needed()) == nullptr;
      if (full) break;
      delayed_.erase(delayed_.begin());
      any = true;
    }
    const Instant next = delayed_.empty() ? Instant::max() : delayed_.begin()->first;
    next_due_.store(next.time_since_epoch().count());
    // What is due but finds the log full is tried again by whoever makes room.
    if (full) return Instant::max();
    if (any && asleep_.load(std::memory_order_seq_cst) > 0) ring_all();
    return next;
  }

  /// The group of this name; created at `start` when there is none. `lost` tells that the start is
  /// no longer kept.
  std::shared_ptr<GuardedGroup> group(const std::string& name, const Start& start, bool& lost) {
    std::lock_guard lock{mutex_};
    auto& group = groups_[name];
    if (!group) {
      group = std::make_shared<GuardedGroup>(position_of(start, lost), limits_.partitions);
    }
    return group;
  }
  /// The group of this name; nullptr when there is none.
  std::shared_ptr<GuardedGroup> find_group(const std::string& name) const {
    std::lock_guard lock{mutex_};
    const auto found = groups_.find(name);
    return found != groups_.end() ? found->second : nullptr;
  }
  /// Forgets a reader's group.
  void forget(const std::string& name) {
    std::lock_guard lock{mutex_};
    groups_.erase(name);
    space_.notify_all();
  }

  /// The record at a position; nullptr when there is none.
  const Record* find(std::uint64_t position) const {
    std::lock_guard lock{mutex_};
    return log_.find(position);
  }
  std::uint64_t end() const noexcept { return log_.end(); }

  void watch(Sleeper& sleeper) {
    std::lock_guard lock{sleepers_mutex_};
    sleepers_.push_back(&sleeper);
  }
  void unwatch(Sleeper& sleeper) {
    std::lock_guard lock{sleepers_mutex_};
    std::erase(sleepers_, &sleeper);
  }
  /// To be called around a sleep, so that a publish only rings when someone sleeps.
  void falls_asleep() noexcept { asleep_.fetch_add(1, std::memory_order_seq_cst); }
  void wakes_up() noexcept { asleep_.fetch_sub(1, std::memory_order_relaxed); }
  /// Wakes everyone who waits for news of this topic.
  void ring_all() {
    std::lock_guard lock{sleepers_mutex_};
    for (Sleeper* sleeper : sleepers_) sleeper->ring();
  }
  /// To be called after a group finished something: publishers may wait for room.
  void room_made() {
    // A read-modify-write, so that either this sees who waits or they see the room.
    if (waiting_.fetch_add(0) == 0) return;
    std::lock_guard lock{mutex_};
    space_.notify_all();
  }

 private:
  /// What one topic has of messages that are stored as one.
  struct Part {
    std::size_t size = 0;
    std::unique_lock<std::mutex> lock;
    Log::Mark mark;
  };

  /// With the locks held. Returns a topic whose log is full; nullptr when everything is stored.
  static Topic* place_all(std::map<Topic*, Part>& parts, std::span<Topic* const> to,
                          std::span<const Addressed> messages, std::vector<Receipt>& receipts) {
    receipts.clear();
    for (auto& [topic, part] : parts) part.mark = topic->log_.mark();
    for (std::size_t i = 0; i < messages.size(); ++i) {
      const Record* record = to[i]->log_.place(messages[i].message, to[i]->needed());
      if (record == nullptr) {
        for (const auto& [topic, part] : parts) topic->log_.undo(part.mark);
        return to[i];
      }
      receipts.push_back(to[i]->receipt_of(*record));
    }
    for (const auto& [topic, part] : parts) topic->log_.publish();
    return nullptr;
  }

  Result<Receipt> store(const MessageView& message, const Submit& how,
                        std::optional<std::chrono::steady_clock::time_point>& deadline) {
    std::unique_lock lock{mutex_};
    const Record* record = log_.append(message, needed());
    if (record == nullptr && Log::size_of(message) > log_.largest()) return too_large();
    if (record == nullptr && how.wait_for_room) {
      if (!deadline) deadline = after(std::chrono::steady_clock::now(), how.timeout);
      waiting_.fetch_add(1);
      space_.wait_until(lock, *deadline, [&] {
        return (record = log_.append(message, needed())) != nullptr;
      });
      waiting_.fetch_sub(1);
    }
    if (record == nullptr) return log_is_full();
    return receipt_of(*record);
  }
  Receipt receipt_of(const Record& record) const noexcept {
    const auto partitions = static_cast<std::uint64_t>(limits_.partitions);
    return {static_cast<std::int32_t>(record.key_hash % partitions), {record.position, 0}};
  }

  Result<Receipt> store_delayed(const Outgoing& outgoing) {
    std::lock_guard lock{mutex_};
    if (Log::size_of(outgoing.message) > log_.largest()) return too_large();
    if (delayed_.size() >= limits_.delayed) {
      return Error::make(Errc::window_full, "publish", "too many delayed messages");
    }
    delayed_.emplace(after(clock_.now(), outgoing.delay), Message{outgoing.message});
    next_due_.store(delayed_.begin()->first.time_since_epoch().count());
    return Receipt{};
  }

  static Error too_large() {
    return Error::make(Errc::too_large, "publish", "the message is too large for log_bytes");
  }

  static Error log_is_full() {
    return Error::make(Errc::window_full, "publish",
                       "the topic's log is full of messages that a group has not finished");
  }

  std::uint64_t needed() const noexcept {
    std::uint64_t lowest = UINT64_MAX;
    for (const auto& [name, group] : groups_) lowest = detail::smaller(lowest, group->group.needed());
    return lowest;
  }

  std::uint64_t position_of(const Start& start, bool& lost) const {
    switch (start.from) {
      case Start::From::earliest: return log_.first();
      case Start::From::latest: return log_.end();
      case Start::From::time: return log_.find_time(start.time);
      case Start::From::position: break;
    }
    std::uint64_t lowest = log_.end();
    for (const auto& at : start.positions) lowest = detail::smaller(lowest, at.position.major);
    lost = lowest < log_.first();
    return detail::larger(lowest, log_.first());
  }

  const std::string name_;
  const BrokerLimits limits_;
  const Clock& clock_;
  mutable std::mutex mutex_;
  std::condition_variable space_;
  std::atomic<int> waiting_{0};
  Log log_;
  std::map<std::string, std::shared_ptr<GuardedGroup>> groups_;
  std::multimap<Instant, Message> delayed_;
  std::atomic<Instant::rep> next_due_{Instant::max().time_since_epoch().count()};
  std::atomic<int> asleep_{0};
  std::mutex sleepers_mutex_;
  std::vector<Sleeper*> sleepers_;
};

/// Thread safety: shared objects are safe.
class Broker {
 public:
  Broker(const BrokerLimits& limits, Clock* clock)
      : limits_{limits}, clock_{clock != nullptr ? clock : &system_} {
    jump_ = clock_->on_jump([this] { ring_all(); });
  }
  ~Broker() { clock_->forget(jump_); }
  Broker(const Broker&) = delete;

  const BrokerLimits& limits() const noexcept { return limits_; }
  Clock& clock() const noexcept { return *clock_; }

  /// The topic of this name; created when there is none. Lifetime: of the broker.
  Topic& topic(std::string_view name) {
    std::lock_guard lock{mutex_};
    const auto found = topics_.find(name);
    if (found != topics_.end()) return *found->second;
    auto topic = std::make_unique<Topic>(std::string{name}, limits_, *clock_);
    return *topics_.emplace(std::string{name}, std::move(topic)).first->second;
  }

  /// The broker of this name in this process; created when there is none. It lives as long as
  /// someone holds it. Errors: throws std::invalid_argument when it exists with other limits.
  static std::shared_ptr<Broker> named(const std::string& name, const BrokerLimits& limits,
                                       Clock* clock) {
    if (name.empty()) return std::make_shared<Broker>(limits, clock);
    // Names are process-wide by definition: the one place with a table of them.
    static std::mutex mutex;
    static std::map<std::string, std::weak_ptr<Broker>> brokers;
    std::lock_guard lock{mutex};
    std::erase_if(brokers, [](const auto& each) { return each.second.expired(); });
    auto& slot = brokers[name];
    auto broker = slot.lock();
    if (!broker) {
      broker = std::make_shared<Broker>(limits, clock);
      slot = broker;
    } else if (broker->limits_ != limits || (clock != nullptr && broker->clock_ != clock)) {
      throw std::invalid_argument{"omnibus: memory: endpoint \"" + name +
                                  "\" exists with other limits or another clock"};
    }
    return broker;
  }

 private:
  void ring_all() {
    std::lock_guard lock{mutex_};
    for (auto& [name, topic] : topics_) topic->ring_all();
  }

  const BrokerLimits limits_;
  SystemClock system_;
  Clock* clock_;
  std::uint64_t jump_ = 0;
  std::mutex mutex_;
  std::map<std::string, std::unique_ptr<Topic>, std::less<>> topics_;
};

}  // namespace omnibus::memory
