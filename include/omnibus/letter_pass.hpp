// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <omnibus/backend.hpp>
#include <omnibus/clock.hpp>
#include <omnibus/detail/smaller.hpp>
#include <omnibus/detail/unique_function.hpp>
#include <omnibus/detail/uuid.hpp>
#include <omnibus/letter.hpp>
#include <omnibus/subscription_spec.hpp>

// One pass over the dead letters of a topic, on the thread of its caller: a decision for each letter,
// published again where that is it, and settled only when the broker has confirmed that.

namespace omnibus {

/// What a pass has done so far.
struct LetterReport {
  std::uint64_t letters = 0;         ///< that it has come by
  std::uint64_t done = 0;            ///< redriven, or discarded, and settled
  std::uint64_t left = 0;            ///< not meant
  std::uint64_t without_origin = 0;  ///< meant, but they do not say where to: left
  std::uint64_t refused = 0;         ///< not confirmed, or behind one of their key that was not: left
  Result<> ending;                   ///< ok: the pass came to its end; else why not. Counts hold either way
};

/// How to go over letters.
struct LetterOptions {
  double per_second = 0;    ///< redrive or discard at most so many; 0: as fast as it goes
  std::uint64_t limit = 0;  ///< and so many in all; 0: any number
  /// The value of `quiet` that stands for what the backend's capabilities say.
  static constexpr Duration by_backend = Duration::min();
  Duration quiet = by_backend;  ///< the pass is over when nothing has come for so long
  Duration patience = std::chrono::seconds{30};  ///< and given up when the broker is away for so long
  Duration publish_timeout = std::chrono::seconds{10};
  std::size_t window = 256;  ///< letters in memory
  /// Told what has been done, whenever something has. Returns false to end the pass early.
  detail::UniqueFunction<bool(const LetterReport&)> progress = {};
};

/// When the next one may go, of so many a second. What was missed for a moment is caught up with.
class LetterRate {
 public:
  LetterRate(double per_second, Instant now)
      : each_{per_second > 0 ? Duration{static_cast<Duration::rep>(1e9 / per_second)} : Duration{}},
        due_{now} {}
  Instant due() const noexcept { return due_; }
  void spend(Instant now) noexcept {
    if (each_ == Duration::zero()) return;
    due_ = detail::larger(due_, now - detail::smaller<Duration>(each_, most_missed)) + each_;
  }

 private:
  static constexpr Duration most_missed = std::chrono::milliseconds{100};
  Duration each_;
  Instant due_;
};

/// Goes over the letters of a topic once, in order within each key. Letters that come in while it does are
/// left, from a minute after its beginning on; so are those that come back because of it.
/// Delivery: a letter is settled after the broker has confirmed its message, never before. Whatever ends
/// the pass in between, the letters that were not settled stand where they stood, and those of them whose
/// message had been published are published again by the next pass.
/// Bounded: `options.window` letters, and the names of 1000 keys that failed.
/// Thread safety: one thread. Lifetime: the backend must outlive it.
template <Backend B>
class LetterPass final : private Intake {
 public:
  enum class Verdict : std::uint8_t { settle, redrive, leave, enough };

  LetterPass(B& backend, const SubscriptionSpec& spec, LetterOptions options)
      : backend_{backend},
        clock_{backend.clock()},
        options_{checked(std::move(options))},
        consumer_(backend.consume(spec)),
        rate_{options_.per_second, clock_.now()} {
    // In this process what there is comes at once.
    if (!B::capabilities.shared) options_.quiet = Duration::zero();
    if (options_.quiet == LetterOptions::by_backend) options_.quiet = B::capabilities.quiet;
    const auto name = detail::UuidGenerator{}.next(clock_.wall());
    name_.assign(name.data(), name.size());
  }
  ~LetterPass() override {
    std::unique_lock lock{mutex_};
    ended_.wait(lock, [this] { return open_ == 0; });
  }
  LetterPass(const LetterPass&) = delete;

  /// Asks `decide(letter)`, a callable Verdict(const LetterView&), about each letter. `enough` ends the
  /// pass and leaves the letter. Blocks until the end.
  template <class Decide>
  LetterReport run(Decide decide) {
    started_ = clock_.wall();
    last_news_ = unregistered_since_ = clock_.now();
    while (true) {
      collect();
      if (!stopped_) work(decide);
      settle();
      tell();
      if (in_flight_.empty() && (stopped_ || is_over())) break;
      silent_ = room() > 0;  // unless it is told otherwise
      consumer_.poll(*this, next_turn());
      if (!silent_) last_news_ = clock_.now();
    }
    for (const Arrived& each : arrived_) leave(each.incoming);
    settle();
    const Result<> closed =
        consumer_.close(after(std::chrono::steady_clock::now(), std::chrono::seconds{10}));
    if (!closed && report_.ending) report_.ending = closed;
    return std::move(report_);
  }

