// SPDX-License-Identifier: MIT
#include <cstddef>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <omnibus/backends/redis_pubsub.hpp>
#include <omnibus/backends/redis_tls.hpp>

#include "catch.hpp"
#include "certificates.hpp"
#include "chaos.hpp"
#include "load.hpp"

// rediss:// on the real server, which gets one more port for each case, and asks for a certificate.

namespace {

using namespace chaos;

/// A port of the server with TLS, open until the case ends, for those whom `ca` vouches for.
class TlsPort {
 public:
  explicit TlsPort(const Certificates& with) {
    const std::string files = "config set tls-ca-cert-file " + with.file("ca.pem") + " tls-cert-file " +
                              with.file("server.pem") + " tls-key-file " + with.file("server.key");
    redis_sets(files);
    std::string said;
    for (int tries = 0; tries < 3; ++tries) {  // what is free may be taken a moment later
      port_ = std::to_string(free_port());
      said = redis_cli("config set tls-port " + port_);
      if (said != "OK") continue;
      redis_sets(files);  // else it goes on with those of the case before
      return;
    }
    violated("the server opens no port with TLS: ", said);
  }
  std::string at(const std::string& host, const std::string& user = "") const {
    return "rediss://" + user + host + ":" + port_;
  }

 private:
  std::string port_;
  AtEnd close_{"exec redis redis-cli config set tls-port 0"};
};

struct TlsCase : Case {
  using Case::Case;
  Certificates made;
  TlsPort port{made};

  ob::RedisTls good() const {
    return {made.file("ca.pem"), made.file("client.pem"), made.file("client.key")};
  }
  Backend::Config config(std::string endpoint, const ob::RedisTls& tls) const {
    auto made_of = Broker::config();
    made_of.endpoint = std::move(endpoint);
    made_of.tls = ob::redis_tls(tls);
    made_of.connect_timeout = 2s;  // a server without TLS waits for the rest of a command
    return made_of;
  }
};

TEST_CASE("over TLS, with a certificate, messages of every size go through", "[tls]") {
  TlsCase f{"TLS"};
  const auto topic = f.topic();
  ChaosBus bus{f.config(f.port.at("localhost"), f.good())};
  Inbox inbox;
  const auto subscription = bus.subscribe(topic, inbox.handler());
  registered(f, subscription);
  std::vector<ob::Message> messages;
  // None; one byte; what fits in one record of 16 KiB, and what does not; more than a socket takes at once.
  for (const std::size_t size : {0u, 1u, 16'000u, 16'400u, 1u << 20}) {
    std::string body(size, '\0');
    for (std::size_t i = 0; i < size; ++i) body[i] = static_cast<char>((i * 31 + size) % 251);
    messages.push_back(message(std::move(body), "k"));
  }
  send(f, bus, topic, messages);
  inbox.wait_for(f, messages.size());
  const auto got = inbox.all();
  REQUIRE(got.size() == messages.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    INFO("message " << i);
    CHECK((got[i].message.payload == messages[i].payload));  // not shown: it is long
  }
  ob::EventBus<ob::RedisPubSub> channels{
      {.endpoint = f.port.at("localhost"), .tls = ob::redis_tls(f.good())}};
  Inbox heard;
  const auto listening = channels.subscribe(topic + ".news", heard.handler());
  registered(f, listening);
  channels.publish(topic + ".news", message("news", "k")).value();
  heard.wait_for(f, "news");
  CHECK(bus.close(f.deadline).has_value());
}

TEST_CASE("over TLS, under load, all connections are killed, and nothing is lost", "[tls]") {
  TlsCase f{"TLS, connections killed"};
  const auto topic = f.topic();
  ChaosBus bus{f.config(f.port.at("localhost"), f.good())};
  Ledger ledger;
  const auto subscription = bus.subscribe(topic, ledger.handler(), {.concurrency = 4});
  registered(f, subscription);
  Load load{f, bus, topic};
  for (int turn = 1; turn <= 3; ++turn) {
    load.wait_for_more(500);
    CHECK(std::stoi(redis_cli("client kill type normal skipme yes")) >= 2);
  }
  load.wait_for_more(500);
  const auto sent = load.finish();
  expect_all_ok(sent);
  expect_ok_handled(f, sent, ledger);
  CHECK(ledger.problem() == "");
}

/// A configuration that does not connect, and what must be said of it.
struct Wrong {
  const char* what;
  std::string endpoint;
  ob::RedisTls tls;
  ob::Errc code;
  std::vector<std::string> words;
};

void expect_told(TlsCase& f, const Wrong& wrong) {
  INFO(wrong.what);
  const auto topic = f.topic();
  ChaosBus bus{f.config(wrong.endpoint, wrong.tls)};
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
  CHECK_FALSE(mentions(told + subscription.health().problem, "s3cret"));
}

TEST_CASE("over TLS, what is wrong is told, and no secret with it", "[tls]") {
  TlsCase f{"wrong TLS"};
  const std::string user = "u" + f.topic();
  AtEnd gone{"exec redis redis-cli acl deluser " + user};
  redis_sets("acl setuser " + user + " on '>another' '~*' '&*' +@all");
  const std::string there = f.port.at("localhost");
  const std::string without = "rediss://localhost:" + std::to_string(broker_port());
  const auto file = [&](const char* name) { return f.made.file(name); };
  ob::RedisTls stranger_to_us = f.good();
  stranger_to_us.ca = file("ca2.pem");
  const ob::RedisTls stranger{file("ca.pem"), file("stranger.pem"), file("stranger.key")};
  using enum ob::Errc;
  const Wrong wrongs[] = {
      {"another authority", there, stranger_to_us, access_denied, {".ca"}},
      {"the system's authorities", there, {}, access_denied, {".ca"}},
      {"another host", f.port.at("127.0.0.1"), f.good(), access_denied, {"not for this host"}},
      {"another password", f.port.at("localhost", user + ":s3cret@"), f.good(), access_denied, {"password"}},
      {"no certificate", there, {file("ca.pem")}, unavailable, {"certificate"}},
      {"a stranger", there, stranger, unavailable, {"unknown ca"}},
      {"no TLS there", without, f.good(), unavailable, {"rediss://localhost:", "TLS"}},
  };
  for (const Wrong& each : wrongs) expect_told(f, each);
}

}  // namespace
