// SPDX-License-Identifier: MIT
#pragma once

#include <charconv>
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
#include <omnibus/backends/rabbitmq/consumer.hpp>
#include <omnibus/backends/rabbitmq/publisher.hpp>
#include <omnibus/clock.hpp>
#include <omnibus/limits.hpp>

// RabbitMQ, from 3.10 on, through rabbitmq-c. A topic is a durable exchange; a group is a fixed number
// of queues, of which each has one active consumer, and the key of a message chooses the queue.

namespace omnibus {

/// What keeps a group's messages: quorum queues, on a majority of the nodes, or classic ones.
using RabbitMqQueues = rabbitmq::QueueType;

/// What secures amqps:// connections.
using RabbitMqTls = rabbitmq::Tls;

/// A topic whose exchange or queue somebody else made. It is used as it is: nothing is declared.
struct RabbitMqExisting {
  std::string topic;             ///< the name in this program
  std::string exchange = {};     ///< where `publish` sends it; "" is the default exchange
  std::string routing_key = {};  ///< empty: the key of each message
  std::string queue = {};        ///< what `subscribe` consumes, in every group; members share it
};

/// A RabbitMQ broker, or a cluster of them.
/// Delivery: at least once. A publish is ok when the broker has confirmed and not returned it: with
/// quorum queues, when a majority of the nodes has it on disk. What no group has subscribed to is
/// unroutable, unless `hold` or `log` say otherwise.
/// Order: of one key, among members of a group, at a time of joining and of death. What `hold` has kept
/// comes first, in order only if one member subscribes before the others.
/// Attempts: the broker counts deliveries, also those of messages that a killed consumer had not begun.
/// Delays: in steps of 1, 2 and 5 times powers of ten from 10 ms, never early; a queue for each step.
class RabbitMq {
 public:
  /// How to make one. Malformed values throw std::invalid_argument and name the field.
  struct Config {
    /// amqp:// or amqps://user:password@host:port/vhost, percent-encoded; several nodes with commas
    /// between.
    std::string endpoint = "amqp://guest:guest@localhost:5672/";
    std::string group = {};  ///< of subscriptions that name none
    RabbitMqTls tls = {};    ///< for amqps://
    /// Queues of each group, among which the keys are divided. Fixed for the life of a topic: the broker
    /// refuses a bus with another number.
    std::int32_t shards = 4;
    RabbitMqQueues queues = RabbitMqQueues::quorum;
    bool hold = false;  ///< keep what no group has subscribed to, for the first that does
    bool log = false;   ///< keep every message in a stream as well, for readers without a group
    Duration log_age = std::chrono::hours{24 * 7};  ///< and so long
    Duration heartbeat = std::chrono::seconds{10};  ///< a silent broker is given up after two
    Duration connect_timeout = std::chrono::seconds{5};
    std::size_t publish_window = 8192;             ///< messages that have no ending yet
    std::size_t publish_window_bytes = 64u << 20;  ///< and their bytes
    std::vector<RabbitMqExisting> existing = {};
  };
  using Consumer = rabbitmq::Consumer;
  static constexpr Capabilities capabilities{.name = "rabbitmq",
                                             .durable = true,
                                             .shared = true,
                                             .groups = true,
                                             .redelivers = true,
                                             .ordered_by_key = true,
                                             .retains = false,
                                             .delays = true,
                                             .replay_by_position = true,
                                             .replay_by_time = true,
                                             .counts_attempts = true};

  explicit RabbitMq(Config config)
      : config_{checked(std::move(config))},
        connect_{rabbitmq::parse_endpoints(config_.endpoint), config_.tls, config_.heartbeat,
                 config_.connect_timeout},
        publisher_{connect_, config_.publish_window, config_.publish_window_bytes} {
    for (const auto& endpoint : connect_.endpoints) {
      require(!endpoint.tls || !config_.tls.ca.empty(), "tls.ca must name a file for amqps://");
    }
  }

  void submit(std::string_view topic, std::span<Outgoing> messages, const Submit& how) {
    for (Outgoing& each : messages) submit_one(topic, each, how);
  }
  Result<> flush(Instant until) { return publisher_.flush(until); }

  /// Throws std::invalid_argument for a group that wants to start in the past, and for a reader without
  /// a group that gives order up: streams and queues cannot do it.
  Consumer consume(const SubscriptionSpec& spec) {
    return Consumer{connect_, source_of(spec), publisher_};
  }
  /// The state of the publishing connection, which is made by the first publish.
  Health health() const { return publisher_.health(); }
  const Clock& clock() const noexcept { return clock_; }
  Result<> close(Instant until) { return publisher_.close(until); }

 private:
  static void require(bool good, const char* what) {
    if (!good) throw std::invalid_argument{std::string{"omnibus: rabbitmq: "} + what};
  }

  static Config checked(Config config) {
    require(config.group.empty() || is_topic_name(config.group), "group is no name");
    require(config.shards >= 1 && config.shards <= 256, "shards must be 1 to 256");
    require(config.heartbeat >= std::chrono::seconds{1}, "heartbeat must be at least 1s");
    require(config.connect_timeout > Duration::zero(), "connect_timeout must be positive");
    require(config.publish_window >= 1, "publish_window must be at least 1");
    require(config.log_age >= std::chrono::seconds{1}, "log_age must be at least 1s");
    require(config.tls.certificate.empty() == config.tls.key.empty(),
            "tls.certificate and tls.key go together");
    for (const RabbitMqExisting& each : config.existing) {
      require(is_topic_name(each.topic), "existing: topic is no topic name");
      require(each.exchange.size() <= 255 && each.routing_key.size() <= 255 &&
                  each.queue.size() <= 255,
              "existing: a name is longer than 255 bytes");
    }
    return config;
  }

