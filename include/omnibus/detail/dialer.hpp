// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include <omnibus/backoff.hpp>
#include <omnibus/detail/hash.hpp>
#include <omnibus/detail/thread.hpp>
#include <omnibus/detail/unique_function.hpp>
#include <omnibus/detail/uuid.hpp>
#include <omnibus/error.hpp>
#include <omnibus/result.hpp>
#include <omnibus/time.hpp>

// Connecting, again and again, without keeping anybody waiting.

namespace omnibus::detail {

/// How long to wait between attempts. Short at most: what is at the other end is a broker that
/// restarts, and messages shall flow again within a second of its return.
inline constexpr Backoff reconnect_backoff{.initial = std::chrono::milliseconds{100},
                                           .max = std::chrono::milliseconds{500}};
/// After an answer that will not change by itself: wrong password, another declaration.
inline constexpr Duration reconsider = std::chrono::seconds{2};

/// When to connect next, and where. A small state machine.
class Redial {
 public:
  /// What went wrong has been noted: the next attempt is not due before some time.
  void failed(Instant now, bool may_pass, std::size_t endpoints) {
    ++attempt_;
    endpoint_ = (endpoint_ + 1) % endpoints;
    const Duration pause = backoff(reconnect_backoff, attempt_, mix64(random_++));
    due_ = after(now, may_pass ? pause : reconsider);
  }
  /// It worked, for a while at least.
  void worked() noexcept { attempt_ = 0; }
  Instant due() const noexcept { return due_; }
  std::size_t endpoint() const noexcept { return endpoint_; }

 private:
  std::uint32_t attempt_ = 0;
  std::size_t endpoint_ = 0;
  Instant due_ = Instant::min();
  std::uint64_t random_ = entropy64();
};

/// Connects when it is time to, on a thread of its own, because resolving and shaking hands block.
/// `Connection::open(endpoint, options)` returns `Result<std::unique_ptr<Connection>>`, for one of
/// `options.endpoints`.
/// Thread safety: one thread at a time; `ready` is called on another one.
template <class Connection, class Options>
class Dialer {
 public:
  using Outcome = Result<std::unique_ptr<Connection>>;

  /// `ready` says that there is an outcome to take.
  Dialer(const Options& options, UniqueFunction<void()> ready)
      : options_{options}, ready_{std::move(ready)} {}

  /// For who has no connection: begins to connect when that is due. Returns the outcome once it is
  /// there; a failure has been noted.
  std::optional<Outcome> dial(Instant now) {
    if (!thread_.joinable()) {
      if (now >= redial_.due()) begin();
      return {};
    }
    std::optional<Outcome> taken;
    {
      std::lock_guard lock{mutex_};
      taken.swap(outcome_);
    }
    if (taken) thread_.join();
    if (taken && !*taken) failed(taken->error(), now);
    return taken;
  }
  /// When `dial` has something to do; not while it is connecting.
  Instant due() const noexcept { return thread_.joinable() ? Instant::max() : redial_.due(); }
  /// The connection did not last, or was of no use.
  void failed(const Error& problem, Instant now) {
    redial_.failed(now, problem.retryable, options_.endpoints.size());
  }
  /// The connection is of use.
  void worked() noexcept { redial_.worked(); }

 private:
  void begin() {
    thread_ = DeepThread{[this, endpoint = options_.endpoints[redial_.endpoint()]] {
      Outcome outcome = Connection::open(endpoint, options_);
      {
        std::lock_guard lock{mutex_};
        outcome_.emplace(std::move(outcome));
      }
      ready_();
    }};
  }

  const Options options_;
  UniqueFunction<void()> ready_;
  Redial redial_;
  std::mutex mutex_;
  std::optional<Outcome> outcome_;
  DeepThread thread_;  // last: it is joined first
};

}  // namespace omnibus::detail
