// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <mutex>
#include <optional>

#include <omnibus/error.hpp>
#include <omnibus/time.hpp>

// For how long no new messages are taken, and why.

namespace omnibus {

/// Thread safety: shared objects are safe.
class Pause {
 public:
  /// Lasts until then; longer where it did already. `why` is what is wrong, if anything is.
  void extend(Instant until, const Error* why) {
    std::lock_guard lock{mutex_};
    if (why != nullptr) {
      why_ = *why;
      wrong_until_ = until;
    }
    if (until > until_.load(std::memory_order_relaxed)) until_.store(until, std::memory_order_relaxed);
  }
  /// When it ends, which may have been before.
  Instant until() const noexcept { return until_.load(std::memory_order_relaxed); }
  /// What is wrong at the moment.
  std::optional<Error> problem(Instant now) const {
    std::lock_guard lock{mutex_};
    return now < wrong_until_ ? why_ : std::nullopt;
  }

 private:
  std::atomic<Instant> until_{Instant::min()};
  mutable std::mutex mutex_;
  Instant wrong_until_ = Instant::min();
  std::optional<Error> why_;
};

}  // namespace omnibus
