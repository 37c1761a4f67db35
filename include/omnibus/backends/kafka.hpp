// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <omnibus/backend.hpp>
#include <omnibus/backends/kafka/consumer.hpp>
#include <omnibus/backends/kafka/publisher.hpp>
#include <omnibus/clock.hpp>
#include <omnibus/limits.hpp>

// Apache Kafka, through librdkafka from 2.0 on. A topic is a topic, a group a consumer group, and the key
// of a message chooses its partition as the Java client does.

namespace omnibus {

/// Who we are, to a broker that asks for it.
using KafkaSasl = kafka::Sasl;
/// What secures connections.
using KafkaTls = kafka::Tls;

/// A Kafka cluster.
/// Delivery: at least once. A publish is ok when all in-sync replicas have it; how many that are is the
/// topic's matter (min.insync.replicas), and `health` says where it is one.
/// Order: of one key, through retries, rebalances and restarts, while the topic has the same number of
/// partitions.
/// Attempts: Kafka counts none; those that came by `relaxed` redelivery are counted.
/// Delays: never early; what waits stands in topics of its own, `<topic>.later.<from>`. The first of a
/// kind makes its topic and may be two seconds late.
class Kafka {
 public:
  /// How to make one. Malformed values throw std::invalid_argument and name the field.
  struct Config {
    std::string endpoint = "localhost:9092";  ///< brokers to begin with, commas between
    std::string group = {};                   ///< of subscriptions that name none
    KafkaSasl sasl = {};
    KafkaTls tls = {};
    bool create_topics = true;  ///< make topics that are missing, with:
    std::int32_t partitions = 4;
    std::int32_t replicas = -1;  ///< -1: as many as the broker makes by itself
    /// A name for this process, the same after a restart: then a restart costs the group no rebalance.
    std::string member = {};
    Duration session_timeout = std::chrono::seconds{45};  ///< a silent member is given up after it
    Duration commit_interval = std::chrono::seconds{1};
    Duration drain_timeout = std::chrono::seconds{10};  ///< for handlers, when partitions are taken away
    Duration linger = std::chrono::milliseconds{1};     ///< wait so long for more to send at once
    std::size_t publish_window = 16384;                 ///< messages that have no ending yet
    std::size_t publish_window_bytes = 64u << 20;       ///< and their bytes
    /// Whatever else librdkafka is to be told (its CONFIGURATION.md).
    std::map<std::string, std::string> properties = {};
  };
  using Consumer = kafka::Consumer;
  static constexpr Capabilities capabilities{.name = "kafka",
                                             .durable = true,
                                             .shared = true,
                                             .groups = true,
                                             .redelivers = true,
                                             .ordered_by_key = true,
                                             .retains = true,
                                             .delays = true,
                                             .replay_by_position = true,
                                             .replay_by_time = true,
                                             .counts_attempts = false,
                                             .transactions = true};

  explicit Kafka(Config config)
      : config_{checked(std::move(config))},
        settings_{config_.endpoint, config_.sasl, config_.tls, config_.properties},
        logs_{kafka::secrets_of(settings_)},
        publisher_{settings_,
                   {config_.publish_window, config_.publish_window_bytes, config_.linger,
                    config_.create_topics},
                   logs_} {
    // Contradictions come to light when a client is made; without a broker to talk to, it stays here.
    kafka::Settings alone = settings_;
    alone.endpoint.clear();
    rd_kafka_destroy(kafka::Producer::make(alone, config_.linger, nullptr));
    kafka::GroupClient::check(alone, reading({}));
  }

  void submit(std::string_view topic, std::span<Outgoing> messages, const Submit& how) {
    for (Outgoing& each : messages) submit_one(topic, each, how);
    if (how.awaited) publisher_.hurry();
  }
  Result<> flush(Instant until) { return publisher_.flush(until); }

  Consumer consume(const SubscriptionSpec& spec) {
    require(spec.topic.size() <= longest_name, "topic has more than 230 characters");
    require(spec.topic.find(':') == std::string::npos, "the name of a topic has no ':'");
    require(!spec.group.empty() || spec.order != Order::relaxed,
            "a reader without a group cannot be relaxed");
    if (spec.transactional) {  // the properties may contradict it
      kafka::Settings alone = settings_;
      alone.endpoint.clear();
      kafka::Transactor::check(alone, reading(spec).transactor());
      kafka::GroupClient::check(alone, reading(spec));
    }
    return Consumer{settings_, reading(spec), publisher_, logs_};
  }
  /// Says whether a message may be published. Errors: invalid_argument.
  Result<> check(std::string_view topic, const MessageView& message) const {
    const auto refused = [](const char* why) { return Error::make(Errc::invalid_argument, "publish", why); };
    if (topic.size() > longest_name) return refused("on Kafka a topic has at most 230 characters");
    if (topic.find(':') != std::string_view::npos) return refused("on Kafka the name of a topic has no ':'");
    if (message.headers.contains(kafka::own_header)) return refused("header \"omnibus\" is for the library");
    return {};
  }
  /// Where the lines of librdkafka's log go; nowhere unless this is said before anything else.
  void log_to(LogSink sink) { logs_.sink = std::move(sink); }
  /// The state of the producer, which is made by the first publish.
  Health health() const { return publisher_.health(); }
  const Clock& clock() const noexcept { return clock_; }
  Result<> close(Instant until) { return publisher_.close(until); }

