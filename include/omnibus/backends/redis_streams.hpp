// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <omnibus/backend.hpp>
#include <omnibus/backends/redis/consumer.hpp>
#include <omnibus/backends/redis/delays.hpp>
#include <omnibus/backends/redis/publisher.hpp>
#include <omnibus/clock.hpp>
#include <omnibus/limits.hpp>

// Redis Streams, from Redis 6.2 on, through hiredis. A topic is a fixed number of streams, and the key of
// a message chooses its stream; a group is a consumer group of each, whose members share the streams.

namespace omnibus {

/// A topic whose stream somebody else made, and writes to. It is used as it is.
struct RedisExisting {
  std::string topic;                       ///< the name in this program
  std::string stream;                      ///< its key
  std::string payload_field = "payload";   ///< of entries that omnibus did not write
  std::string key_field = {};              ///< likewise; empty: they have no key
};

/// A Redis server.
/// Delivery: at least once. A publish is ok when the server has replied; what that is worth depends on
/// its append-only file, and `health` says it.
/// Order: of one key, also when members join, leave or die. A shard has one owner, who renews a lease; one
/// that was stopped for longer than that can no longer acknowledge.
/// Attempts: Redis counts deliveries, also those of messages that a killed consumer had not begun.
/// Delays: never early, on the server's clock.
class RedisStreams {
 public:
  /// How to make one. Malformed values throw std::invalid_argument and name the field.
  struct Config {
    /// redis://user:password@host:port/database, rediss:// for TLS, or
    /// unix://user:password@/path?db=database, percent-encoded; several servers with commas between, of
    /// which the first that answers is used.
    std::string endpoint = "redis://localhost:6379";
    /// For rediss://: what redis_tls() of <omnibus/backends/redis_tls.hpp> returns.
    std::shared_ptr<const redis::Security> tls = {};
    std::string group = {};  ///< of subscriptions that name none
    /// Streams of each topic, among which the keys are divided. Fixed for the life of a topic.
    std::int32_t shards = 4;
    /// What a member owns that is silent for so long is taken over by others.
    Duration lease = std::chrono::seconds{10};
    std::size_t replicas = 0;  ///< a message counts as taken when so many replicas have it (WAIT)
    Duration replica_timeout = std::chrono::seconds{1};
    /// Remove what every group has finished. Groups that come later do not get it.
    bool trim = false;
    /// How many messages a shard may have, roughly; 0: any number. What is dropped unread is reported to
    /// the observers of its groups.
    std::uint64_t shard_bound = 0;
    Duration heartbeat = std::chrono::seconds{5};  ///< a silent server is given up after two
    Duration connect_timeout = std::chrono::seconds{5};
    std::size_t publish_window = 8192;             ///< messages that have no ending yet
    std::size_t publish_window_bytes = 64u << 20;  ///< and their bytes
    std::size_t largest_entry = 64u << 20;         ///< what is larger is passed over, and reported
    std::vector<RedisExisting> existing = {};
  };
  using Consumer = redis::StreamsConsumer;
  static constexpr Capabilities capabilities{.name = "redis_streams",
                                             .durable = true,
                                             .shared = true,
                                             .groups = true,
                                             .redelivers = true,
                                             .ordered_by_key = true,
                                             .retains = true,
                                             .delays = true,
                                             .replay_by_position = true,
                                             .replay_by_time = true,
                                             .counts_attempts = true,
                                             .atomic_publish = true};

  explicit RedisStreams(Config config)
      : config_{checked(std::move(config))},
        connect_{redis::parse_endpoints(config_.endpoint, "redis streams", config_.tls != nullptr),
                 config_.connect_timeout, config_.heartbeat, config_.largest_entry, config_.tls},
        publisher_{connect_,
                   {config_.publish_window,
                    config_.publish_window_bytes,
                    {config_.replicas, config_.replica_timeout}}} {}

  void submit(std::string_view topic, std::span<Outgoing> messages, const Submit& how) {
    for (Outgoing& each : messages) submit_one(topic, each, how);
  }
  /// One script on the server, of up to a publish window. On a node of a cluster all of it needs one hash
  /// slot, which the streams of one topic have; else it is refused as unsupported.
  void submit_atomic(std::span<const Addressed> messages, const Submit& how, AtomicDone done) {
    publisher_.submit_atomic(
        messages, [this](std::string_view topic) { return redis::Route{keys_of(topic)}; },
        [this](std::string_view topic, const MessageView& message) { return shard_of(topic, message); },
        config_.shard_bound, how, std::move(done));
  }
  Result<> flush(Instant until) { return publisher_.flush(until); }

