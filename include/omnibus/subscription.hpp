// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <omnibus/consumer_state.hpp>
#include <omnibus/result.hpp>
#include <omnibus/time.hpp>

// What `subscribe` returns: as long as it lives, messages are delivered.

namespace omnibus {

/// What a subscription has done so far, and what it holds. Counted after each batch of work, a
/// little behind the observer's hooks; exact once the subscription has stopped.
struct SubscriptionStats {
  std::uint64_t handled = 0;        ///< handlers that ended well
  std::uint64_t retried = 0;        ///< attempts that were followed by a wait for another
  std::uint64_t dead_lettered = 0;  ///< messages that stand in a dead-letter topic
  std::uint64_t dropped = 0;        ///< messages a stage ended well without calling the handler
  std::uint64_t duplicates = 0;     ///< messages whose key had been completed before
  std::uint64_t given_back = 0;     ///< messages that went back to the broker unhandled
  std::size_t in_flight = 0;        ///< messages taken and not yet settled
  std::size_t waiting = 0;          ///< of these, waiting for another attempt or behind one
  bool idle = false;                ///< no handler runs, and what handlers have done is settled and counted
};

/// The state of one subscription.
struct SubscriptionHealth {
  std::string topic;
  std::string group;
  bool ok = false;      ///< the consumer is registered at the broker, and messages are taken
  std::string problem;  ///< what is wrong, when something is
  SubscriptionStats stats{};
};

/// The state of a bus.
struct BusHealth {
  bool ok = false;     ///< publishing works and every subscription is registered
  std::string detail;  ///< of the publishing side: why not, or a warning
  std::vector<SubscriptionHealth> subscriptions;
};

namespace detail {

/// A running subscription, whatever its backend.
class RunningSubscription {
 public:
  virtual ~RunningSubscription() = default;
  virtual void stop(Duration to_close) noexcept = 0;
  virtual const ConsumerState& state() const noexcept = 0;
  virtual bool on_own_thread() const noexcept = 0;
  virtual SubscriptionHealth health() const = 0;
};

}  // namespace detail

/// Delivers messages to a handler while it lives. Destruction stops delivery and waits for the
/// handlers that run; what has not started goes back to the broker. Destroyed inside its own
/// handler it cannot wait: it stops, and the bus waits when it is closed.
/// Thread safety: distinct objects: safe. Shared objects: const members and `stop` are safe.
/// Lifetime: the bus must outlive it.
class [[nodiscard("delivery stops when the Subscription is destroyed; keep it")]] Subscription {
 public:
  explicit Subscription(std::shared_ptr<detail::RunningSubscription> running) noexcept
      : running_{std::move(running)} {}
  Subscription(Subscription&&) noexcept = default;
  Subscription& operator=(Subscription&& other) noexcept {
    if (this != &other) {
      end();
      running_ = std::move(other.running_);
    }
    return *this;
  }
  ~Subscription() { end(); }

  /// Stops delivery: what has not started goes back, what runs is finished and settled.
  /// Blocks: until that is done, at most `timeout`; not at all inside its own handler.
  /// Errors: timed_out while a handler still runs; whatever closing the consumer met.
  Result<> stop(Duration timeout = std::chrono::seconds{30}) {
    if (!running_) return {};
    running_->stop(timeout);
    if (running_->on_own_thread()) return {};
    if (!running_->state().wait_ended(after(std::chrono::steady_clock::now(), timeout))) {
      return Error::make(Errc::timed_out, "stop subscription", "a handler still runs");
    }
    return running_->state().closed();
  }

  /// Blocks until it is registered at the broker, at most `timeout`. A backend whose capabilities do not
  /// say `retains` delivers to a new group only what is published afterwards.
  /// Errors: what keeps it from being registered: unavailable, access_denied, not_found,
  /// topology_mismatch, closed.
  Result<> wait_registered(Duration timeout = std::chrono::seconds{30}) const {
    if (!running_) return Error::make(Errc::closed, "subscribe");
    const Instant deadline = after(std::chrono::steady_clock::now(), timeout);
    if (auto problem = running_->state().wait_registered(deadline)) return *std::move(problem);
    return {};
  }

  /// Whether it is registered at the broker, and what it has done.
  SubscriptionHealth health() const { return running_ ? running_->health() : SubscriptionHealth{}; }
  /// What it has done.
  SubscriptionStats stats() const { return health().stats; }

 private:
  void end() noexcept {
    if (!running_) return;
    running_->stop(std::chrono::seconds{30});
    if (!running_->on_own_thread()) running_->state().wait_ended(Instant::max());
    running_.reset();
  }

  std::shared_ptr<detail::RunningSubscription> running_;
};

}  // namespace omnibus