 private:
  struct Logs final : kafka::Callbacks {
    explicit Logs(std::vector<std::string> hidden) : secrets{std::move(hidden)} {}
    /// Levels are those of syslog (RFC 5424).
    void log(int level, std::string_view line) noexcept override {
      if (!sink) return;
      const LogLevel as = level <= 3   ? LogLevel::error
                          : level == 4 ? LogLevel::warning
                          : level <= 6 ? LogLevel::info
                                       : LogLevel::debug;
      sink(as, kafka::without_secrets(line, secrets));
    }
    LogSink sink;
    const std::vector<std::string> secrets;
  };

  static void require(bool good, const char* what) {
    if (!good) throw std::invalid_argument{std::string{"omnibus: kafka: "} + what};
  }

  static Config checked(Config config) {
    require(kafka::is_broker_list(config.endpoint),
            "endpoint is no list of brokers: write host:port, commas between");
    require(config.group.empty() || is_topic_name(config.group), "group is no name");
    require(config.partitions >= 1, "partitions must be at least 1");
    require(config.replicas == -1 || config.replicas >= 1, "replicas must be -1 or at least 1");
    require(config.commit_interval > Duration::zero(), "commit_interval must be positive");
    require(config.drain_timeout >= Duration::zero(), "drain_timeout must not be negative");
    require(config.linger >= Duration::zero(), "linger must not be negative");
    require(config.publish_window >= 1, "publish_window must be at least 1");
    require(config.sasl.mechanism.empty() == config.sasl.user.empty(),
            "sasl.mechanism and sasl.user go together");
    require(config.sasl.mechanism != "PLAIN" || config.tls.on || config.sasl.allow_plaintext ||
                kafka::is_loopback(config.endpoint),
            "sasl.mechanism PLAIN shows the password to whoever listens: turn on tls, or say "
            "sasl.allow_plaintext");
    require(config.sasl.password.empty() || !config.sasl.user.empty(),
            "sasl.password is there without sasl.user");
    const kafka::Tls& tls = config.tls;
    require(tls.on || (tls.ca.empty() && tls.certificate.empty() && tls.key.empty() &&
                       tls.key_password.empty()),
            "tls.on must be set for what else tls says");
    return config;
  }

  kafka::Reading reading(const SubscriptionSpec& spec) const {
    return {spec,
            {spec.topic, config_.partitions, config_.replicas, {}},
            config_.create_topics,
            config_.member,
            config_.session_timeout,
            config_.commit_interval,
            config_.drain_timeout,
            config_.linger};
  }

  /// Names on the broker have at most 249 bytes, and those of waiting topics are longer than ours.
  static constexpr std::size_t longest_name = 230;

  void submit_one(std::string_view topic, Outgoing& outgoing, const Submit& how) {
    if (Result<> good = check(topic, outgoing.message); !good) return outgoing.done(std::move(good.error()));
    if (outgoing.delay > kafka::longest_delay) {
      return outgoing.done(Error::make(Errc::invalid_argument, "publish", "on Kafka a delay is at most 30 days"));
    }
    const MessageView& message = outgoing.message;
    kafka::Envelope envelope{message.id, message.type, message.sequence, 0, 0, {}};
    thread_local std::string text;
    text.clear();
    std::string waiting;
    if (outgoing.delay > Duration::zero()) {
      envelope.due = kafka::to_ms(std::chrono::system_clock::now() + outgoing.delay) + 1;
      waiting = kafka::later_topic(topic, kafka::tier_of(outgoing.delay));
    }
    kafka::append_envelope(text, envelope);
    const std::string_view target = waiting.empty() ? topic : std::string_view{waiting};
    publisher_.submit(
        target,
        [&](kafka::Routes& routes) -> kafka::Route& {
          return waiting.empty()
                     ? routes.add({std::string{topic}, config_.partitions, config_.replicas, {}}, {})
                     : routes.add({waiting, config_.partitions, config_.replicas,
                                   kafka::later_retention},
                                  std::string{topic});
        },
        {message.key, message.payload, kafka::to_ms(message.time), text, message.headers},
        std::move(outgoing.done), how);
  }

  const Config config_;
  const kafka::Settings settings_;
  const SystemClock clock_{};
  Logs logs_;
  kafka::Publisher publisher_;
};

static_assert(Backend<Kafka>);

}  // namespace omnibus
