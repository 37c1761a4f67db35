// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <omnibus/backends/sqlite/file.hpp>
#include <omnibus/backends/sqlite/ledger.hpp>
#include <omnibus/backends/sqlite/log.hpp>
#include <omnibus/backends/sqlite/outbox.hpp>
#include <omnibus/backends/sqlite/turn.hpp>
#include <omnibus/detail/smaller.hpp>
#include <omnibus/detail/thread.hpp>
#include <omnibus/detail/unique_function.hpp>
#include <omnibus/detail/wakeup.hpp>
#include <omnibus/handler.hpp>

// The thread that writes: messages of all publishers and turns of all consumers of a bus that are there at
// one time share a transaction, and with it one flush of the disk.

namespace omnibus::sqlite {

/// Thread safety: public members from any thread. Lifetime: settings and outbox must outlive it.
class Writer {
 public:
  /// `progress` is called on the thread when messages may have got endings, with true when it is about to
  /// sleep.
  Writer(const Settings& settings, Outbox& outbox, detail::UniqueFunction<void(bool quiet)> progress)
      : settings_{settings}, outbox_{outbox}, progress_{std::move(progress)} {
    thread_ = detail::DeepThread{[this] { run(); }};
  }
  /// Turns that were posted before are still carried out, where that is possible at once.
  ~Writer() {
    stopping_.store(true);
    wakeup_.ring();
    thread_.join();
  }
  Writer(const Writer&) = delete;

  /// A message was added to the outbox.
  void submitted() noexcept { wakeup_.ring(); }
  /// Messages that have no ending get one now: closed.
  void close() {
    closing_.store(true);
    wakeup_.ring();
  }
  bool is_current() const noexcept { return thread_.is_current(); }
  /// What is wrong; empty when nothing is.
  std::string trouble() const {
    const std::lock_guard lock{words_mutex_};
    return trouble_;
  }

  /// Has a turn carried out; then it is `finished`.
  void post(std::shared_ptr<Turn> turn) {
    {
      const std::lock_guard lock{turns_mutex_};
      posted_.push_back(std::move(turn));
    }
    wakeup_.ring();
  }

  /// Rings whenever messages were stored.
  void watch(const std::shared_ptr<detail::Wakeup>& listener) {
    const std::lock_guard lock{listeners_mutex_};
    listeners_.push_back(listener);
  }
  void unwatch(const std::shared_ptr<detail::Wakeup>& listener) noexcept {
    const std::lock_guard lock{listeners_mutex_};
    std::erase(listeners_, listener);
  }

 private:
  static constexpr std::uint64_t most_messages = 4096;  ///< of a transaction
  static constexpr std::size_t most_bytes = std::size_t{4} << 20;
  static constexpr Duration patience = std::chrono::milliseconds{500};  ///< with others who write

  void run() {
    while (!stopping_.load()) {
      (void)wakeup_.take();
      take_turns();
      const Instant now = std::chrono::steady_clock::now();
      if (now >= outbox_.earliest()) expire(now);
      if (!turns_.empty() || outbox_.next() < outbox_.tail()) {
        write(now);
      } else {
        progress_(true);
        wakeup_.wait(-1, false, false, outbox_.earliest());
      }
      if (closing_.load()) end_all();
    }
    end_all();
    take_turns();
    if (!turns_.empty()) write(std::chrono::steady_clock::now());
    close_file();
  }

  void take_turns() {
    const std::lock_guard lock{turns_mutex_};
    for (auto& each : posted_) turns_.push_back(std::move(each));
    posted_.clear();
  }
  void expire(Instant now) {
    const std::string why = trouble();
    outbox_.expire(now, Error::make(Errc::unavailable, "publish",
                                    why.empty() ? "it could not be stored in time; it is not stored" : why));
    progress_(false);
  }
  void end_all() {
    outbox_.end_until(outbox_.tail(), [](std::uint64_t) {
      return Error::make(Errc::closed, "publish", "the bus was closed; it is not stored");
    });
    progress_(true);
  }

  // ── a transaction ──────────────────────────────────────────────────────────────────────────────

  void write(Instant now) {
    std::uint64_t begin = outbox_.next();
    const std::uint64_t end = detail::smaller(outbox_.tail(), begin + most_messages);
    std::uint64_t reached = begin;
    doubtful_ = false;
    Result<> written = guarded_transaction(now, end, reached);
    if (!written && is_busy(failure_)) {
      say("others are writing: " + written.error().context);
      finish_turns(written);
      detail::Wakeup::doze(now + std::chrono::milliseconds{5});
      return;  // messages have until their deadlines
    }
    if (!written && reached > begin && !turns_.empty()) {
      // What is done needs less room than what is new.
      refuse(end, written.error());
      begin = reached = outbox_.next();
      written = guarded_transaction(now, reached, reached);
    }
    if (!written) {
      refuse(end, written.error());
    } else {
      if (reached > begin || !refuses_) say({});
      refuses_ &= reached == begin;
      outbox_.end_until(reached, [&](std::uint64_t number) {
        return receipts_[static_cast<std::size_t>(number - begin)];
      });
    }
    finish_turns(written);
    if (written && reached > begin) ring_listeners();
    progress_(false);
  }

