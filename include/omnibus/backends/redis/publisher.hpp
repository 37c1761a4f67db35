// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <omnibus/backend.hpp>
#include <omnibus/backends/redis/outbox.hpp>
#include <omnibus/backends/redis/publish_loop.hpp>
#include <omnibus/backends/redis/routes.hpp>
#include <omnibus/detail/waiters.hpp>

// The publishing side as its callers see it: they encode into the outbox, and wait where that is
// wanted.

namespace omnibus::redis {

/// How publishing goes.
struct PublishPlan {
  std::size_t window = 0;
  std::size_t window_bytes = 0;
  WaitFor wait_for{};
};

/// Publishes over one connection.
/// Thread safety: shared objects are safe. No thread runs before the first message.
class Publisher {
 public:
  Publisher(ConnectOptions connect, PublishPlan plan)
      : connect_{std::move(connect)}, plan_{plan} {}
  ~Publisher() { (void)close(Instant::min()); }
  Publisher(const Publisher&) = delete;

  /// Takes one message. `make_route` returns the Route where the topic is not known yet; `encode(command,
  /// route)` appends the command that stores it.
  template <class MakeRoute, class Encode>
  void submit(std::string_view topic, MakeRoute make_route, std::int32_t shard, Encode encode,
              Outgoing& outgoing, const Submit& how) {
    const Instant deadline = after(std::chrono::steady_clock::now(), how.timeout);
    {
      std::unique_lock lock{mutex_};
      start();
      if (closed_ || (!outbox_->has_room() && !wait_for_room(lock, how, deadline))) {
        const Error error = refusal();
        lock.unlock();
        return outgoing.done(error);
      }
      Outbox::Item& item = outbox_->next_free();
      item.route = &routes_.get(topic, make_route);
      item.shard = shard;
      item.delay = outgoing.delay;
      item.command.clear();
      encode(item.command, *item.route);
      outbox_->push(std::move(outgoing.done), deadline);
    }
    loop_->submitted(deadline);
  }

  /// Takes messages that are published as one. `make_route(topic)` as above; `shard_of(topic, message)`;
  /// `bound` as for `append_several`.
  template <class MakeRoute, class ShardOf>
  void submit_atomic(std::span<const Addressed> messages, MakeRoute make_route, ShardOf shard_of,
                     std::uint64_t bound, const Submit& how, AtomicDone done) {
    const Instant deadline = after(std::chrono::steady_clock::now(), how.timeout);
    std::vector<Placed> all;
    for (const Addressed& each : messages) {
      all.push_back({each.message, &routes_.get(each.topic, [&] { return make_route(each.topic); }),
                     shard_of(each.topic, each.message)});
    }
    std::string command;
    append_several(command, all, bound);
    if (messages.size() > plan_.window || command.size() > plan_.window_bytes) {
      return done(Error::make(Errc::too_large, "publish", "the batch is larger than the publish window"));
    }
    {
      std::unique_lock lock{mutex_};
      start();
      if (closed_ || (!outbox_->has_room() && !wait_for_room(lock, how, deadline))) {
        const Error error = refusal();
        lock.unlock();
        return done(error);
      }
      const auto several = std::make_shared<Several>(all);
      Outbox::Item& item = outbox_->next_free();
      item.route = all.front().route;
      item.shard = 0;
      item.delay = {};
      item.command = std::move(command);
      item.several = several;
      auto ended = [several, done = std::move(done)](Result<Receipt> ending) mutable {
        if (!ending) return done(std::move(ending.error()));
        done(several->receipts());
      };
      outbox_->push(std::move(ended), deadline);
    }
    loop_->submitted(deadline);
  }

  /// Blocks until everything submitted before has its ending. Errors: timed_out.
  Result<> flush(Instant until) {
    std::unique_lock lock{mutex_};
    if (!outbox_) return {};
    const std::uint64_t tail = outbox_->tail();
    if (waiters_.wait_for_end(lock, until, [&] { return outbox_->ended() >= tail; })) return {};
    return Error::make(
        Errc::timed_out, "flush",
        std::to_string(tail - outbox_->ended()) + " messages have no ending: " + reason());
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
    if (!trouble.empty()) return {false, std::move(trouble)};
    return {true, loop_->warning()};
  }

 private:
  void start() {
    if (outbox_ || closed_) return;
    outbox_ = std::make_unique<Outbox>(plan_.window, plan_.window_bytes);
    loop_ = std::make_unique<PublishLoop>(
        connect_, plan_.wait_for, *outbox_, routes_, [this](bool quiet) {
          waiters_.tell(
              quiet, [this] { return outbox_->has_much_room(); },
              [this] { return outbox_->ended() == outbox_->tail(); });
        });
  }

  bool wait_for_room(std::unique_lock<std::mutex>& lock, const Submit& how, Instant deadline) {
    // A completion that publishes runs on the thread that makes room.
    if (!how.wait_for_room || loop_->is_current()) return false;
    return waiters_.wait_for_room(
               lock, deadline, [&] { return outbox_->has_room(); }, [&] { return closed_; }) &&
           !closed_;
  }

  Error refusal() const {
    return closed_ ? Error::make(Errc::closed, "publish", "the bus is closed")
                   : Error::make(Errc::window_full, "publish",
                                 "too many messages have no ending: " + reason());
  }
  std::string reason() const {
    std::string trouble = loop_->trouble();
    return trouble.empty() ? "the server answers slowly" : trouble;
  }

  const ConnectOptions connect_;
  const PublishPlan plan_;
  mutable std::mutex mutex_;  // of those who add; the loop takes it only to tell who waits
  omnibus::detail::Waiters waiters_{mutex_};
  bool closed_ = false;
  std::unique_ptr<Outbox> outbox_;
  Routes routes_;
  std::mutex join_mutex_;
  std::unique_ptr<PublishLoop> loop_;
};

}  // namespace omnibus::redis