  const RabbitMqExisting* existing(std::string_view topic) const noexcept {
    for (const RabbitMqExisting& each : config_.existing) {
      if (each.topic == topic) return &each;
    }
    return nullptr;
  }

  rabbitmq::Shape shape() const noexcept {
    return {config_.shards, config_.queues, config_.hold, config_.log, config_.log_age};
  }

  /// Names on the broker have at most 255 bytes, and ours are longer than those of topics and groups.
  static constexpr std::size_t longest_name = 200;

  void submit_one(std::string_view topic, Outgoing& outgoing, const Submit& how) {
    if (topic.size() > longest_name) {
      return outgoing.done(Error::make(Errc::invalid_argument, "publish",
                                       "on RabbitMQ a topic has at most 200 characters"));
    }
    for (const Header header : outgoing.message.headers) {
      if (header.name.starts_with(rabbitmq::own_header::prefix)) {
        return outgoing.done(Error::make(Errc::invalid_argument, "publish",
                                         "header " + std::string{header.name} +
                                             " begins with x-omnibus-, which is for the library"));
      }
    }
    if (const RabbitMqExisting* there = existing(topic)) return submit_there(*there, outgoing, how);
    const std::uint64_t hash = rabbitmq::shard_hash(outgoing.message);
    const std::int32_t shard = rabbitmq::shard_of(hash, config_.shards);
    char text[12];
    const auto end = std::to_chars(text, text + sizeof text, shard).ptr;
    rabbitmq::Sending sending{topic, {text, static_cast<std::size_t>(end - text)}, shard,
                              outgoing.message.key.empty() ? 0 : hash | 1};
    if (outgoing.delay > Duration::zero()) return submit_delayed(topic, sending, outgoing, how);
    publisher_.submit(
        sending,
        [&] {
          std::string name{topic};
          return rabbitmq::Route{name, rabbitmq::topic_topology(name, shape())};
        },
        outgoing, how);
  }

  /// To a queue where it waits, and from there to the topic. What is left after that is waited for by
  /// each group.
  void submit_delayed(std::string_view topic, rabbitmq::Sending& sending, Outgoing& outgoing,
                      const Submit& how) {
    const Duration tier = rabbitmq::delay_tier(outgoing.delay);
    if (outgoing.delay > tier) sending.carried.wait = outgoing.delay - tier;
    const std::string route = rabbitmq::later_exchange(topic, tier);
    sending.route = route;
    publisher_.submit(
        sending,
        [&] {
          const std::string name{topic};
          rabbitmq::Topology made = rabbitmq::topic_topology(name, shape());
          for (auto& each : rabbitmq::later_topology(name, name, tier)) made.push_back(each);
          return rabbitmq::Route{route, std::move(made)};
        },
        outgoing, how);
  }

  void submit_there(const RabbitMqExisting& there, Outgoing& outgoing, const Submit& how) {
    if (outgoing.delay > Duration::zero()) {
      return outgoing.done(Error::make(Errc::unsupported, "publish",
                                       "no delays on an exchange that somebody else made"));
    }
    if (there.routing_key.empty() && outgoing.message.key.size() > 255) {
      return outgoing.done(Error::make(Errc::too_large, "publish",
                                       "the key is the routing key here: at most 255 bytes"));
    }
    const std::string_view routing_key =
        there.routing_key.empty() ? outgoing.message.key : std::string_view{there.routing_key};
    publisher_.submit(
        {.route = there.topic,
         .routing_key = routing_key,
         .key_hash = outgoing.message.key.empty() ? 0 : rabbitmq::shard_hash(outgoing.message) | 1},
        [&] {
          rabbitmq::Route route{there.exchange};
          if (!there.exchange.empty()) {
            rabbitmq::DeclareExchange passive{there.exchange, ""};
            passive.passive = true;
            route.topology.push_back(passive);
          }
          return route;
        },
        outgoing, how);
  }

  rabbitmq::Source source_of(const SubscriptionSpec& spec) const {
    require(spec.topic.size() + spec.group.size() <= longest_name,
            "topic and group have more than 200 characters together");
    for (const std::string& output : spec.outputs) {
      require(output.size() <= longest_name, "a dead-letter topic has more than 200 characters");
    }
    rabbitmq::Source source = [&] {
      const RabbitMqExisting* there = existing(spec.topic);
      if (there != nullptr && !there->queue.empty()) {
        return rabbitmq::sources::given(spec, there->queue);
      }
      if (spec.group.empty()) {
        require(spec.order != Order::relaxed, "a reader without a group cannot be relaxed");
        return rabbitmq::sources::log(spec, shape(), clock_);
      }
      require(spec.start.from == Start::From::earliest || spec.start.from == Start::From::latest,
              "a group cannot start at a position or a time: its queues begin with its first "
              "subscription; leave .group empty to read the log");
      return rabbitmq::sources::group(spec, shape());
    }();
    rabbitmq::Shape holding = shape();
    holding.hold = true;
    holding.log = false;
    for (const std::string& output : spec.outputs) {
      if (existing(output) != nullptr) continue;
      for (auto& each : rabbitmq::topic_topology(output, holding)) source.topology.push_back(each);
    }
    return source;
  }

  const Config config_;
  const rabbitmq::ConnectOptions connect_;
  const SystemClock clock_{};
  rabbitmq::Publisher publisher_;
};

static_assert(Backend<RabbitMq>);

}  // namespace omnibus
