// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include <omnibus/backend.hpp>
#include <omnibus/clock.hpp>
#include <omnibus/detail/smaller.hpp>
#include <omnibus/sequence.hpp>

// From the bus to its backend. Where messages are numbered, they are handed over in the order of their
// numbers.

namespace omnibus::detail {

/// Thread safety: shared objects are safe. Lifetime: the backend must outlive it.
template <class B>
class Submitter {
 public:
  /// Numbers the messages of so many keys at a time; 0: none.
  Submitter(B& backend, std::size_t numbered_keys) : backend_{backend} {
    if (numbered_keys > 0) numbering_.emplace(numbered_keys, epoch_at(backend.clock().wall()));
  }

  /// As the backend's own. What has a number already, no key, or a delay, is not numbered.
  void submit(std::string_view topic, std::span<Outgoing> messages, const Submit& how) {
    if (!numbering_) return backend_.submit(topic, messages, how);
    std::unique_lock lock{mutex_, std::defer_lock};
    if (!take_turn(lock, how)) {
      for (Outgoing& each : messages) each.done(others_wait());
      return;
    }
    for (Outgoing& each : messages) {
      if (each.delay <= Duration::zero()) number(topic, each.message);
    }
    backend_.submit(topic, messages, how);
  }

  /// As the backend's own, likewise.
  void submit_atomic(std::span<Addressed> messages, const Submit& how, AtomicDone done) {
    if (!numbering_) return backend_.submit_atomic(messages, how, std::move(done));
    std::unique_lock lock{mutex_, std::defer_lock};
    if (!take_turn(lock, how)) return done(others_wait());
    for (Addressed& each : messages) number(each.topic, each.message);
    backend_.submit_atomic(messages, how, std::move(done));
  }

 private:
  bool take_turn(std::unique_lock<std::recursive_timed_mutex>& lock, const Submit& how) {
    // Who has it for so long waits for room, and there is none for us either.
    constexpr std::chrono::milliseconds patience{5};
    if (!how.wait_for_room) return lock.try_lock_for(patience);
    lock.lock();
    return true;
  }
  static Error others_wait() {
    return Error::make(Errc::window_full, "publish", "others wait for room already");
  }
  void number(std::string_view topic, MessageView& message) {
    if (message.sequence.epoch != 0 || message.key.empty()) return;
    message.sequence = numbering_->next(topic, message.key);
  }

  static std::uint64_t epoch_at(Time now) noexcept {
    const auto since = std::chrono::duration_cast<std::chrono::microseconds>(now.time_since_epoch());
    return static_cast<std::uint64_t>(larger<std::int64_t>(since.count(), 1));
  }

  B& backend_;
  std::recursive_timed_mutex mutex_;  // a completion may publish
  std::optional<Numbering> numbering_;
};

}  // namespace omnibus::detail
