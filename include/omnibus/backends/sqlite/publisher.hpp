// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <omnibus/backend.hpp>
#include <omnibus/backends/sqlite/file.hpp>
#include <omnibus/backends/sqlite/outbox.hpp>
#include <omnibus/backends/sqlite/writer.hpp>
#include <omnibus/detail/waiters.hpp>

// The file as buses see it: publishers put messages into the outbox, consumers post turns.

namespace omnibus::sqlite {

/// Thread safety: shared objects are safe. No thread runs, and no file is opened, before it is asked for
/// something.
class Publisher {
 public:
  explicit Publisher(Settings settings) : settings_{std::move(settings)} {}
  ~Publisher() { (void)close(Instant::min()); }
  Publisher(const Publisher&) = delete;

  const Settings& settings() const noexcept { return settings_; }

  /// Takes messages in this order.
  void submit(std::string_view topic, std::span<Outgoing> messages, const Submit& how) {
    const Instant deadline = after(std::chrono::steady_clock::now(), how.timeout);
    Route& route = routes_.get(topic, [topic] { return Route{topic}; });
    Writer* writer = nullptr;
    for (Outgoing& each : messages) {
      std::unique_lock lock{mutex_};
      writer = &started();
      if (closed_ || (!outbox_->has_room() && !wait_for_room(lock, how, deadline))) {
        const Error error = refusal();
        lock.unlock();
        each.done(error);
        continue;
      }
      outbox_->add(each, route, deadline);
    }
    if (writer != nullptr) writer->submitted();
  }

  /// Takes messages that are stored as one.
  void submit_atomic(std::span<const Addressed> messages, const Submit& how, AtomicDone done) {
    const Instant deadline = after(std::chrono::steady_clock::now(), how.timeout);
    const auto several = std::make_shared<Several>();
    several->all.resize(messages.size());
    for (std::size_t i = 0; i < messages.size(); ++i) {
      Several::Each& each = several->all[i];
      const std::string_view topic = messages[i].topic;
      each.route = &routes_.get(topic, [topic] { return Route{topic}; });
      each.message.pack(messages[i].message);
      several->bytes += each.message.bytes.size();
    }
    if (messages.size() > settings_.publish_window || several->bytes > settings_.publish_window_bytes) {
      return done(Error::make(Errc::too_large, "publish", "the batch is larger than the publish window"));
    }
    std::unique_lock lock{mutex_};
    Writer& writer = started();
    if (closed_ || (!outbox_->has_room() && !wait_for_room(lock, how, deadline))) {
      const Error error = refusal();
      lock.unlock();
      return done(error);
    }
    auto ended = [several, done = std::move(done)](Result<Receipt> ending) mutable {
      if (!ending) return done(std::move(ending.error()));
      done(std::span<const Receipt>{several->receipts});
    };
    outbox_->add(several, std::move(ended), deadline);
    lock.unlock();
    writer.submitted();
  }

  /// Blocks until everything submitted before has its ending. Errors: timed_out.
  Result<> flush(Instant until) {
    std::unique_lock lock{mutex_};
    if (!outbox_) return {};
    const std::uint64_t tail = outbox_->tail();
    if (waiters_.wait_for_end(lock, until, [&] { return outbox_->ended() >= tail; })) return {};
    return Error::make(Errc::timed_out, "flush",
                       std::to_string(tail - outbox_->ended()) + " messages have no ending: " + reason());
  }

  /// Ends publishing: what has no ending by then gets one that says so. Turns go on. Idempotent.
  Result<> close(Instant until) {
    Result<> flushed = flush(until);
    std::unique_lock lock{mutex_};
    closed_ = true;
    waiters_.tell_all();
    if (!writer_) return flushed;
    writer_->close();
    const std::uint64_t tail = outbox_->tail();
    if (!writer_->is_current()) {
      (void)waiters_.wait_for_end(lock, Instant::max(), [&] { return outbox_->ended() >= tail; });
    }
    return flushed;
  }

  Health health() const {
    const std::lock_guard lock{mutex_};
    if (closed_) return {false, "closed"};
    if (!writer_) return {true, "not opened: nothing was published yet"};
    if (std::string trouble = writer_->trouble(); !trouble.empty()) return {false, std::move(trouble)};
    if (settings_.durability == Durability::power_loss) return {};
    return {true, "synchronous=NORMAL: the last messages may be lost with the power"};
  }

  /// The thread that writes, which is started where it does not run.
  Writer& writer() {
    const std::lock_guard lock{mutex_};
    return started();
  }

 private:
  /// With the mutex held.
  Writer& started() {
    if (writer_) return *writer_;
    outbox_ = std::make_unique<Outbox>(settings_.publish_window, settings_.publish_window_bytes);
    writer_ = std::make_unique<Writer>(settings_, *outbox_, [this](bool quiet) {
      waiters_.tell(
          quiet, [this] { return outbox_->has_much_room(); },
          [this] { return outbox_->ended() == outbox_->tail(); });
    });
    return *writer_;
  }

  bool wait_for_room(std::unique_lock<std::mutex>& lock, const Submit& how, Instant deadline) {
    writer_->submitted();  // what this call has added already makes the room
    // A completion that publishes runs on the thread that makes room.
    if (!how.wait_for_room || writer_->is_current()) return false;
    return waiters_.wait_for_room(
               lock, deadline, [&] { return outbox_->has_room(); }, [&] { return closed_; }) &&
           !closed_;
  }

  Error refusal() const {
    if (closed_) return Error::make(Errc::closed, "publish", "the bus is closed");
    return Error::make(Errc::window_full, "publish", "too many messages have no ending: " + reason());
  }
  std::string reason() const {
    std::string trouble = writer_->trouble();
    return trouble.empty() ? "the disk is slow" : trouble;
  }

  const Settings settings_;
  mutable std::mutex mutex_;  // of those who add; the writing thread takes it only to tell who waits
  detail::Waiters waiters_{mutex_};
  bool closed_ = false;
  std::unique_ptr<Outbox> outbox_;
  Routes routes_;
  std::unique_ptr<Writer> writer_;
};

}  // namespace omnibus::sqlite
