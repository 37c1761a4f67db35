// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <omnibus/backend.hpp>
#include <omnibus/backends/redis/frame.hpp>
#include <omnibus/backends/redis/listener.hpp>
#include <omnibus/backends/redis/publisher.hpp>
#include <omnibus/clock.hpp>
#include <omnibus/limits.hpp>
#include <omnibus/subscription_spec.hpp>

// Redis Pub/Sub, through hiredis. A topic is a channel: who listens hears what is published meanwhile, and
// the server keeps nothing. redis/frame.hpp says how messages look on the wire.

namespace omnibus {

/// Where a topic is, if not in the channel of its name.
struct RedisChannel {
  std::string topic;         ///< the name in this program
  std::string channel = {};  ///< its name at the server
  /// Or the channels that one listens to, as PSUBSCRIBE has it: "news.*". The topic of each delivery is
  /// then the channel that it came over. Nothing can be published there.
  std::string pattern = {};
  /// Publish the payload alone, for programs without omnibus: ids, types, keys and headers stay behind.
  bool plain = false;
};

/// A Redis server that passes messages on.
/// Delivery: at most once, to everyone who listens; there are no groups, whose names serve for dead letters
/// alone. A publish is ok when the server has replied: it reached the server, no more. One that was written
/// and not answered ends as outcome_unknown and is not sent again.
/// What is missed is reported where that can be known: after another connection to the server, also when
/// the server has disconnected a subscriber that did not read, because its handlers were behind. What
/// handlers have not begun when a subscription is closed is gone.
/// Order: of one key, as published through one bus, on one server; messages may be missing, but none comes
/// late. What fails is tried again in memory.
/// Dead letters are published to a channel like any other message, and gone where nobody listens to it: set
/// `must_be_heard`, so that they wait in memory for somebody who does.
class RedisPubSub {
 public:
  /// How to make one. Malformed values throw std::invalid_argument and name the field.
  struct Config {
    /// redis://user:password@host:port/database, rediss:// for TLS, or
    /// unix://user:password@/path?db=database, percent-encoded; several servers with commas between, of
    /// which the first that answers is used.
    /// Channels are the same in all databases.
    std::string endpoint = "redis://localhost:6379";
    /// For rediss://: what redis_tls() of <omnibus/backends/redis_tls.hpp> returns.
    std::shared_ptr<const redis::Security> tls = {};
    std::string group = {};  ///< of subscriptions that name none: in the names of their dead-letter topics
    /// A publish that nobody hears at this server ends as unroutable.
    bool must_be_heard = false;
    Duration heartbeat = std::chrono::seconds{5};  ///< a silent server is given up after two
    Duration connect_timeout = std::chrono::seconds{5};
    std::size_t publish_window = 8192;             ///< messages that have no ending yet
    std::size_t publish_window_bytes = 64u << 20;  ///< and their bytes
    /// What is larger ends the connection of its subscriber, who is connected again and reports it.
    std::size_t largest_message = 64u << 20;
    std::vector<RedisChannel> channels = {};
  };
  using Consumer = redis::Listener;
  static constexpr Capabilities capabilities{
      .name = "redis_pubsub", .shared = true, .ordered_by_key = true};

  explicit RedisPubSub(Config config)
      : config_{checked(std::move(config))},
        connect_{redis::parse_endpoints(config_.endpoint, "redis pubsub", config_.tls != nullptr),
                 config_.connect_timeout, config_.heartbeat, config_.largest_message, config_.tls},
        publisher_{connect_,
                   {config_.publish_window,
                    config_.publish_window_bytes,
                    {.once = true, .heard = config_.must_be_heard}}} {}

  void submit(std::string_view topic, std::span<Outgoing> messages, const Submit& how) {
    const RedisChannel* there = find(topic);
    const bool plain = there != nullptr && there->plain;
    std::string_view channel = topic;
    if (there != nullptr && !there->channel.empty()) channel = there->channel;
    for (Outgoing& each : messages) {
      if (each.delay > Duration::zero()) {
        each.done(Error::make(Errc::unsupported, "publish", "Redis Pub/Sub delays no messages"));
      } else if (there != nullptr && !there->pattern.empty()) {
        each.done(Error::make(Errc::invalid_argument, "publish",
                              "the topic is a pattern, where one can only listen"));
      } else {
        publisher_.submit(
            topic, [] { return redis::Route{}; }, 0,
            [&](std::string& out, const redis::Route&) {
              redis::append_publish(out, channel, each.message, plain);
            },
            each, how);
      }
    }
  }
  Result<> flush(Instant until) { return publisher_.flush(until); }

  /// Throws std::invalid_argument for a start in the past, and for relaxed order.
  Consumer consume(const SubscriptionSpec& spec) {
    using From = Start::From;
    require(spec.order != Order::relaxed, "nothing is delivered again: order cannot be relaxed");
    require(spec.start.from == From::earliest || spec.start.from == From::latest,
            "nothing is kept: a subscription starts with what comes next");
    const RedisChannel* there = find(spec.topic);
    if (there == nullptr) return Consumer{connect_, {spec.topic, spec.topic}};
    if (!there->pattern.empty()) return Consumer{connect_, {spec.topic, there->pattern, true}};
    return Consumer{connect_, {spec.topic, there->channel.empty() ? spec.topic : there->channel}};
  }
  /// The state of the publishing connection, which is made by the first publish.
  Health health() const { return publisher_.health(); }
  const Clock& clock() const noexcept { return clock_; }
  Result<> close(Instant until) { return publisher_.close(until); }

 private:
  static void require(bool good, const char* what) {
    if (!good) throw std::invalid_argument{std::string{"omnibus: redis pubsub: "} + what};
  }

  static Config checked(Config config) {
    require(config.group.empty() || is_topic_name(config.group), "group is no name");
    require(config.heartbeat >= std::chrono::seconds{2}, "heartbeat must be at least 2s");
    require(config.connect_timeout > Duration::zero(), "connect_timeout must be positive");
    require(config.publish_window >= 1, "publish_window must be at least 1");
    require(config.largest_message >= 1u << 16, "largest_message must be at least 64 KiB");
    for (const RedisChannel& each : config.channels) {
      require(is_topic_name(each.topic), "channels: topic is no topic name");
      require(each.channel.empty() || each.pattern.empty(),
              "channels: a topic is a channel or a pattern, not both");
    }
    return config;
  }

  const RedisChannel* find(std::string_view topic) const noexcept {
    for (const RedisChannel& each : config_.channels) {
      if (each.topic == topic) return &each;
    }
    return nullptr;
  }

  const Config config_;
  const redis::ConnectOptions connect_;
  const SystemClock clock_{};
  redis::Publisher publisher_;
};

static_assert(Backend<RedisPubSub>);

}  // namespace omnibus
