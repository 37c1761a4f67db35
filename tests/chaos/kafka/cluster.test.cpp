// SPDX-License-Identifier: MIT
#include <sstream>
#include <string>

#include "catch.hpp"
#include "chaos.hpp"
#include "load.hpp"
#include "order.hpp"
#include "raw.hpp"

// Three nodes, of which one dies: tests/brokers/with kafka3 -- chaos_kafka "[cluster]".

namespace {

using namespace chaos;

std::string node_of(std::int32_t id) { return "kafka" + std::to_string(id); }

/// The node that leads the controllers.
std::string controller() {
  const std::string told =
      ctl("exec kafka1 java org.apache.kafka.tools.MetadataQuorumCommand --bootstrap-server " +
          KafkaFixture::endpoint() + " describe --status");
  const std::string_view label = "LeaderId:";
  const auto at = told.find(label);
  if (at == std::string::npos) violated("no leader in: ", told);
  return node_of(std::stoi(told.substr(at + label.size())));
}

/// A node dies under load, and comes back.
template <class Choose>
void expect_survived(const char* what, Choose choose) {
  Case f{what};
  f.deadline = 100s;
  const auto topic = f.topic();
  Raw raw;
  raw.create_topic(topic, 4, 3);
  History history{false};
  ChaosBus bus{f.config()};
  const auto subscription = bus.subscribe(topic, told(history, 1), {.concurrency = 4});
  registered(f, subscription);
  Load load{f, bus, topic, {.timeout = 100s}};
  load.wait_for_more(500);
  CHECK(bus.backend().health().ok);
  CHECK_FALSE(mentions(bus.backend().health().detail, topic));  // three replicas are no worry
  const std::string node = choose(raw, topic);
  const HealthWatch watch{bus};
  AtEnd running{"start " + node};
  const auto killed = Clock::now();
  ctl("kill " + node);
  load.wait_for_more(2000);  // two nodes are enough
  const auto went_on = Clock::now();
  healthy(f, bus);
  figure(what, ": ", node, " killed; longest time without an ok ",
         seconds(load.longest_pause_after(killed)), " s, 2000 more after ", seconds(went_on - killed),
         " s; publishing was red: ", watch.publishing_red().has_value(),
         ", subscription: ", watch.subscription_red().has_value());
  running.run();
  load.wait_for_more(1000);
  const auto sent = load.finish();
  expect_all_ok(sent);
  history.wait_for(f, sent.size());
  history.check();
  healthy(f, bus);
  figure(what, ": ", kinds_of(sent), "; ", history.handled_again(), " handled again");
}

TEST_CASE("the leader of a partition dies under load, and nothing that was ok is lost",
          "[.cluster][cluster]") {
  expect_survived("cluster, leader killed",
                  [](Raw& raw, const std::string& topic) { return node_of(raw.leader_of(topic, 0)); });
}

TEST_CASE("the controller dies under load, and nothing that was ok is lost", "[.cluster][cluster]") {
  expect_survived("cluster, controller killed", [](Raw&, const std::string&) { return controller(); });
}

TEST_CASE("too few in-sync replicas: nothing is ok until there are enough, and then all is",
          "[.cluster][cluster]") {
  Case f{"in-sync replicas"};
  f.deadline = 100s;
  const auto topic = f.topic();
  Raw raw;
  raw.create_topic(topic, 1, 3, {{"min.insync.replicas", "3"}});
  ChaosBus bus{f.config()};
  Inbox inbox;
  const auto subscription = bus.subscribe(topic, inbox.handler());
  registered(f, subscription);
  send(f, bus, topic, "before", "k");
  const std::string node = node_of(raw.leader_of(topic, 0) % 3 + 1);  // one that does not lead
  AtEnd running{"start " + node};
  ctl("kill " + node);
  const auto refused = bus.publish(topic, message("refused", "k"), {.timeout = 10s});
  REQUIRE_FALSE(refused);
  INFO(refused.error().message());
  CHECK((refused.error().code == ob::Errc::unavailable ||
         refused.error().code == ob::Errc::outcome_unknown));
  CHECK(mentions(refused.error().message(), "replicas"));
  const auto endings = std::make_shared<Endings>(100);
  for (std::size_t i = 0; i < 100; ++i) {
    bus.publish_async(topic, message(std::to_string(i), "k"), Endings::completion(endings, i),
                      {.timeout = 90s});
  }
  running.run();
  endings->wait(f);
  for (const auto& each : endings->results) {
    if (!*each) FAIL((*each).error().message());
  }
  inbox.wait_for(f, "99");
  auto payloads = inbox.payloads();
  std::erase(payloads, "refused");  // it may have been stored after all: it was unknown
  std::erase(payloads, "before");   // it may come again: its commit may have met the dead node
  std::vector<std::string> expected;
  for (int i = 0; i < 100; ++i) expected.push_back(std::to_string(i));
  CHECK(payloads == expected);
  figure("in-sync replicas: refused as: ", refused.error().message());
}

TEST_CASE("more replicas than there are brokers is an error that says so, in a cluster, too",
          "[.cluster][cluster]") {
  Case f{"replicas, cluster"};
  const auto topic = f.topic();
  auto config = f.config();
  config.replicas = 4;
  ChaosBus bus{config};
  const auto result = bus.publish(topic, message("1", "k"));
  REQUIRE_FALSE(result);
  INFO(result.error().message());
  CHECK(result.error().code == ob::Errc::topology_mismatch);
  CHECK(mentions(result.error().message(), "replic"));
}

}  // namespace
