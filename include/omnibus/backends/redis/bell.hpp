// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <omnibus/backends/redis/connection.hpp>
#include <omnibus/backends/redis/stream_id.hpp>
#include <omnibus/detail/unique_function.hpp>

// A connection that waits for news of streams. Reading within a transaction, as the owner of a shard
// does, cannot block; XREAD can, and it changes nothing, so that it needs no fence.

namespace omnibus::redis {

/// Thread safety: one thread at a time.
class Bell final : private Replies {
 public:
  /// A stream, and after which entry there is news.
  struct Watched {
    const std::string* stream;
    Position after;
  };

  Bell(const ConnectOptions& connect, omnibus::detail::UniqueFunction<void()> ready)
      : dialer_{connect, std::move(ready)} {}

  int fd() const noexcept { return connection_ ? connection_->fd() : -1; }
  /// It can be armed.
  bool ready(Instant now) const noexcept { return connection_ && !armed_ && now >= quiet_until_; }
  bool armed() const noexcept { return armed_; }
  /// Which set of streams it was armed for.
  std::uint64_t version() const noexcept { return version_; }
  bool unsent() const noexcept { return connection_ && connection_->unsent() > 0; }

  /// Waits for news of these streams, for a second at most.
  void arm(const std::vector<Watched>& streams, std::uint64_t version) {
    std::string& out = connection_->out();
    begin_command(out, 6 + 2 * streams.size());
    append_argument(out, "XREAD");
    append_argument(out, "COUNT");
    append_argument(out, 1);
    append_argument(out, "BLOCK");
    append_argument(out, 1000);
    append_argument(out, "STREAMS");
    for (const Watched& each : streams) append_argument(out, *each.stream);
    for (const Watched& each : streams) append_argument(out, std::string_view{IdText{each.after}});
    armed_ = true;
    version_ = version;
    (void)connection_->send();
  }

  /// Serves the connection. Returns true when there may be news.
  bool serve(Instant now) {
    if (!connection_) {
      auto outcome = dialer_.dial(now);
      if (!outcome || !*outcome) return false;
      connection_ = std::move(*outcome).value();
      armed_ = pinging_ = false;
      return true;
    }
    rung_ = false;
    now_ = now;
    bool well = connection_->send() && connection_->receive(*this, now);
    if (well) {
      const Connection::Pulse pulse = connection_->pulse(now);
      well = pulse != Connection::Pulse::lost;
      if (pulse == Connection::Pulse::ping) {
        append_command(connection_->out(), "PING");
        pinging_ = true;
        well = connection_->send();
      }
    }
    if (well) return rung_;
    dialer_.failed(connection_->problem(), now);
    connection_.reset();
    armed_ = false;
    return true;
  }
  /// When `serve` has something to do by itself.
  Instant due() const noexcept { return connection_ ? connection_->next_pulse() : dialer_.due(); }

 private:
  void part(const Part& part) noexcept override {
    if (part.depth > 0) return;
    is_ping_ = pinging_ && part.kind == Part::Kind::status;
    if (is_ping_) return;
    if (part.kind == Part::Kind::error) {
      // The stream was deleted, or we may not read: whoever reads finds out.
      quiet_until_ = now_ + std::chrono::milliseconds{200};
      rung_ = true;
    } else if (part.kind == Part::Kind::array) {
      rung_ = true;
    }
  }
  void complete() noexcept override { (is_ping_ ? pinging_ : armed_) = false; }

  std::unique_ptr<Connection> connection_;
  Dialer dialer_;
  bool armed_ = false;
  bool rung_ = false;
  bool pinging_ = false;
  bool is_ping_ = false;
  std::uint64_t version_ = 0;
  Instant now_{};
  Instant quiet_until_ = Instant::min();
};

}  // namespace omnibus::redis