 private:
  struct Arrived {
    Incoming incoming;
    std::optional<Verdict> verdict{};
  };
  struct Flight {
    std::uint64_t token;
    std::int32_t partition;
    std::string key;
    std::optional<Result<Receipt>> ending{};
  };
  static constexpr std::size_t most_failed_keys = 1000;
  static constexpr Duration tolerance = std::chrono::minutes{1};  // of clocks that differ

  static LetterOptions checked(LetterOptions options) {
    const auto require = [](bool good, const char* what) {
      if (!good) throw std::invalid_argument{std::string{"omnibus: dead letters: "} + what};
    };
    require(options.per_second == 0 || (options.per_second >= 0.001 && options.per_second <= 1e9),
            "per_second must be 0, for any number, or 0.001 to 1e9");
    require(options.quiet >= Duration::zero() || options.quiet == LetterOptions::by_backend,
            "quiet must not be negative");
    require(options.patience >= Duration::zero(), "patience must not be negative");
    require(options.publish_timeout > Duration::zero(), "publish_timeout must be positive");
    require(options.window >= 1, "window must be at least 1");
    return options;
  }

  // ── what the consumer says, while it is polled ─────────────────────────────────────────────────

  std::size_t room() const noexcept override {
    const std::size_t held = arrived_.size() + in_flight_.size();
    return stopped_ || held >= options_.window ? 0 : options_.window - held;
  }
  void deliver(const Incoming& incoming) override {
    if (incoming.complete != nullptr) incoming.complete(incoming.token);
    if (is_finished(incoming)) return leave(incoming);
    silent_ = false;
    arrived_.push_back({incoming});
  }
  bool revoke(std::int32_t partition, Instant until) override {
    std::erase_if(arrived_, [&](const Arrived& each) {
      if (each.incoming.partition != partition) return false;
      leave(each.incoming);
      return true;
    });
    {
      std::unique_lock lock{mutex_};
      while (has_open_flight(partition)) {
        const Instant now = clock_.now();
        if (now >= until) break;
        ended_.wait_for(lock, detail::smaller<Duration>(until - now, std::chrono::hours{1}));
      }
    }
    collect();
    settle();
    std::lock_guard lock{mutex_};
    return !has_open_flight(partition);
  }
  void report(const Error* problem) override {
    const Instant now = clock_.now();
    if (problem == nullptr) {
      if (problem_) last_news_ = now;
      problem_.reset();
    } else {
      if (!problem_) unregistered_since_ = now;
      problem_ = *problem;
    }
  }

  /// With its lock held.
  bool has_open_flight(std::int32_t partition) const {
    for (const Flight& each : in_flight_) {
      if (each.partition == partition && !each.ending) return true;
    }
    return false;
  }

  /// True for what came after the pass had begun, and whatever stands behind it: not for this pass.
  bool is_finished(const Incoming& incoming) {
    if (finished_.contains(incoming.partition)) return true;
    const HeadersView headers = incoming.message->headers;
    const bool later = read_redriven(headers).redrive == name_ ||
                       read_dead_letter(headers).time > started_ + tolerance;
    if (later) finished_.insert(incoming.partition);
    return later;
  }

  // ── a turn ─────────────────────────────────────────────────────────────────────────────────────

  template <class Decide>
  void work(Decide& decide) {
    while (!arrived_.empty() && !stopped_) {
      Arrived& next = arrived_.front();
      const LetterView letter = letter_of(next.incoming);
      if (!next.verdict) next.verdict = decide(letter);
      const bool acts = *next.verdict == Verdict::settle || *next.verdict == Verdict::redrive;
      if (*next.verdict == Verdict::enough) return void(stopped_ = true);
      if (acts && rate_.due() > clock_.now()) return;
      ++report_.letters;
      carry_out(next.incoming, letter, *next.verdict);
      arrived_.pop_front();
      if (options_.limit != 0 && acted_ >= options_.limit) stopped_ = true;
    }
  }

