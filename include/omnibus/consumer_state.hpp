// SPDX-License-Identifier: MIT
#pragma once

#include <condition_variable>
#include <mutex>
#include <optional>

#include <omnibus/error.hpp>
#include <omnibus/result.hpp>
#include <omnibus/time.hpp>

// What is known of a subscription's consumer, for those who ask and those who wait.

namespace omnibus {

/// Thread safety: shared objects are safe.
class ConsumerState {
 public:
  /// It is registered (nullptr), or this is wrong with it.
  void report(const Error* problem) {
    std::lock_guard lock{mutex_};
    if (problem != nullptr) {
      problem_ = *problem;
    } else {
      problem_.reset();
    }
    changed_.notify_all();
  }
  /// It has been closed, with this result; nothing follows.
  void end(const Result<>& closed) {
    std::lock_guard lock{mutex_};
    closed_ = closed;
    problem_ = Error::make(Errc::closed, "consume");
    ended_ = true;
    changed_.notify_all();
  }

  /// What is wrong, if anything; something is until it has reported otherwise.
  std::optional<Error> problem() const {
    std::lock_guard lock{mutex_};
    return problem_;
  }
  /// How closing it ended.
  Result<> closed() const {
    std::lock_guard lock{mutex_};
    return closed_;
  }
  /// Blocks until it is registered or has ended, at most until `deadline`; returns `problem()`.
  std::optional<Error> wait_registered(Instant deadline) const {
    std::unique_lock lock{mutex_};
    changed_.wait_until(lock, deadline, [this] { return !problem_ || ended_; });
    return problem_;
  }
  /// Blocks until it has ended; false at the deadline.
  bool wait_ended(Instant deadline) const {
    std::unique_lock lock{mutex_};
    return changed_.wait_until(lock, deadline, [this] { return ended_; });
  }

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::optional<Error> problem_ = Error::make(Errc::unavailable, "consume", "not connected yet");
  Result<> closed_;
  bool ended_ = false;
};

}  // namespace omnibus
