// SPDX-License-Identifier: MIT
#include <string>
#include <vector>

#include "catch.hpp"
#include "chaos.hpp"
#include "raw.hpp"
#include "secure.hpp"

// What a user may not do, by the real broker's own rules (ACLs).

namespace {

using namespace chaos;

/// A user who may do everything with a topic or a group but for one thing.
struct Restricted : SecureCase {
  using SecureCase::SecureCase;
  ~Restricted() { raw.remove_rules(guest); }  // where there are rules, others may do only what these say

  Config config() const {
    auto config = sasl("PLAIN");
    config.sasl.user = guest;
    return config;
  }
  void forbid(rd_kafka_ResourceType_t kind, const std::string& name, rd_kafka_AclOperation_t what) {
    raw.add_rules(guest, {{kind, name, RD_KAFKA_ACL_OPERATION_ALL, RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW},
                          {kind, name, what, RD_KAFKA_ACL_PERMISSION_TYPE_DENY}});
  }
  Raw raw;
};

TEST_CASE("who may not write to a topic is told so, loses nothing, and writes to others", "[permission]") {
  Restricted f{"may not write"};
  const auto forbidden = f.topic(), allowed = f.topic();
  f.raw.create_topic(forbidden, 2);
  f.forbid(RD_KAFKA_RESOURCE_TOPIC, forbidden, RD_KAFKA_ACL_OPERATION_WRITE);
  ChaosBus bus{f.config()};
  for (int round = 0; round < 3; ++round) {
    const auto asked = Clock::now();
    const auto refused = bus.publish(forbidden, message("no", "k"));
    REQUIRE_FALSE(refused);
    const std::string told = refused.error().message();
    INFO(told);
    if (round == 0) figure("may not write: after ", seconds(Clock::now() - asked), " s: ", told);
    CHECK(refused.error().code == ob::Errc::access_denied);
    CHECK_FALSE(refused.error().retryable);
    CHECK(mentions(told, forbidden));
    CHECK(Clock::now() - asked < 5s);
    send(f, bus, allowed, "yes", "k");
  }
  CHECK(f.raw.ends(forbidden, 2) == std::vector<std::int64_t>{0, 0});
}

TEST_CASE("who may not make a topic is told so", "[permission]") {
  Restricted f{"may not create"};
  const auto topic = f.topic();
  f.forbid(RD_KAFKA_RESOURCE_TOPIC, topic, RD_KAFKA_ACL_OPERATION_CREATE);
  f.forbid(RD_KAFKA_RESOURCE_BROKER, "kafka-cluster", RD_KAFKA_ACL_OPERATION_CREATE);
  ChaosBus bus{f.config()};
  const auto refused = bus.publish(topic, message("no", "k"));
  REQUIRE_FALSE(refused);
  const std::string told = refused.error().message();
  figure("may not create: ", told);
  INFO(told);
  CHECK(refused.error().code == ob::Errc::access_denied);
  CHECK(mentions(told, topic));
  CHECK(mentions(told, "create"));
}

/// The subscription of one who may not do something says so; when it has left the group, those who may get
/// what stands there.
void expect_deaf(Restricted& f, const std::string& topic, const std::string& words) {
  {
    ChaosBus bus{f.config()};
    const HealthWatch watch{bus};
    Inbox inbox;
    const auto subscription = bus.subscribe(topic, inbox.handler());
    eventually(f, [&] { return watch.said("access_denied") && watch.said(words); }, "health to say ",
               words);
    figure("may not read: ", watch.words_of());
    CHECK_FALSE(subscription.health().ok);
    CHECK(inbox.size() == 0);
  }
  auto allowed = f.config();
  allowed.sasl.user = f.user;
  ChaosBus other{allowed};
  Inbox theirs;
  const auto works = other.subscribe(topic, theirs.handler());
  theirs.wait_for(f, 1);
}

TEST_CASE("who may not read a topic is told so, and what stands there waits for those who may",
          "[permission]") {
  Restricted f{"may not read"};
  const auto topic = f.topic();
  f.raw.create_topic(topic, 1);
  f.raw.produce(topic, 0, "k", "waits");
  f.forbid(RD_KAFKA_RESOURCE_TOPIC, topic, RD_KAFKA_ACL_OPERATION_READ);
  expect_deaf(f, topic, topic);
}

TEST_CASE("who may not be in a group is told so", "[permission]") {
  Restricted f{"may not join"};
  const auto topic = f.topic();
  f.raw.create_topic(topic, 1);
  f.raw.produce(topic, 0, "k", "waits");
  f.forbid(RD_KAFKA_RESOURCE_GROUP, f.config().group, RD_KAFKA_ACL_OPERATION_READ);
  expect_deaf(f, topic, "roup");
}

}  // namespace
