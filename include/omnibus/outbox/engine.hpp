// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <omnibus/backoff.hpp>
#include <omnibus/clock.hpp>
#include <omnibus/detail/hash.hpp>
#include <omnibus/detail/smaller.hpp>
#include <omnibus/detail/uuid.hpp>
#include <omnibus/message.hpp>
#include <omnibus/outbox/file.hpp>
#include <omnibus/outbox/options.hpp>
#include <omnibus/outbox/queue.hpp>
#include <omnibus/result.hpp>

// What a relay does, step by step, without a thread of its own.

namespace omnibus::outbox {

/// How publishes have ended, told by the threads of the bus.
/// Thread safety: shared objects are safe.
class Endings {
 public:
  struct Failure {
    std::int64_t position;
    Error why;
  };

  void add(std::int64_t position, Result<Receipt> ending) {
    const std::lock_guard lock{mutex_};
    if (ending) {
      confirmed_.push_back(position);
    } else {
      failed_.push_back({position, std::move(ending.error())});
    }
    if (waits_ && (!failed_.empty() || confirmed_.size() >= enough_)) something_.notify_one();
  }
  /// Takes what there is. False: there is nothing.
  bool take(std::vector<std::int64_t>& confirmed, std::vector<Failure>& failed) {
    confirmed.clear();
    failed.clear();
    const std::lock_guard lock{mutex_};
    confirmed.swap(confirmed_);
    failed.swap(failed_);
    return !confirmed.empty() || !failed.empty();
  }
  /// Makes `wait` return.
  void wake() {
    const std::lock_guard lock{mutex_};
    woken_ = true;
    if (waits_) something_.notify_one();
  }
  /// Blocks until so many are confirmed, one has failed or it is woken, at most so long.
  void wait(std::size_t enough, Duration most) {
    std::unique_lock lock{mutex_};
    waits_ = true;
    enough_ = enough;
    something_.wait_for(lock, most, [&] { return woken_ || confirmed_.size() >= enough_ || !failed_.empty(); });
    waits_ = woken_ = false;
  }

 private:
  std::mutex mutex_;
  std::condition_variable something_;
  std::vector<std::int64_t> confirmed_;
  std::vector<Failure> failed_;
  std::size_t enough_ = 1;  // to wake who waits
  bool waits_ = false, woken_ = false;
};

/// What the ending of a publish means to a relay.
enum class Verdict : std::uint8_t {
  again,    ///< it may pass, or nobody can tell: the same message is sent again
  refused,  ///< the broker will not take it as it is
  over,     ///< nothing can be sent any more
};
constexpr Verdict verdict(const Error& error) noexcept {
  if (error.code == Errc::closed) return Verdict::over;
  return error.retryable ? Verdict::again : Verdict::refused;
}

/// Relays the outbox of a file to `bus`. What holds the order: of each key one message at a time is on its way, and a
/// relay sends only what nobody has marked. Should another one take over while it is stalled, each of them sends each
/// key in order, beginning with what was not marked, so that whichever copy comes first, it comes in order.
/// Thread safety: one thread at a time, but `wake`, `try_again` and `health`, which are safe. The lifetime of the bus
/// includes that of the engine. Not stopped before it is destroyed, it leaves things as a killed process would.
template <class Bus>
class Engine {
 public:
  /// Opens nothing yet. Throws std::invalid_argument.
  Engine(Bus& bus, OutboxRelayOptions options)
      : bus_{bus},
        options_{std::move(options)},
        clock_{options_.clock != nullptr ? options_.clock : &machine_},
        file_{options_.path, options_.busy_timeout} {
    check(options_);
  }
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// Does what can be done now. True: there is more. Blocking: as the file, and as the bus for room.
  bool step() {
    keep_lease();
    take_endings();
    if (fence_ != 0) {
      release_keys();
      if (mark_is_due()) mark();
    }
    if (fence_ != 0) read();
    tell();
    return fence_ != 0 && more_ && may_read() && clock_->now() >= file_again_;
  }
  /// Blocks until there is something to do, at most for `look_every`.
  void wait() { endings_->wait(enough_endings(), options_.look_every); }
  /// Says that something was committed, or that `wait` is to return.
  void wake() {
    woken_ = true;
    endings()->wake();
  }
  /// Tries keys on hold again now, and goes on where it was stopped.
  void try_again() {
    again_ = true;
    wake();
  }

