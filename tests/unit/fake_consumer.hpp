// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <omnibus/backend.hpp>
#include <omnibus/dispatcher.hpp>

#include "unit/tools.hpp"

// A broker that does what the test says, for one consumer: the dispatcher's other side. It checks
// that each token is settled once and never while its handler runs.

namespace omnibus::unit {

class FakeBroker {
 public:
  explicit FakeBroker(VirtualClock& clock) : clock_{clock} {
    handle_ = clock_.on_jump([this] { changed_.notify_all(); });
  }
  ~FakeBroker() { clock_.forget(handle_); }

  /// A message that the next poll delivers. Returns its token.
  std::uint64_t publish(Message message, std::int32_t partition = 0, std::uint32_t attempts = 0) {
    std::lock_guard lock{mutex_};
    Entry& entry = entries_.emplace_back();
    entry.message = std::move(message);
    entry.view = entry.message.view();
    entry.partition = partition;
    entry.attempts = attempts;
    const std::uint64_t token = entries_.size();
    pending_.push_back(token);
    changed_.notify_all();
    return token;
  }
  /// Delivers a settled message again, under a new token.
  std::uint64_t publish_again(std::uint64_t token, std::uint32_t attempts = 0) {
    Message copy;
    std::int32_t partition = 0;
    {
      std::lock_guard lock{mutex_};
      copy = entry_of(token).message;
      partition = entry_of(token).partition;
    }
    return publish(std::move(copy), partition, attempts);
  }
  /// Runs `call` inside the next poll, on the dispatcher's thread. Returns when it has ended.
  bool in_poll(std::function<void(Intake&)> call) {
    std::unique_lock lock{mutex_};
    calls_.push_back(std::move(call));
    const std::size_t wanted = ++calls_made_;
    changed_.notify_all();
    return changed_.wait_for(lock, patience, [&] { return calls_ended_ >= wanted; });
  }
  /// Says that the handler of this message begins or ends.
  void handler(const Delivery& delivery, int change) {
    std::lock_guard lock{mutex_};
    running_[delivery.incoming().token] += change;
  }

  /// True once so many messages have been settled.
  bool settled(std::size_t count) {
    return wait([&] { return settlements_.size() >= count; });
  }
  bool delivered(std::size_t count) {
    return wait([&] { return delivered_ >= count; });
  }
  bool closed() {
    return wait([&] { return closed_; });
  }
  /// True once the dispatcher has polled so often from now on.
  bool polled(std::size_t more) {
    const std::size_t until = [this, more] {
      std::lock_guard lock{mutex_};
      return polls_ + more;
    }();
    return wait([&] { return polls_ >= until; });
  }

  std::vector<Settlement> settlements() const {
    std::lock_guard lock{mutex_};
    return settlements_;
  }
  /// How a token was settled; nothing while it was not.
  std::optional<Settlement> settlement(std::uint64_t token) const {
    std::lock_guard lock{mutex_};
    for (const Settlement& each : settlements_) {
      if (each.token == token) return each;
    }
    return {};
  }
  std::vector<std::string> mistakes() const {
    std::lock_guard lock{mutex_};
    return mistakes_;
  }
  std::size_t most_unsettled() const {
    std::lock_guard lock{mutex_};
    return most_unsettled_;
  }
  bool is_closed() const {
    std::lock_guard lock{mutex_};
    return closed_;
  }
  Result<> close_answer{};

  // ── what the dispatcher calls ──────────────────────────────────────────────────────────────────

  void poll(Intake& intake, Instant until) {
    std::unique_lock lock{mutex_};
    ++polls_;
    changed_.notify_all();
    const auto deadline = std::chrono::steady_clock::now() + patience;
    while (true) {
      bool something = false;
      while (!calls_.empty()) {
        const auto call = std::move(calls_.front());
        calls_.pop_front();
        lock.unlock();
        call(intake);
        lock.lock();
        ++calls_ended_;
        changed_.notify_all();
      }
      while (!pending_.empty() && intake.room() > 0) {
        const std::uint64_t token = pending_.front();
        pending_.pop_front();
        Entry& entry = entry_of(token);
        entry.delivered = true;
        ++delivered_;
        ++unsettled_;
        most_unsettled_ = std::max(most_unsettled_, unsettled_);
        intake.deliver({&entry.view, topic_, entry.partition, {token, 0}, entry.attempts, token});
        something = true;
        changed_.notify_all();
      }
      if (something || std::exchange(woken_, false) || clock_.now() >= until) {
        woken_ = false;
        return;
      }
      if (std::chrono::steady_clock::now() > deadline) {
        mistakes_.push_back("a poll lasted longer than anybody's patience");
        return;
      }
      changed_.wait_until(lock, deadline, [&] {
        return woken_ || !calls_.empty() || clock_.now() >= until ||
               (!pending_.empty() && intake.room() > 0);
      });
    }
  }

  void settle(std::span<const Settlement> settlements) {
    std::lock_guard lock{mutex_};
    for (const Settlement& each : settlements) {
      if (each.token == 0 || each.token > entries_.size()) {
        mistakes_.push_back("settled an unknown token");
        continue;
      }
      Entry& entry = entry_of(each.token);
      if (!entry.delivered) mistakes_.push_back(entry.message.id + " settled before delivery");
      if (std::exchange(entry.settled, true))
        mistakes_.push_back(entry.message.id + " settled twice");
      if (running_[each.token] != 0)
        mistakes_.push_back(entry.message.id + " settled while handled");
      settlements_.push_back(each);
      --unsettled_;
    }
    if (closed_) mistakes_.push_back("settled after close");
    changed_.notify_all();
  }

  void wake() {
    std::lock_guard lock{mutex_};
    woken_ = true;
    changed_.notify_all();
  }

  Result<> close(Instant) {
    std::lock_guard lock{mutex_};
    if (unsettled_ != 0) mistakes_.push_back("closed with unsettled messages");
    closed_ = true;
    changed_.notify_all();
    return close_answer;
  }

 private:
  struct Entry {
    Message message;
    MessageView view;
    std::int32_t partition = 0;
    std::uint32_t attempts = 0;
    bool delivered = false;
    bool settled = false;
  };
  Entry& entry_of(std::uint64_t token) { return entries_[static_cast<std::size_t>(token) - 1]; }

  template <class Condition>
  bool wait(Condition condition) {
    std::unique_lock lock{mutex_};
    return changed_.wait_for(lock, patience, condition);
  }

  VirtualClock& clock_;
  std::uint64_t handle_ = 0;
  const std::string topic_ = "orders";
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Entry> entries_;
  std::deque<std::uint64_t> pending_;
  std::deque<std::function<void(Intake&)>> calls_;
  std::size_t calls_made_ = 0;
  std::size_t calls_ended_ = 0;
  std::map<std::uint64_t, int> running_;
  std::vector<Settlement> settlements_;
  std::vector<std::string> mistakes_;
  std::size_t delivered_ = 0;
  std::size_t unsettled_ = 0;
  std::size_t most_unsettled_ = 0;
  std::size_t polls_ = 0;
  bool woken_ = false;
  bool closed_ = false;
};

/// The consumer that a dispatcher owns.
struct FakeConsumer {
  FakeBroker* broker;
  void poll(Intake& intake, Instant until) { broker->poll(intake, until); }
  void settle(std::span<const Settlement> settlements) { broker->settle(settlements); }
  void wake() { broker->wake(); }
  Result<> close(Instant until) { return broker->close(until); }
};
static_assert(BackendConsumer<FakeConsumer>);

}  // namespace omnibus::unit
