// SPDX-License-Identifier: MIT
#include "catch.hpp"
#include "chaos.hpp"
#include "load.hpp"

// The server says no, or is not there: what callers are told, when, and that it passes.

namespace {

using namespace chaos;

/// Publishes once; returns the refusal, which comes at once.
ob::Error refused(ChaosBus& bus, const std::string& topic, std::string payload = "no") {
  const auto asked = Clock::now();
  const auto result = bus.publish(topic, message(std::move(payload), "k"));
  CHECK(Clock::now() - asked < 6s);
  REQUIRE_FALSE(result);
  return result.error();
}

TEST_CASE("a server demoted to a replica takes nothing, says so, and is used again afterwards") {
  Case f{"demoted"};
  const auto topic = f.topic();
  Ledger ledger;
  ChaosBus bus{f.config()};
  const auto subscription = bus.subscribe(topic, ledger.handler(), {.concurrency = 4});
  registered(f, subscription);
  Load load{f, bus, topic, {.timeout = 30s}};
  load.wait_for_more(300);
  const HealthWatch watch{bus};
  AtEnd master{"exec redis redis-cli replicaof no one"};
  redis_sets("replicaof 127.0.0.1 " + std::to_string(free_port()));
  eventually(
      f, [&] { return watch.said("READONLY") && watch.publishing_red() && watch.subscription_red(); },
      "both to say it");
  const auto demoted = Clock::now();
  eventually(
      f, [&] { return Clock::now() - demoted > 3s; }, "some time to pass");
  master.run();
  const auto promoted = Clock::now();
  figure("demoted: first ok ", seconds(load.first_ok_after(promoted) - promoted),
         " s after it is a master again");
  healthy(f, bus);
  load.wait_for_more(300);
  const auto sent = load.finish();
  figure("demoted: ", kinds_of(sent));
  expect_ok_handled(f, sent, ledger);
  expect_failed_absent(sent, ledger);
  CHECK(ledger.problem() == "");
}

TEST_CASE("a wrong password is told at once, never shown, and forgotten when it is right") {
  Case f{"wrong password"};
  const auto topic = f.topic();
  const std::string user = "u" + topic;
  AtEnd gone{"exec redis redis-cli acl deluser " + user};
  redis_sets("acl setuser " + user + " on '>another' '~*' '&*' +@all");
  auto config = f.config();
  config.endpoint = endpoint_of(user, "s3cret-wrong");
  ChaosBus bus{config};
  const HealthWatch watch{bus};
  Inbox inbox;
  const auto subscription = bus.subscribe(topic, inbox.handler());
  for (int i = 0; i < 2; ++i) {
    const ob::Error error = refused(bus, topic);
    INFO(error.message());
    CHECK(error.code == ob::Errc::access_denied);
    CHECK_FALSE(mentions(error.message(), "s3cret"));
    CHECK(mentions(error.message(), "password"));
  }
  eventually(
      f, [&] { return mentions(subscription.health().problem, "password"); },
      "the subscription to say what is wrong");
  redis_sets("acl setuser " + user + " '>s3cret-wrong'");
  registered(f, subscription);
  eventually(
      f, [&] { return bus.publish(topic, message("right", "k")).has_value(); }, "a publish to work");
  inbox.wait_for(f, "right");

  // And the other way round: a user who is switched off loses his connections.
  redis_sets("acl setuser " + user + " off");
  redis_cli("client kill user " + user);
  CHECK(refused(bus, topic).code == ob::Errc::access_denied);
  eventually(
      f, [&] { return !subscription.health().ok; }, "the subscription to be red");
  redis_sets("acl setuser " + user + " on");
  registered(f, subscription);
  eventually(
      f, [&] { return bus.publish(topic, message("on", "k")).has_value(); }, "a publish to work");
  inbox.wait_for(f, "on");
  CHECK(inbox.times("no") == 0);
  CHECK_FALSE(mentions(watch.words_of(), "s3cret"));
}

TEST_CASE("what a user may not do is denied, and what he may do goes on") {
  Case f{"permissions"};
  const auto mine = f.topic(), theirs = f.topic();
  const std::string user = "u" + mine;
  AtEnd gone{"exec redis redis-cli acl deluser " + user};
  redis_sets("acl setuser " + user + " on '>s3cret' '~{" + mine + "}*' +@all");
  auto config = f.config();
  config.endpoint = endpoint_of(user, "s3cret");
  ChaosBus bus{config};
  Inbox inbox;
  const auto subscription = bus.subscribe(mine, inbox.handler());
  const auto denied = bus.subscribe(theirs, inbox.handler());
  registered(f, subscription);
  for (int i = 0; i < 2; ++i) {
    const ob::Error error = refused(bus, theirs);
    INFO(error.message());
    CHECK(error.code == ob::Errc::access_denied);
    const std::string after = "after " + std::to_string(i);
    send(f, bus, mine, after, "k");
    inbox.wait_for(f, after);
  }
  eventually(
      f, [&] { return mentions(denied.health().problem, "access_denied"); }, "health to say it");
  CHECK(mentions(denied.health().problem, theirs));
  CHECK(subscription.health().ok);
}

TEST_CASE("a key of another type is named, and passed as soon as it is gone") {
  Case f{"another type"};
  const auto topic = f.topic(), other = f.topic();
  for (int shard = 0; shard < shards; ++shard) redis_sets("set " + stream_of(topic, shard) + " x");
  ChaosBus bus{f.config()};
  Inbox inbox;
  const auto subscription = bus.subscribe(topic, inbox.handler());
  const auto sound = bus.subscribe(other, inbox.handler());
  registered(f, sound);
  for (int i = 0; i < 2; ++i) {
    const ob::Error error = refused(bus, topic);
    INFO(error.message());
    CHECK(error.code == ob::Errc::topology_mismatch);
    const std::string after = "after " + std::to_string(i);
    send(f, bus, other, after, "k");
    inbox.wait_for(f, after);
  }
  eventually(
      f, [&] { return mentions(subscription.health().problem, "WRONGTYPE"); }, "health to say it");
  for (int shard = 0; shard < shards; ++shard) redis_cli("del " + stream_of(topic, shard));
  registered(f, subscription);
  send(f, bus, topic, "right", "k");
  inbox.wait_for(f, "right");
  CHECK(inbox.times("no") == 0);
}

TEST_CASE("while the port is closed publishes end as unavailable, at their timeout") {
  Case f{"port closed"};
  const auto topic = f.topic();
  ChaosBus bus{f.config()}, idle{f.config()};
  Inbox inbox;
  const auto subscription = bus.subscribe(topic, inbox.handler());
  registered(f, subscription);
  send(f, bus, topic, "before", "k");
  AtEnd running{"start redis"};
  ctl("stop redis");
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
      f, [&] { return mentions(subscription.health().problem, "is the server running"); },
      "the subscription to help");
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