  /// Waits for what is on its way, marks it and gives the lease back. Errors: timed_out, with messages on their way,
  /// which are sent again by the next relay; those of the file.
  Result<> finish(Instant until) {
    finishing_ = true;
    while (true) {
      take_endings();
      if (queue_.in_flight() == 0 || std::chrono::steady_clock::now() >= until) break;
      const Duration left = until - std::chrono::steady_clock::now();
      endings_->wait(queue_.in_flight(), detail::smaller<Duration>(options_.look_every, left));
    }
    Result<> ended;
    if (queue_.in_flight() > 0) {
      ended = Error::make(Errc::timed_out, "stop the relay",
                          std::to_string(queue_.in_flight()) + " messages are on their way");
    }
    if (fence_ != 0) mark();
    if (fence_ != 0) {
      if (Result<> released = file_.release(fence_); !released && ended) ended = std::move(released);
    }
    give_up_lease();
    file_.close();
    tell();
    return ended;
  }

  OutboxRelayHealth health() const {
    const std::lock_guard lock{mutex_};
    return health_;
  }

 private:
  static constexpr std::size_t page = 512;

  // ── endings ────────────────────────────────────────────────────────────────────────────────────

  void take_endings() {
    if (!endings_->take(confirmed_, failed_)) return;
    for (const Endings::Failure& each : failed_) fail(each);
    for (const std::int64_t position : confirmed_) {
      std::optional<Queue::Ready> next = queue_.confirmed(position);
      if (!next) continue;
      if (finishing_ || stopped_) {
        queue_.failed(next->position, Instant::max(), false);
      } else {
        send(next->position, next->topic, next->message.view());
      }
    }
    relayed_ += confirmed_.size();
  }

  void fail(const Endings::Failure& failure) {
    ++publishes_failed_;
    Instant until = after(clock_->now(), backoff(options_.backoff, queue_.failures(failure.position) + 1, random()));
    const Verdict what = verdict(failure.why);
    const bool refused = what == Verdict::refused;
    trouble_ = failure.why.message();
    if (refused) {
      trouble_ = named(failure.position) + trouble_;
      until = after(clock_->now(), options_.retry_refused);
    }
    if (what == Verdict::over || (refused && options_.on_refused == OnRefused::stop)) {
      stopped_ = true;
      until = Instant::max();
    }
    queue_.failed(failure.position, until, refused);
  }
  std::string named(std::int64_t position) {
    std::string name;
    (void)file_.scan(position - 1, 1, [&](const Stored& found) {
      if (found.position == position) name.append("message ").append(found.message.id).append(": ");
      return false;
    });
    return name;
  }

  void send(std::int64_t position, std::string_view topic, const MessageView& message) {
    bus_.publish_async(topic, message, [to = endings_, position](Result<Receipt> ending) {
      to->add(position, std::move(ending));
    });
  }

  // ── the lease ──────────────────────────────────────────────────────────────────────────────────

  void keep_lease() {
    now_ = detail::larger(now_, milliseconds(clock_->wall().time_since_epoch()));
    if (clock_->now() < file_again_) {
      if (fence_ != 0 && now_ >= until_) give_up_lease();
      return;
    }
    if (fence_ == 0) return acquire();
    if (until_ - now_ > milliseconds(options_.lease) * 2 / 3) return;
    mark();
    if (fence_ != 0 && now_ >= until_) give_up_lease();
  }
  void acquire() {
    if (now_ < others_until_) {
      const Result<bool> changed = file_.changed();
      if (changed && !*changed) return;
    }
    const std::int64_t until = now_ + milliseconds(options_.lease);
    const Result<Lease> lease = file_.acquire(now_, until);
    if (!lease) return file_failed(lease.error());
    file_worked();
    if (lease->fence == 0) {
      others_until_ = lease->until;
      return;
    }
    fence_ = lease->fence;
    until_ = until;
    marked_at_ = clock_->now();
  }
  /// Another one has it, or may have: what is on its way is not ours any more, and nothing of it is marked.
  void give_up_lease() {
    fence_ = 0;
    others_until_ = 0;
    queue_.clear();
    behind_ = 0;
    more_ = true;
    const std::lock_guard lock{mutex_};
    endings_ = std::make_shared<Endings>();
  }
  std::shared_ptr<Endings> endings() const {
    const std::lock_guard lock{mutex_};
    return endings_;
  }

  // ── the file ───────────────────────────────────────────────────────────────────────────────────

  bool mark_is_due() {
    const std::size_t count = queue_.unmarked().size();
    return count > 0 && clock_->now() >= file_again_ &&
           (count >= (options_.window + 3) / 4 || clock_->now() >= after(marked_at_, options_.mark_every));
  }
  /// Marks what is confirmed and holds the lease on.
  void mark() {
    const std::int64_t until = now_ + milliseconds(options_.lease);
    if (Result<> marked = file_.mark(fence_, until, queue_.unmarked()); !marked) {
      if (marked.error().code == Errc::rejected) return give_up_lease();
      return file_failed(marked.error());
    }
    file_worked();
    queue_.marked();
    until_ = until;
    marked_at_ = clock_->now();
  }