  /// Ends the messages before `end`.
  void refuse(std::uint64_t end, const Error& why) {
    say(why.context);
    refuses_ |= outbox_.next() < end;
    Error error = why;
    error.operation = "publish";
    if (doubtful_) {
      error.code = Errc::outcome_unknown;
      error.retryable = true;
    }
    outbox_.end_until(end, [&](std::uint64_t) { return error; });
  }

  Result<> guarded_transaction(Instant now, std::uint64_t end, std::uint64_t& reached) {
    file_.clear_code();
    Result<> written = detail::guarded([&] { return transact(now, end, reached); });
    failure_ = file_.code();
    if (!written && file_.is_open()) {
      (void)file_.run("ROLLBACK");
      log_.forget();
      if (!is_busy(failure_)) close_file();  // whatever is wrong, the next one begins anew
    }
    return written;
  }

  Result<> transact(Instant now, std::uint64_t end, std::uint64_t& reached) {
    busy_until_ = detail::smaller(outbox_.earliest(), now + patience);
    if (Result<> opened = open(); !opened) return opened;
    // What consumers have done may be done again after a power failure; what is published may not be lost.
    if (Result<> set = file_.flush_commits(outbox_.next() < end); !set) return set;
    if (Result<> begun = file_.run("BEGIN IMMEDIATE"); !begun) return begun;
    log_.begin();
    const std::int64_t wall = wall_us();
    for (const auto& turn : turns_) {
      if (Result<> done = ledger_.carry_out(*turn, wall); !done) return done;
    }
    receipts_.clear();
    std::size_t bytes = 0;
    for (reached = outbox_.next(); reached < end && bytes < most_bytes; ++reached) {
      receipts_.emplace_back();
      if (outbox_.has_ended(reached)) continue;
      Outbox::Item& item = outbox_.at(reached);
      bytes += item.bytes();
      if (Result<> stored = store(item, wall, receipts_.back()); !stored) {
        ++reached;
        return stored;
      }
    }
    Result<> committed = file_.run("COMMIT");
    // What was written may come to the disk although nobody could be told so.
    doubtful_ = !committed && (file_.code() & 0xff) == SQLITE_IOERR;
    return committed;
  }

  Result<> store(Outbox::Item& item, std::int64_t wall, Receipt& receipt) {
    if (!item.several) {
      return log_.store(*item.route, item.message.view, item.delay, settings_.shards, wall, receipt);
    }
    Several& several = *item.several;
    several.receipts.clear();
    for (const Several::Each& each : several.all) {
      Result<> stored = log_.store(*each.route, each.message.view, {}, settings_.shards, wall,
                                   several.receipts.emplace_back());
      if (!stored) return stored;
    }
    return {};
  }

  void finish_turns(const Result<>& written) {
    for (const auto& turn : turns_) {
      turn->result = written;
      turn->finished.store(true);
      turn->asker->ring();
    }
    turns_.clear();
  }
  void ring_listeners() {
    const std::lock_guard lock{listeners_mutex_};
    for (const auto& each : listeners_) each->ring();
  }

  // ── the file ───────────────────────────────────────────────────────────────────────────────────

  Result<> open() {
    if (file_.is_open()) return {};
    Result<> opened = file_.open(settings_);
    if (opened) opened = log_.prepare();
    if (opened) opened = ledger_.prepare();
    if (!opened) {
      close_file();
      return opened;
    }
    log_.forget();
    file_.on_busy(
        [](void* self, int times) { return static_cast<const Writer*>(self)->wait_for_others(times) ? 1 : 0; },
        this);
    return {};
  }
  void close_file() noexcept {
    log_.finalize();
    ledger_.finalize();
    file_.close();
  }
  bool wait_for_others(int times) const {
    const Instant now = std::chrono::steady_clock::now();
    if (now >= busy_until_ || stopping_.load()) return false;
    const Duration pause = std::chrono::microseconds{times < 20 ? 100 : 1000};
    detail::Wakeup::doze(detail::smaller(busy_until_, now + pause));
    return true;
  }

  void say(std::string trouble) {
    const std::lock_guard lock{words_mutex_};
    trouble_ = std::move(trouble);
  }

  const Settings& settings_;
  Outbox& outbox_;
  detail::UniqueFunction<void(bool)> progress_;
  detail::Wakeup wakeup_;
  std::atomic<bool> stopping_{false};
  std::atomic<bool> closing_{false};
  mutable std::mutex words_mutex_;
  std::string trouble_;
  std::mutex turns_mutex_;
  std::vector<std::shared_ptr<Turn>> posted_;
  std::mutex listeners_mutex_;
  std::vector<std::shared_ptr<detail::Wakeup>> listeners_;

  File file_;  // what follows is the thread's alone
  Log log_{file_};
  Ledger ledger_{file_, log_, settings_};
  std::vector<std::shared_ptr<Turn>> turns_;
  std::vector<Receipt> receipts_;
  Instant busy_until_{};
  int failure_ = 0;        // SQLite's code of the last transaction, if it failed
  bool refuses_ = false;   // the last messages were refused
  bool doubtful_ = false;  // the last transaction failed while it was committed

  detail::DeepThread thread_;
};

}  // namespace omnibus::sqlite
