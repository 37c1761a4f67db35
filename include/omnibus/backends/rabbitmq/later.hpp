// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <omnibus/backends/rabbitmq/publisher.hpp>
#include <omnibus/backends/rabbitmq/shard.hpp>
#include <omnibus/backends/rabbitmq/topology.hpp>
#include <omnibus/detail/wakeup.hpp>

// Delivering again later: a copy goes to a queue where it waits, and only when the broker has
// confirmed it may the original be acknowledged.

namespace omnibus::rabbitmq {

/// The bell of a consumer's thread, and what has become of copies. It outlives the consumer where a
/// publish is still under way. Thread safety: shared objects are safe.
struct Mailbox {
  struct Copied {
    Held* held;
    bool confirmed;
  };
  omnibus::detail::Wakeup wakeup;
  std::mutex mutex;
  std::vector<Copied> copied;

  void add(Copied each) {
    {
      std::lock_guard lock{mutex};
      copied.push_back(each);
    }
    wakeup.ring();
  }
  std::vector<Copied> take() {
    std::lock_guard lock{mutex};
    return std::exchange(copied, {});
  }
};

/// Sends copies to delay queues, from which they return to the queue they came from.
/// Thread safety: one thread at a time.
class Later {
 public:
  /// `name` is what the delay queues are named after.
  Later(Publisher& publisher, std::string name, std::shared_ptr<Mailbox> mailbox)
      : publisher_{publisher}, name_{std::move(name)}, mailbox_{std::move(mailbox)} {}

  /// Sends a copy that comes back after `delay`. The mailbox is told of its ending, once.
  void send(Held& held, Duration delay, std::uint32_t attempts) {
    held.delay = delay;
    held.attempts = attempts;
    ++held.shard->forwarding;
    submit(held);
  }

  /// A copy was not confirmed: it is sent again after a while.
  void failed(Held& held, Instant now) { retries_.push_back({&held, now + pause}); }
  Instant next_retry() const noexcept {
    return retries_.empty() ? Instant::max() : retries_.front().due;
  }
  /// Sends again what is due; drops what has come back to the broker with its channel.
  template <class Drop>
  void retry(Instant now, Drop drop) {
    for (; !retries_.empty() && retries_.front().due <= now; retries_.pop_front()) {
      Held& held = *retries_.front().held;
      if (held.generation == held.shard->generation()) {
        submit(held);
      } else {
        drop(held);
      }
    }
  }

 private:
  static constexpr Duration pause = std::chrono::milliseconds{200};
  struct Retry {
    Held* held;
    Instant due;
  };

  void submit(Held& held) {
    const Duration tier = delay_tier(held.delay);
    const Duration rest = held.delay > tier ? held.delay - tier : Duration::zero();
    const std::string route = later_exchange(name_, tier);
    Outgoing outgoing{held.received.message(), {},
                      [mailbox = mailbox_, &held](const Result<Receipt>& result) {
                        mailbox->add({&held, result.has_value()});
                      }};
    publisher_.submit(
        {.route = route, .routing_key = held.shard->queue(), .carried = {held.attempts, rest}},
        [&] { return Route{route, later_topology(name_, "", tier)}; }, outgoing,
        {.timeout = std::chrono::seconds{30}, .wait_for_room = false});
  }

  Publisher& publisher_;
  const std::string name_;
  const std::shared_ptr<Mailbox> mailbox_;
  std::deque<Retry> retries_;
};

}  // namespace omnibus::rabbitmq