  void carry_out(const Incoming& incoming, const LetterView& letter, Verdict verdict) {
    if (verdict == Verdict::leave) return ++report_.left, leave(incoming);
    if (verdict == Verdict::redrive && !has_origin(letter.died)) {
      return ++report_.without_origin, leave(incoming);
    }
    if (failed_keys_.contains(letter.message.key)) return ++report_.refused, leave(incoming);
    rate_.spend(clock_.now());
    ++acted_;
    if (verdict == Verdict::redrive) return send(incoming, letter);
    settlements_.push_back({incoming.token, Settlement::Kind::done, {}, 0});
    ++report_.done;
  }

  void send(const Incoming& incoming, const LetterView& letter) {
    Flight& flight = in_flight_.emplace_back(
        Flight{incoming.token, incoming.partition, std::string{letter.message.key}});
    {
      std::lock_guard lock{mutex_};
      ++open_;
    }
    const Message message = restore(letter.message, name_);
    Outgoing outgoing{message.view(), {}, [this, &flight](Result<Receipt> ending) {
                        std::lock_guard lock{mutex_};
                        flight.ending = std::move(ending);
                        --open_;
                        consumer_.wake();
                        ended_.notify_all();
                      }};
    backend_.submit(letter.died.topic, {&outgoing, 1}, {options_.publish_timeout, true});
  }

  /// Settles those that have their ending, in order.
  void collect() {
    while (!in_flight_.empty()) {
      {
        std::lock_guard lock{mutex_};
        if (!in_flight_.front().ending) return;
      }
      const Flight flight = std::move(in_flight_.front());
      in_flight_.pop_front();
      if (!*flight.ending) note_failure(flight.key, flight.ending->error());
      // Behind one that failed of its key, it is redriven once more, so that they keep their order.
      const bool good = flight.ending->has_value() && !failed_keys_.contains(flight.key);
      good ? ++report_.done : ++report_.refused;
      settlements_.push_back(
          {flight.token, good ? Settlement::Kind::done : Settlement::Kind::release, {}, 0});
    }
  }

  void note_failure(const std::string& key, const Error& error) {
    if (report_.ending) report_.ending = error;
    if (!key.empty()) failed_keys_.insert(key);
    // What may pass concerns them all; what was refused, this one.
    if (error.retryable || failed_keys_.size() >= most_failed_keys) stopped_ = true;
  }

  void leave(const Incoming& incoming) {
    settlements_.push_back({incoming.token, Settlement::Kind::release, {}, incoming.attempts});
  }
  void settle() {
    if (settlements_.empty()) return;
    consumer_.settle(std::span<const Settlement>{settlements_});
    settlements_.clear();
  }

  void tell() {
    const std::uint64_t told = report_.letters + report_.done + report_.refused;
    if (told == std::exchange(told_, told) || !options_.progress) return;
    if (!options_.progress(report_)) stopped_ = true;
  }

  /// True when there is nothing more, or nobody to ask for it.
  bool is_over() {
    const Instant now = clock_.now();
    if (problem_ && now - unregistered_since_ >= options_.patience) {
      if (report_.ending) report_.ending = *problem_;
      return true;
    }
    return silent_ && !problem_ && arrived_.empty() && now - last_news_ >= options_.quiet;
  }

  Instant next_turn() const {
    const Instant now = clock_.now();
    if (!arrived_.empty() && !stopped_) return rate_.due();  // it is the rate that they wait for
    if (!in_flight_.empty()) return after(now, options_.publish_timeout);  // endings ring
    return problem_ ? after(now, detail::smaller(options_.quiet, options_.patience))
                    : after(last_news_, options_.quiet);
  }

  B& backend_;
  const Clock& clock_;
  LetterOptions options_;
  std::string name_;  // of this pass
  typename B::Consumer consumer_;
  LetterRate rate_;
  Time started_{};

  std::deque<Arrived> arrived_;
  std::deque<Flight> in_flight_;  // in order; their endings come from other threads, under the lock
  std::vector<Settlement> settlements_;
  std::set<std::int32_t> finished_;  // partitions of which the rest came after the beginning
  std::set<std::string, std::less<>> failed_keys_;
  LetterReport report_;
  std::uint64_t acted_ = 0;
  std::uint64_t told_ = 0;
  bool stopped_ = false;

  std::optional<Error> problem_ = Error::make(Errc::unavailable, "consume", "not connected yet");
  Instant unregistered_since_{};
  Instant last_news_{};
  bool silent_ = false;  // at the last poll there was nothing, though there was room

  std::mutex mutex_;
  std::condition_variable ended_;
  std::size_t open_ = 0;  // publishes without an ending
};

}  // namespace omnibus
