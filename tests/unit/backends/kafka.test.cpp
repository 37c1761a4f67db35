// SPDX-License-Identifier: MIT
#include <omnibus/backends/kafka.hpp>
#include <omnibus/event_bus.hpp>

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <map>
#include <optional>
#include <vector>

#include "catch.hpp"
#include "unit/backends/kafka/tools.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;

namespace {

/// A port where nobody listens.
constexpr const char* nowhere = "127.0.0.1:1";

/// What making one throws; empty when it can be made.
std::string refusal(Kafka::Config config) {
  try {
    const Kafka made{std::move(config)};
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "";
}

/// A config with one thing changed.
template <class Change>
Kafka::Config with(Change change) {
  Kafka::Config config{.endpoint = nowhere};
  change(config);
  return config;
}

Kafka::Config with_property(std::string name, std::string value) {
  return with([&](Kafka::Config& c) { c.properties[name] = value; });
}

/// How publishing this one ends, when it ends at once.
std::optional<Error> publish(Kafka& kafka, std::string_view topic, const Message& message,
                             Duration delay = {}) {
  std::optional<Error> ending;
  Outgoing one{message.view(), delay, [&](const Result<Receipt>& result) {
                 if (!result) ending = result.error();
               }};
  kafka.submit(topic, {&one, 1}, {.timeout = 1h, .wait_for_room = false});
  return ending;
}

SubscriptionSpec spec(std::string topic, std::string group, Order order = Order::strict) {
  SubscriptionSpec made;
  made.topic = std::move(topic);
  made.group = std::move(group);
  made.order = order;
  return made;
}

}  // namespace

TEST_CASE("kafka: a default config can be used") {
  const Kafka::Config config;
  CHECK(config.endpoint == "localhost:9092");
  CHECK(config.create_topics);
  CHECK(config.replicas == -1);
  CHECK_NOTHROW(Kafka{{}});
  CHECK_NOTHROW(Kafka{{.endpoint = "a:1, b:2", .group = "billing"}});
}

TEST_CASE("kafka: what a config says wrong is refused, and the field is named") {
  struct Row {
    std::string_view field;
    std::function<void(Kafka::Config&)> change;
  };
  using C = Kafka::Config;
  const Row rows[] = {
      {"endpoint", [](C& c) { c.endpoint = ""; }},
      {"endpoint", [](C& c) { c.endpoint = "kafka://localhost:9092"; }},
      {"endpoint", [](C& c) { c.endpoint = "localhost:port"; }},
      {"endpoint", [](C& c) { c.endpoint = "localhost:9092,"; }},
      {"group", [](C& c) { c.group = "no name"; }},
      {"group", [](C& c) { c.group = std::string(250, 'x'); }},
      {"partitions", [](C& c) { c.partitions = 0; }},
      {"partitions", [](C& c) { c.partitions = -1; }},
      {"replicas", [](C& c) { c.replicas = 0; }},
      {"replicas", [](C& c) { c.replicas = -2; }},
      {"commit_interval", [](C& c) { c.commit_interval = 0s; }},
      {"commit_interval", [](C& c) { c.commit_interval = -1s; }},
      {"drain_timeout", [](C& c) { c.drain_timeout = -1ns; }},
      {"linger", [](C& c) { c.linger = -1ns; }},
      {"linger", [](C& c) { c.linger = 1h; }},
      {"publish_window", [](C& c) { c.publish_window = 0; }},
      {"session.timeout", [](C& c) { c.session_timeout = 0s; }},
      {"session.timeout", [](C& c) { c.session_timeout = -1s; }},
      {"session.timeout", [](C& c) { c.session_timeout = 2h; }},
      {"sasl.user", [](C& c) { c.sasl = {"PLAIN", "", "secret"}; }},
      {"sasl.allow_plaintext",
       [](C& c) {
         c.endpoint = "127.0.0.1:1,broker:9092";
         c.sasl = {"PLAIN", "ann", "secret"};
       }},
      {"sasl.mechanism", [](C& c) { c.sasl = {"", "ann", "secret"}; }},
      {"sasl.password", [](C& c) { c.sasl = {"", "", "secret"}; }},
      {"sasl.password", [](C& c) { c.sasl = {"PLAIN", "ann", ""}; }},
      {"NO-SUCH", [](C& c) { c.sasl = {"NO-SUCH", "ann", "secret"}; }},
      {"tls.on", [](C& c) { c.tls.ca = "ca.pem"; }},
      {"tls.on", [](C& c) { c.tls.certificate = "cert.pem"; }},
      {"tls.on", [](C& c) { c.tls.key = "key.pem"; }},
      {"tls.on", [](C& c) { c.tls.key_password = "secret"; }},
      {"ssl.ca.location", [](C& c) { c.tls = {true, "/no/such/ca", {}, {}, {}}; }},
      {"ssl.certificate.location", [](C& c) { c.tls = {true, {}, "/no/such/cert", {}, {}}; }},
      {"ssl.key.location", [](C& c) { c.tls = {true, {}, {}, "/no/such/key", "secret"}; }},
  };
  for (const Row& row : rows) {
    CAPTURE(row.field);
    const std::string text = refusal(with(row.change));
    CAPTURE(text);
    CHECK(text.starts_with("omnibus: kafka: "));
    CHECK(text.find(row.field) != std::string::npos);
    CHECK(text.find("secret") == std::string::npos);
  }
}

TEST_CASE("kafka: what is at the edge of a config's bounds can be used") {
  const std::function<void(Kafka::Config&)> changes[] = {
      [](Kafka::Config& c) { c.group = std::string(249, 'x'); },
      [](Kafka::Config& c) { c.partitions = c.replicas = 1; },
      [](Kafka::Config& c) { c.linger = c.drain_timeout = 0s; },
      [](Kafka::Config& c) { c.publish_window = 1, c.publish_window_bytes = 0; },
      [](Kafka::Config& c) { c.commit_interval = 1ns; },
      [](Kafka::Config& c) { c.session_timeout = 300s; },
      [](Kafka::Config& c) { c.sasl = {"SCRAM-SHA-512", "ann", "secret"}; },
      [](Kafka::Config& c) { c.tls.on = true; },
      [](Kafka::Config& c) { c.member = "node-7"; },
  };
  for (const auto& change : changes) CHECK(refusal(with(change)) == "");
}

TEST_CASE("kafka: properties are checked when the bus is made, for either side") {
  for (const auto& [name, value] :
       std::map<std::string, std::string>{{"no.such.property", "1"},
                                          {"acks", "0"},
                                          {"linger.ms", "7"},
                                          {"enable.auto.commit", "true"},
                                          {"group.id", "other"},
                                          {"transactional.id", "t"},
                                          {"bootstrap.servers", "b:2"},
                                          {"metadata.broker.list", "b:2"},
                                          {"fetch.wait.max.ms", "soon"},
                                          {"max.in.flight", "100"},
                                          {"session.timeout.ms", "1"}}) {
    CAPTURE(name);
    CHECK(refusal(with_property(name, value)).find(name) != std::string::npos);
  }
  CHECK(refusal(with_property("client.id", "me")) == "");
  CHECK(refusal(with_property("compression.type", "lz4")) == "");
  CHECK(refusal(with_property("fetch.min.bytes", "100")) == "");
}

TEST_CASE("kafka: no error of a config shows a secret") {
  for (const char* name : {"sasl.password", "ssl.key.password", "ssl.key.pem", "ssl.keystore.password",
                           "sasl.oauthbearer.client.secret", "sasl.oauthbearer.config"}) {
    CAPTURE(name);
    Kafka::Config config{.endpoint = nowhere};
    config.properties = {{name, "hunter2"},
                         {"security.protocol", "sasl_ssl"},
                         {"sasl.mechanism", "hunter2"},
                         {"ssl.ca.location", "/no/such/hunter2"}};
    const std::string text = refusal(std::move(config));
    CHECK_FALSE(text.empty());
    CHECK(text.find("hunter2") == std::string::npos);
  }
}

TEST_CASE("kafka: making one prints nothing and asks no broker") {
  CHECK(stderr_of([] {
          const Kafka kafka{{.endpoint = "no-such-host.invalid:9092"}};
          CHECK(kafka.health().ok);
          CHECK(kafka.health().detail == "not connected: nothing was published yet");
        }) == "");
  CHECK(stderr_of([] { (void)refusal(with_property("max.in.flight", "100")); }) == "");
}

TEST_CASE("kafka: making one connects to nobody") {
  const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  REQUIRE(::bind(listener, reinterpret_cast<sockaddr*>(&address), size) == 0);
  REQUIRE(::listen(listener, 8) == 0);
  REQUIRE(::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  for (int i = 0; i < 20; ++i) {
    Kafka kafka{{.endpoint = "127.0.0.1:" + std::to_string(ntohs(address.sin_port))}};
    (void)kafka.consume(spec("orders", "billing"));
  }
  pollfd one{listener, POLLIN, 0};
  CHECK(::poll(&one, 1, 0) == 0);
  ::close(listener);
}

TEST_CASE("kafka: one that was never used closes at once") {
  Kafka kafka{{.endpoint = nowhere}};
  CHECK(kafka.flush(Instant::min()).has_value());
  CHECK(kafka.close(Instant::min()).has_value());
  CHECK(kafka.close(Instant::min()).has_value());
  CHECK_FALSE(kafka.health().ok);
  CHECK(kafka.health().detail == "closed");
  const auto ending = publish(kafka, "orders", message_of("id", "key"));
  REQUIRE(ending.has_value());
  CHECK(ending->code == Errc::closed);
}

TEST_CASE("kafka: what cannot be published is refused at once, and the error says why") {
  Kafka kafka{{.endpoint = nowhere}};
  const Message plain = message_of("id", "key", "payload");
  Message reserved = plain;
  reserved.headers.add("omnibus", "x");
  struct Case {
    std::string topic;
    const Message& message;
    Duration delay;
    std::string_view part;
  };
  const Case cases[] = {
      {std::string(231, 'x'), plain, 0s, "230 characters"},
      {"a:b", plain, 0s, "':'"},
      {":", plain, 0s, "':'"},
      {"orders", reserved, 0s, "header \"omnibus\""},
      {"orders", plain, 30 * 24h + 1ns, "30 days"},
      {"orders", plain, Duration::max(), "30 days"},
  };
  for (const Case& each : cases) {
    CAPTURE(each.topic, each.part);
    const auto ending = publish(kafka, each.topic, each.message, each.delay);
    REQUIRE(ending.has_value());
    CHECK(ending->code == Errc::invalid_argument);
    CHECK_FALSE(ending->retryable);
    CHECK(ending->operation == "publish");
    CHECK(ending->context.find(each.part) != std::string::npos);
  }
  CHECK(kafka.health().detail == "not connected: nothing was published yet");
}

TEST_CASE("kafka: every message of a batch has its own ending") {
  Kafka kafka{{.endpoint = nowhere}};
  const Message plain = message_of("id", "key");
  int endings = 0;
  std::vector<Outgoing> batch;
  for (int i = 0; i < 3; ++i) {
    batch.push_back({plain.view(), {}, [&](const Result<Receipt>& result) {
                       if (!result) ++endings;
                     }});
  }
  kafka.submit("a:b", batch, {});
  CHECK(endings == 3);
}

TEST_CASE("kafka: what cannot be subscribed to is refused, and the error says why") {
  Kafka kafka{{.endpoint = nowhere}};
  const auto consume = [&](const SubscriptionSpec& what) {
    return [&kafka, what] { (void)kafka.consume(what); };
  };
  CHECK(throws_saying<std::invalid_argument>(consume(spec(std::string(231, 'x'), "g")),
                                             "topic has more than 230 characters"));
  CHECK(throws_saying<std::invalid_argument>(consume(spec("a:b", "g")), "':'"));
  CHECK(throws_saying<std::invalid_argument>(consume(spec("orders", "", Order::relaxed)), "relaxed"));
  CHECK_NOTHROW(consume(spec(std::string(230, 'x'), "g"))());
  CHECK_NOTHROW(consume(spec("orders", "", Order::strict))());
  CHECK_NOTHROW(consume(spec("orders", "g", Order::relaxed))());
}

TEST_CASE("kafka: what it can do") {
  constexpr Capabilities can = Kafka::capabilities;
  CHECK(can.name == "kafka");
  CHECK(can.durable);
  CHECK(can.shared);
  CHECK(can.groups);
  CHECK(can.redelivers);
  CHECK(can.ordered_by_key);
  CHECK(can.retains);
  CHECK(can.delays);
  CHECK(can.replay_by_position);
  CHECK(can.replay_by_time);
  CHECK_FALSE(can.counts_attempts);
  CHECK(can.transactions);
}

TEST_CASE("kafka: a publish that no broker takes in time ends as unavailable, and health says it") {
  Kafka kafka{{.endpoint = nowhere}};
  const Message plain = message_of("id", "key", "payload");
  Watched<std::optional<Errc>> ending;
  Outgoing one{plain.view(), {}, [&](const Result<Receipt>& result) {
                 ending.change([&](auto& code) { code = result ? Errc::internal : result.error().code; });
               }};
  kafka.submit("orders", {&one, 1}, {.timeout = 300ms, .wait_for_room = false});
  CHECK(ending.wait([](const auto& code) { return code.has_value(); }));
  CHECK(ending.get() == Errc::unavailable);
  CHECK_FALSE(kafka.health().ok);
  CHECK(kafka.health().detail.find("connect to Kafka") != std::string::npos);
}

TEST_CASE("kafka: a password of PLAIN goes over the network only through TLS, or when that is wanted") {
  Kafka::Config config{.endpoint = "broker:9092", .sasl = {"PLAIN", "ann", "secret"}};
  CHECK(refusal(config).find("whoever listens") != std::string::npos);
  config.sasl.allow_plaintext = true;
  CHECK(refusal(config).empty());
  config.sasl.allow_plaintext = false;
  config.tls.on = true;
  CHECK(refusal(config).empty());
  CHECK(refusal({.endpoint = "localhost", .sasl = {"PLAIN", "ann", "secret"}}).empty());
  CHECK(refusal({.endpoint = "broker:1", .sasl = {"SCRAM-SHA-512", "ann", "secret"}}).empty());
}

TEST_CASE("kafka: the log of librdkafka goes to the observer, and no secret with it") {
  struct Listener {
    Watched<std::vector<std::string>> lines;
    void log(LogLevel level, std::string_view line) {
      lines.change([&](auto& all) {
        if (level == LogLevel::debug) all.emplace_back(line);
      });
    }
  } listener;
  {
    EventBus<Kafka, Listener> bus{{.endpoint = nowhere,
                                   .sasl = {"PLAIN", "ann", "s3cr3t"},
                                   .properties = {{"debug", "conf"}, {"client.id", "id-s3cr3t-x"}}},
                                  listener};
    bus.publish_async("orders", std::string{"m"}, [](const Result<Receipt>&) {}, {.timeout = 1ms});
    CHECK(listener.lines.wait([](const auto& all) {
      for (const std::string& line : all) {
        if (line.find("id-***-x") != std::string::npos) return true;
      }
      return false;
    }));
    (void)bus.close(0s);
  }
  for (const std::string& line : listener.lines.get()) {
    CHECK(line.find("s3cr3t") == std::string::npos);
  }
}
