// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include <omnibus/backend.hpp>
#include <omnibus/backends/rabbitmq/outbox.hpp>
#include <omnibus/backends/rabbitmq/publish_loop.hpp>
#include <omnibus/backends/rabbitmq/routes.hpp>
#include <omnibus/detail/waiters.hpp>

// The publishing side as its callers see it: they encode into the outbox, and wait where that is
// wanted.

namespace omnibus::rabbitmq {

/// Where one message goes.
struct Sending {
  std::string_view route;  ///< its name
  std::string_view routing_key;
  std::int32_t shard = 0;
  std::uint64_t key_hash = 0;  ///< 0: no order is asked for
  Carried carried{};
};

/// Publishes with confirms over one connection.
/// Thread safety: shared objects are safe. No thread runs before the first message.
class Publisher {
 public:
  Publisher(ConnectOptions connect, std::size_t window, std::size_t window_bytes)
      : connect_{std::move(connect)}, window_{window}, window_bytes_{window_bytes} {}
  ~Publisher() { (void)close(Instant::min()); }
  Publisher(const Publisher&) = delete;

  /// Takes one message. `make_route` returns the Route where there is none of this name yet.
  template <class MakeRoute>
  void submit(const Sending& sending, MakeRoute make_route, Outgoing& outgoing, const Submit& how) {
    const Instant deadline = after(std::chrono::steady_clock::now(), how.timeout);
    {
      std::unique_lock lock{mutex_};
      start();
      if (closed_ || (!outbox_->has_room() && !wait_for_room(lock, how, deadline))) {
        return refuse(lock, outgoing);
      }
      Outbox::Slot& slot = outbox_->next_free();
      slot.route = &routes_.get(sending.route, make_route);
      slot.frames.clear();
      if (!append_publish(slot.frames, publish_channel, slot.route->exchange, sending.routing_key,
                          outgoing.message, sending.carried, frame_max)) {
        lock.unlock();
        return outgoing.done(Error::make(Errc::too_large, "publish",
                                         "the headers do not fit into a frame of " +
                                             std::to_string(frame_max) + " bytes"));
      }
      slot.id.assign(outgoing.message.id);
      slot.done = std::move(outgoing.done);
      slot.shard = sending.shard;
      slot.key_hash = sending.key_hash;
      slot.deadline = deadline;
      slot.body_size = outgoing.message.payload.size();
      slot.tag = 0;
      slot.ever_written = slot.ended = slot.overtaken = slot.refused = false;
      slot.returned.clear();
      outbox_->push();
    }
    loop_->submitted(deadline);
  }

  /// Blocks until everything submitted before has its ending. Errors: timed_out.
  Result<> flush(Instant until) {
    std::unique_lock lock{mutex_};
    if (!outbox_) return {};
    const std::uint64_t tail = outbox_->tail();
    if (waiters_.wait_for_end(lock, until, [&] { return outbox_->head() >= tail; })) return {};
    return Error::make(Errc::timed_out, "flush",
                       std::to_string(tail - outbox_->head()) + " messages have no ending: " +
                           reason());
  }

  /// Ends publishing: what has no ending by then gets one that says so. Idempotent.
  Result<> close(Instant until) {
    Result<> flushed = flush(until);
    {
      std::lock_guard lock{mutex_};
      closed_ = true;
      waiters_.tell_all();
    }
    std::lock_guard joining{join_mutex_};
    if (loop_) loop_->stop();
    return flushed;
  }

  Health health() const {
    std::lock_guard lock{mutex_};
    if (closed_) return {false, "closed"};
    if (!loop_) return {true, "not connected: nothing was published yet"};
    std::string trouble = loop_->trouble();
    return {trouble.empty(), std::move(trouble)};
  }

 private:
  void start() {
    if (outbox_ || closed_) return;
    outbox_ = std::make_unique<Outbox>(window_, window_bytes_);
    loop_ = std::make_unique<PublishLoop>(connect_, *outbox_, routes_, [this](bool quiet) {
      waiters_.tell(
          quiet, [this] { return outbox_->has_much_room(); },
          [this] { return outbox_->head() == outbox_->tail(); });
    });
  }

  bool wait_for_room(std::unique_lock<std::mutex>& lock, const Submit& how, Instant deadline) {
    // A completion that publishes runs on the thread that makes room.
    if (!how.wait_for_room || loop_->is_current()) return false;
    return waiters_.wait_for_room(
               lock, deadline, [this] { return outbox_->has_room(); }, [this] { return closed_; }) &&
           !closed_;
  }

  void refuse(std::unique_lock<std::mutex>& lock, Outgoing& outgoing) {
    const Error error = closed_ ? Error::make(Errc::closed, "publish", "the bus is closed")
                                : Error::make(Errc::window_full, "publish",
                                              "too many messages have no ending: " + reason());
    lock.unlock();
    outgoing.done(error);
  }

  std::string reason() const {
    std::string trouble = loop_->trouble();
    return trouble.empty() ? "the broker confirms slowly" : trouble;
  }

  const ConnectOptions connect_;
  const std::size_t window_;
  const std::size_t window_bytes_;
  mutable std::mutex mutex_;  // of those who add; the loop takes it only to tell who waits
  omnibus::detail::Waiters waiters_{mutex_};
  bool closed_ = false;
  std::unique_ptr<Outbox> outbox_;
  Routes routes_;
  std::mutex join_mutex_;
  std::unique_ptr<PublishLoop> loop_;
};

}  // namespace omnibus::rabbitmq