  /// Throws std::invalid_argument for a reader without a group that gives order up.
  Consumer consume(const SubscriptionSpec& spec) {
    redis::ForeignFields foreign;
    if (const RedisExisting* there = existing(spec.topic)) {
      foreign = {there->payload_field, there->key_field};
    }
    if (spec.group.empty() || spec.use == Use::look) {
      require(spec.order != Order::relaxed, "a reader without a group cannot be relaxed");
      return Consumer{connect_, redis::LogPlan{spec.topic, keys_of(spec.topic), spec.start,
                                               std::move(foreign), config_.largest_entry,
                                               spec.group}};
    }
    return Consumer{connect_, redis::GroupPlan{spec.topic, group_of(spec), std::move(foreign),
                                               config_.largest_entry, config_.trim,
                                               config_.shard_bound > 0, spec.use == Use::pick}};
  }
  /// The state of the publishing connection, which is made by the first publish.
  Health health() const { return publisher_.health(); }
  const Clock& clock() const noexcept { return clock_; }
  Result<> close(Instant until) { return publisher_.close(until); }

 private:
  static void require(bool good, const char* what) {
    if (!good) throw std::invalid_argument{std::string{"omnibus: redis streams: "} + what};
  }

  static Config checked(Config config) {
    require(config.group.empty() || is_topic_name(config.group), "group is no name");
    require(config.shards >= 1 && config.shards <= 256, "shards must be 1 to 256");
    require(config.lease >= std::chrono::milliseconds{500}, "lease must be at least 500ms");
    require(config.replica_timeout > Duration::zero(), "replica_timeout must be positive");
    require(config.heartbeat >= std::chrono::seconds{2}, "heartbeat must be at least 2s");
    require(config.connect_timeout > Duration::zero(), "connect_timeout must be positive");
    require(config.publish_window >= 1, "publish_window must be at least 1");
    require(config.largest_entry >= 1u << 16, "largest_entry must be at least 64 KiB");
    for (const RedisExisting& each : config.existing) {
      require(is_topic_name(each.topic), "existing: topic is no topic name");
      require(!each.stream.empty(), "existing: stream is empty");
    }
    return config;
  }

  const RedisExisting* existing(std::string_view topic) const noexcept {
    for (const RedisExisting& each : config_.existing) {
      if (each.topic == topic) return &each;
    }
    return nullptr;
  }

  redis::TopicKeys keys_of(std::string_view topic) const {
    const RedisExisting* there = existing(topic);
    return there != nullptr ? redis::TopicKeys::of_stream(there->stream)
                            : redis::TopicKeys::of_topic(topic, config_.shards);
  }

  redis::Group group_of(const SubscriptionSpec& spec) const {
    redis::Group group{keys_of(spec.topic), spec.group, "", "", {}, config_.lease};
    group.owners = group.keys.owners(spec.group);
    group.members = group.keys.members(spec.group);
    group.starts = redis::starts_of(spec.start, group.keys.streams.size());
    return group;
  }

  std::int32_t shard_of(std::string_view topic, const MessageView& message) const noexcept {
    return existing(topic) != nullptr ? 0 : redis::shard_of(message, config_.shards);
  }

  void submit_one(std::string_view topic, Outgoing& outgoing, const Submit& how) {
    if (outgoing.delay > redis::longest_delay) {
      return outgoing.done(Error::make(Errc::invalid_argument, "publish",
                                       "on Redis a delay is at most a hundred years"));
    }
    const std::int32_t shard = shard_of(topic, outgoing.message);
    publisher_.submit(
        topic, [&] { return redis::Route{keys_of(topic)}; }, shard,
        [&](std::string& out, const redis::Route& route) {
          const auto index = static_cast<std::size_t>(shard);
          if (outgoing.delay > Duration::zero()) {
            return redis::append_delayed(out, route.keys, index, config_.shard_bound,
                                         outgoing.message, outgoing.delay);
          }
          redis::append_xadd(out, route.keys.streams[index], config_.shard_bound,
                             outgoing.message);
        },
        outgoing, how);
  }

  const Config config_;
  const redis::ConnectOptions connect_;
  const SystemClock clock_{};
  redis::Publisher publisher_;
};

static_assert(Backend<RedisStreams>);

}  // namespace omnibus
