// SPDX-License-Identifier: MIT
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "certificates.hpp"
#include "chaos.hpp"

// amqps:// on the real broker, which gets one more port for each case, and asks for a certificate.

namespace {

using namespace chaos;
using Tls = ob::RabbitMqTls;

/// A port of the broker with TLS, open until the case ends, for those whom `ca` vouches for.
class TlsPort {
 public:
  explicit TlsPort(const Certificates& with) {
    std::string said;
    for (int tries = 0; tries < 3; ++tries) {  // what is free may be taken a moment later
      port_ = std::to_string(free_port());
      const std::string place = "{\"127.0.0.1\", " + port_ + "}";
      close_.emplace("exec rabbitmq rabbitmqctl -q eval 'rabbit_networking:stop_tcp_listener(" +
                     place + ").'");
      said = broker_eval("rabbit_networking:start_ssl_listener(" + place + ", [{cacertfile,\"" +
                         with.file("ca.pem") + "\"},{certfile,\"" + with.file("server.pem") +
                         "\"},{keyfile,\"" + with.file("server.key") +
                         "\"},{verify,verify_peer},{fail_if_no_peer_cert,true}], 1).");
      if (said == "ok\n") return;
      close_->forget();
    }
    violated("the broker opens no port with TLS: ", said);
  }

  /// Its URL, for a host and a password.
  std::string at(const std::string& host, const std::string& password) const {
    return "amqps://guest:" + password + "@" + host + ":" + port_ + "/";
  }

 private:
  std::string port_;
  std::optional<AtEnd> close_;
};

struct TlsCase : Case {
  using Case::Case;
  Certificates made;
  TlsPort port{made};

  /// What makes a connection to localhost.
  Tls good() const {
    return {made.file("ca.pem"), made.file("client.pem"), made.file("client.key")};
  }
  Backend::Config config(std::string endpoint, Tls tls) const {
    auto made_of = Broker::config();
    made_of.endpoint = std::move(endpoint);
    made_of.tls = std::move(tls);
    return made_of;
  }
};

TEST_CASE("over TLS, with a certificate, messages of every size go through", "[tls]") {
  TlsCase f{"TLS"};
  const auto topic = f.topic();
  ChaosBus bus{f.config(f.port.at("localhost", "guest"), f.good())};
  Inbox inbox;
  const auto subscription = bus.subscribe(topic, inbox.handler());
  registered(f, subscription);
  std::vector<ob::Message> messages;
  // None; one byte; what fits in one frame of 128 KiB, and what does not; many frames.
  for (const std::size_t size : {0u, 1u, 131'064u, 131'065u, 1u << 20}) {
    std::string body(size, '\0');
    for (std::size_t i = 0; i < size; ++i) body[i] = static_cast<char>((i * 31 + size) % 251);
    messages.push_back(message(std::move(body), "k"));
    messages.back().headers.add("size", std::to_string(size));
  }
  send(f, bus, topic, messages);
  inbox.wait_for(f, messages.size());
  const auto got = inbox.all();
  REQUIRE(got.size() == messages.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    INFO("message " << i);
    CHECK((got[i].message.payload == messages[i].payload));  // not shown: it is long
    CHECK(got[i].message.headers.get("size") == messages[i].headers.get("size"));
  }
  send(f, bus, topic, "later", "k", {.delay = 50ms});
  inbox.wait_for(f, "later");
  // That it was TLS is what the broker says, too.
  CHECK(mentions(rabbitmqctl("list_connections ssl peer_cert_subject"), "CN=client"));
  CHECK(bus.close(f.deadline).has_value());
}

/// A configuration that does not connect, and what must be said of it.
struct Wrong {
  const char* what;
  std::string endpoint;
  Tls tls;
  ob::Errc code;
  std::vector<std::string> words;
};

void expect_told(TlsCase& f, const Wrong& wrong) {
  INFO(wrong.what);
  const auto topic = f.topic();
  ChaosBus bus{f.config(wrong.endpoint, wrong.tls)};
  const HealthWatch watch{bus};
  const auto subscription = bus.subscribe(topic, [](const ob::Delivery&) {});
  const auto asked = Clock::now();
  const auto result = bus.publish(topic, message("1", "k"), {.timeout = 3s});
  const auto took = Clock::now() - asked;
  REQUIRE_FALSE(result);
  const std::string told = result.error().message();
  INFO(told);
  CHECK(result.error().code == wrong.code);
  CHECK((took < 3s) == (wrong.code != ob::Errc::unavailable));  // what may pass is waited for
  for (const std::string& words : wrong.words) {
    REQUIRE(mentions(told, words));
    eventually(
        f, [&] { return mentions(subscription.health().problem, words); }, "health to say ", words);
  }
  CHECK_FALSE(bus.health().ok);
  const std::string all = told + watch.words_of() + subscription.health().problem;
  CHECK_FALSE(mentions(all, "s3cret"));
  const auto secrets = f.made.secrets();
  CHECK(secrets.size() > 5);
  for (const std::string& secret : secrets) CHECK_FALSE(mentions(all, secret));
}

TEST_CASE("over TLS, what is wrong is told, and no secret with it", "[tls]") {
  TlsCase f{"wrong TLS"};
  const std::string there = f.port.at("localhost", "s3cret");
  const std::string elsewhere = f.port.at("127.0.0.1", "s3cret");
  const std::string without = "amqps://guest:s3cret@localhost:" + std::to_string(broker_port());
  const auto file = [&](const char* name) { return f.made.file(name); };
  const auto with = [&, key = file("client.key")](const char* ca, const char* certificate) {
    return Tls{file(ca), file(certificate), key};
  };
  const Tls keyless{file("ca.pem"), file("client.pem"), file("no.key")};
  const Tls mixed{file("ca.pem"), file("client.pem"), file("server.key")};
  const Tls stranger{file("ca.pem"), file("stranger.pem"), file("stranger.key")};
  using enum ob::Errc;
  const Wrong wrongs[] = {
      {"another authority", there, with("ca2.pem", "client.pem"), access_denied, {".tls.ca"}},
      {"another host", elsewhere, f.good(), access_denied, {"127.0.0.1", "not for this host"}},
      {"another password", there, f.good(), access_denied, {"password"}},
      {"no ca", there, with("no.pem", "client.pem"), invalid_argument, {".tls.ca", "no.pem"}},
      {"no file", there, with("ca.pem", "no.pem"), invalid_argument, {".tls.cert", "no.pem"}},
      {"no key", there, keyless, invalid_argument, {".tls.key"}},
      {"another key", there, mixed, invalid_argument, {".tls.key"}},
      {"no certificate", there, {file("ca.pem")}, unavailable, {".tls.certificate"}},
      {"a stranger", there, stranger, unavailable, {"amqps://localhost:"}},
      {"no TLS there", without, f.good(), unavailable, {"amqps://localhost:"}},
  };
  for (const Wrong& each : wrongs) expect_told(f, each);
}

}  // namespace