  void release_keys() {
    if (again_.exchange(false)) {
      stopped_ = false;
      read_again(queue_.release(Instant::max()));
    } else if (!stopped_) {
      read_again(queue_.release(clock_->now()));
    }
  }
  void read_again(std::optional<std::int64_t> from) {
    if (!from) return;
    behind_ = detail::smaller(behind_, *from - 1);
    more_ = true;
  }

  std::size_t room_to_read() const noexcept { return (options_.window + 7) / 8; }
  bool may_read() const {
    return !stopped_ && queue_.bytes() < options_.window_bytes && queue_.held() < options_.window &&
           queue_.size() + room_to_read() <= options_.window;
  }
  /// How many endings let it do something: one lets the next of its key go; else, so many as make room, or all.
  std::size_t enough_endings() const noexcept {
    if (queue_.waiting() > 0) return 1;
    return detail::smaller(room_to_read(), detail::larger<std::size_t>(queue_.in_flight(), 1));
  }
  void read() {
    if (clock_->now() < file_again_) return;
    if (woken_.exchange(false)) more_ = true;
    if (!more_) {
      const Result<bool> changed = file_.changed();
      if (!changed) return file_failed(changed.error());
      more_ = *changed;
    }
    if (!more_ || !may_read()) return;
    const Result<bool> end = file_.scan(behind_, page, [this](const Stored& stored) { return take(stored); });
    if (!end) return file_failed(end.error());
    file_worked();
    if (!*end) return;
    more_ = false;
    queue_.read_all();
  }
  bool take(const Stored& stored) {
    if (queue_.size() >= options_.window || queue_.bytes() >= options_.window_bytes) return false;
    if (milliseconds(clock_->wall().time_since_epoch()) >= until_) return false;
    behind_ = stored.position;
    if (queue_.offer(stored) == Queue::Turn::send) send(stored.position, stored.topic, stored.message);
    return true;
  }

  void file_failed(const Error& why) {
    file_trouble_ = why.message();
    file_again_ = after(clock_->now(), backoff(options_.backoff, ++file_failures_, random()));
    more_ = true;  // whatever was seen of it
  }
  void file_worked() {
    file_failures_ = 0;
    file_trouble_.clear();
  }

  // ── words and numbers ──────────────────────────────────────────────────────────────────────────

  void tell() {
    const std::lock_guard lock{mutex_};
    health_.active = fence_ != 0;
    health_.relayed = relayed_;
    health_.failed = publishes_failed_;
    health_.in_flight = queue_.in_flight();
    health_.held_keys = queue_.held();
    health_.refused_keys = queue_.refused();
    health_.problem = !file_trouble_.empty() ? file_trouble_ : queue_.held() > 0 || stopped_ ? trouble_ : std::string{};
    health_.ok = health_.problem.empty();
  }
  std::uint64_t random() noexcept { return random_ = detail::mix64(random_ + 1); }
  static std::int64_t milliseconds(Duration duration) noexcept {
    return std::chrono::ceil<std::chrono::milliseconds>(duration).count();
  }

  Bus& bus_;
  const OutboxRelayOptions options_;
  SystemClock machine_;
  const Clock* clock_;
  File file_;
  Queue queue_;
  std::shared_ptr<Endings> endings_ = std::make_shared<Endings>();
  std::vector<std::int64_t> confirmed_;       // of the endings at hand
  std::vector<Endings::Failure> failed_;      // likewise
  std::atomic<bool> woken_{false}, again_{false};

  std::int64_t fence_ = 0;                    // 0: the lease is not ours
  std::int64_t until_ = 0;                    // of our lease
  std::int64_t others_until_ = 0;             // of theirs, as it was seen last
  std::int64_t now_ = 0;                      // the wall time, which does not go back
  std::int64_t behind_ = 0;                   // the last position that was read
  bool more_ = true;                          // there may be something behind it
  bool stopped_ = false, finishing_ = false;
  Instant marked_at_{}, file_again_ = Instant::min();
  std::uint32_t file_failures_ = 0;
  std::string file_trouble_, trouble_;
  std::uint64_t relayed_ = 0, publishes_failed_ = 0;
  std::uint64_t random_ = detail::entropy64();

  mutable std::mutex mutex_;  // of the health, and of which endings are ours
  OutboxRelayHealth health_;
};

}  // namespace omnibus::outbox
