// SPDX-License-Identifier: MIT
#include "catch.hpp"
#include "chaos.hpp"
#include "load.hpp"

// The broker says no, or is not there: what callers are told, and when.

namespace {

using namespace chaos;

TEST_CASE("a wrong password is told at once, and never shown") {
  Case f{"wrong password"};
  const auto topic = f.topic();
  auto config = f.config();
  config.endpoint = endpoint_with(":guest@", ":s3cret-wrong@");
  ChaosBus bus{config};
  const HealthWatch watch{bus};
  const auto subscription = bus.subscribe(topic, [](const ob::Delivery&) {});
  for (int i = 0; i < 2; ++i) {
    const auto asked = Clock::now();
    const auto result = bus.publish(topic, message("1", "k"));
    CHECK(Clock::now() - asked < 6s);
    REQUIRE_FALSE(result);
    INFO(result.error().message());
    CHECK(result.error().code == ob::Errc::access_denied);
    CHECK_FALSE(mentions(result.error().message(), "s3cret"));
    CHECK(mentions(result.error().message(), "password"));
  }
  eventually(
      f, [&] { return mentions(subscription.health().problem, "password"); },
      "the subscription to say what is wrong");
  CHECK_FALSE(bus.health().ok);
  CHECK_FALSE(mentions(watch.words_of(), "s3cret"));
}

TEST_CASE("an unknown vhost is named, and used as soon as it is there") {
  Case f{"unknown vhost"};
  const auto topic = f.topic();
  const std::string vhost = "v" + topic;
  auto config = f.config();
  config.endpoint += vhost;
  ChaosBus bus{config};
  Inbox inbox;
  const auto subscription = bus.subscribe(topic, inbox.handler());
  const auto asked = Clock::now();
  const auto result = bus.publish(topic, message("1", "k"));
  CHECK(Clock::now() - asked < 6s);
  REQUIRE_FALSE(result);
  INFO(result.error().message());
  CHECK((result.error().code == ob::Errc::not_found ||
         result.error().code == ob::Errc::access_denied));
  CHECK(mentions(result.error().message(), vhost));
  eventually(
      f, [&] { return mentions(subscription.health().problem, vhost); },
      "the subscription to name the vhost");
  const std::string name = "<<\"" + vhost + "\">>";
  const std::string all = "<<\".*\">>";
  broker_eval("rabbit_vhost:add(" + name +
              ", <<\"test\">>), rabbit_auth_backend_internal:set_permissions(<<\"guest\">>, " +
              name + ", " + all + ", " + all + ", " + all + ", <<\"test\">>).");
  registered(f, subscription);
  eventually(
      f, [&] { return bus.publish(topic, message("2", "k")).has_value(); }, "a publish to work");
  inbox.wait_for(f, "2");
}

TEST_CASE("what a user may not do is denied, and what he may do goes on") {
  Case f{"permissions"};
  const auto mine = f.topic(), theirs = f.topic(), readable = f.topic();
  const std::string user = "u" + mine;
  const std::string name = "<<\"" + user + "\">>";
  const auto pattern = [](const std::string& text) { return "<<\"^(" + text + ").*$\">>"; };
  // Configure, write, read. Nothing of `readable` may be written, nothing of `theirs` declared.
  broker_eval("rabbit_auth_backend_internal:add_user(" + name +
              ", <<\"s3cret\">>, <<\"test\">>), rabbit_auth_backend_internal:set_permissions(" +
              name + ", <<\"/\">>, " + pattern(mine + "|" + readable) + ", " + pattern(mine) +
              ", " + pattern(mine + "|" + readable) + ", <<\"test\">>).");
  auto config = f.config();
  config.endpoint = endpoint_with("guest:guest@", user + ":s3cret@");
  ChaosBus bus{config};
  Inbox inbox;
  const auto subscription = bus.subscribe(mine, inbox.handler());
  const auto denied = bus.subscribe(theirs, inbox.handler());
  registered(f, subscription);
  const HealthWatch watch{bus};
  for (const std::string& topic : {theirs, readable}) {
    const auto asked = Clock::now();
    const auto result = bus.publish(topic, message("no", "k"));
    CHECK(Clock::now() - asked < 5s);
    REQUIRE_FALSE(result);
    INFO(result.error().message());
    CHECK(result.error().code == ob::Errc::access_denied);
    CHECK_FALSE(mentions(result.error().message(), "s3cret"));
    send(f, bus, mine, "after " + topic, "k");
    inbox.wait_for(f, "after " + topic);
  }
  eventually(
      f, [&] { return mentions(denied.health().problem, "access_denied"); }, "health to say it");
  CHECK(mentions(denied.health().problem, theirs));
  CHECK(subscription.health().ok);
}

TEST_CASE("a topic that others declared with another number of shards is a mismatch") {
  Case f{"other shards"};
  const auto topic = f.topic();
  ChaosBus bus{f.config()};
  Inbox inbox;
  const auto subscription = bus.subscribe(topic, inbox.handler());
  registered(f, subscription);
  auto config = f.config();
  config.shards = 7;
  ChaosBus other{config};
  const auto asked = Clock::now();
  const auto result = other.publish(topic, message("1", "k"));
  CHECK(Clock::now() - asked < 5s);
  REQUIRE_FALSE(result);
  INFO(result.error().message());
  CHECK(result.error().code == ob::Errc::topology_mismatch);
  send(f, bus, topic, "2", "k");
  inbox.wait_for(f, "2");
}

TEST_CASE("while the port is closed publishes end as unavailable, at their timeout") {
  Case f{"port closed"};
  const auto topic = f.topic();
  ChaosBus bus{f.config()}, idle{f.config()};
  Inbox inbox;
  const auto subscription = bus.subscribe(topic, inbox.handler());
  registered(f, subscription);
  send(f, bus, topic, "before", "k");
  const HealthWatch watch{bus};
  AtEnd running{"start rabbitmq"};
  ctl("stop rabbitmq");
  for (ChaosBus* each : {&bus, &idle}) {  // one that was connected, and one that never was
    const auto asked = Clock::now();
    const auto result = each->publish(topic, message("lost", "k"), {.timeout = 1s});
    const auto took = Clock::now() - asked;
    REQUIRE_FALSE(result);
    INFO(result.error().message());
    CHECK(result.error().code == ob::Errc::unavailable);
    CHECK(result.error().retryable);
    CHECK(took >= 1s);
    CHECK(took < 3s);
    CHECK_FALSE(each->backend().health().ok);
  }
  eventually(
      f, [&] { return mentions(subscription.health().problem, "is the broker running"); },
      "the subscription to help");
  {
    ChaosBus leaving{f.config()};
    const auto ending = std::make_shared<Endings>(1);
    leaving.publish_async(topic, message("lost", "k"), Endings::completion(ending, 0));
    const auto asked = Clock::now();
    CHECK_FALSE(leaving.close(500ms).has_value());
    CHECK(Clock::now() - asked < 3s);
    ending->wait(f);
    REQUIRE_FALSE(*ending->results[0]);
    CHECK(ending->results[0]->error().code == ob::Errc::closed);
  }
  auto late = std::make_shared<Endings>(2);  // asked for while it is closed, sent when it is open
  bus.publish_async(topic, message("late", "k"), Endings::completion(late, 0), {.timeout = 60s});
  idle.publish_async(topic, message("later", "k"), Endings::completion(late, 1), {.timeout = 60s});
  running.run();
  late->wait(f);
  for (const auto& each : late->results) {
    if (!*each) FAIL(each->error().message());
  }
  healthy(f, bus);
  inbox.wait_for(f, "late");
  inbox.wait_for(f, "later");
  CHECK(inbox.times("lost") == 0);
}

}  // namespace
