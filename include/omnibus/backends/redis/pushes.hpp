// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <omnibus/backends/redis/errors.hpp>
#include <omnibus/backends/redis/reader.hpp>
#include <omnibus/error.hpp>

// What a connection says that is subscribed: arrays whose first element says what they are
// (redis.io/docs/interact/pubsub). No I/O.

namespace omnibus::redis {

/// Who hears of it.
class PushEvents {
 public:
  virtual ~PushEvents() = default;
  /// From now on messages come.
  virtual void subscribed() = 0;
  /// A message came over this channel. Lifetime of what is viewed: this call.
  virtual void arrived(std::string_view channel, std::string_view bytes) = 0;
  /// The server does not let us listen, or no longer does.
  virtual void refused(const Error& problem) = 0;
};

/// Thread safety: one thread at a time.
class PushReader final : public Replies {
 public:
  explicit PushReader(PushEvents& events) : events_{events} {}

  void part(const Part& part) noexcept override {
    if (part.kind == Part::Kind::error) return events_.refused(server_error(part.text, "subscribe"));
    if (part.depth == 0) kind_ = Kind::other;
    if (part.depth != 1) return;
    if (part.index == 0) {
      kind_ = kind_of(part.text);
      if (kind_ == Kind::ended) {
        events_.refused(
            Error::make(Errc::unavailable, "subscribe", "the server ended the subscription"));
      }
      return;
    }
    const bool last = part.index == (kind_ == Kind::by_pattern ? 3u : 2u);
    switch (kind_) {
      case Kind::subscribed:
        if (last) events_.subscribed();
        return;
      case Kind::message:
      case Kind::by_pattern:
        if (last) return events_.arrived(channel_, part.text);
        channel_.assign(part.text);  // after the pattern, where there is one
        return;
      case Kind::ended:
      case Kind::other: return;
    }
  }
  void complete() noexcept override {}

 private:
  enum class Kind : std::uint8_t { other, subscribed, message, by_pattern, ended };

  static Kind kind_of(std::string_view name) noexcept {
    if (name == "message") return Kind::message;
    if (name == "pmessage") return Kind::by_pattern;
    if (name == "subscribe" || name == "psubscribe") return Kind::subscribed;
    if (name == "unsubscribe" || name == "punsubscribe") return Kind::ended;
    return Kind::other;  // pong
  }

  PushEvents& events_;
  std::string channel_;
  Kind kind_ = Kind::other;
};

}  // namespace omnibus::redis
