// SPDX-License-Identifier: MIT
#include "catch.hpp"
#include "chaos.hpp"
#include "load.hpp"
#include "order.hpp"
#include "raw.hpp"

// The broker dies, freezes, or is not there.

namespace {

using namespace chaos;

TEST_CASE("kill -9 of the broker under load loses nothing that was ok and keeps the order") {
  Case f{"kill -9"};
  const auto topic = f.topic();
  History history{false};
  ChaosBus bus{f.config()};
  const auto subscription = bus.subscribe(topic, told(history, 1), {.concurrency = 4});
  registered(f, subscription);
  Load load{f, bus, topic};
  load.wait_for_more(500);
  const HealthWatch watch{bus};
  AtEnd running{"start kafka"};
  const auto killed = Clock::now();
  ctl("kill kafka");
  eventually(
      f, [&] { return watch.publishing_red() && watch.subscription_red(); }, "both to be red");
  figure("kill -9: publishing red after ", seconds(*watch.publishing_red() - killed),
         " s, subscription after ", seconds(*watch.subscription_red() - killed), " s");
  CHECK_FALSE(bus.health().ok);
  CHECK_FALSE(subscription.health().ok);
  CHECK_FALSE(subscription.health().problem.empty());
  const PortWatch port{broker_port()};
  ctl("start kafka");
  const auto started = Clock::now();
  running.forget();
  eventually(
      f, [&] { return port.accepted() != Clock::time_point::max(); }, "the port to accept");
  const auto first_ok = load.first_ok_after(port.accepted());
  healthy(f, bus);
  const auto green = Clock::now();
  load.wait_for_more(1000);
  const auto sent = load.finish();
  figure("kill -9: first ok ", seconds(first_ok - port.accepted()), " s after the port accepts, ",
         seconds(first_ok - started), " s after ctl start; all green ",
         seconds(green - port.accepted()), " s after it; ", kinds_of(sent));
  CHECK(first_ok - port.accepted() < 10s);
  expect_all_ok(sent);
  history.wait_for(f, sent.size());
  history.check();
  figure("kill -9: ", history.handled_again(), " handled again of ", sent.size());
}

TEST_CASE("delayed messages survive kill -9 of the broker and the end of their bus") {
  Case f{"delayed messages"};
  const auto topic = f.topic();
  const auto promised = numbered(20, 5);
  Inbox inbox;
  AtEnd running{"start kafka"};
  {
    ChaosBus bus{f.config()};
    const auto subscription = bus.subscribe(topic, inbox.handler());
    registered(f, subscription);
    send(f, bus, topic, "at once", "k", {.delay = 1ms});
    inbox.wait_for(f, "at once");
    send(f, bus, topic, promised, {.delay = 3s});
    ctl("kill kafka");
    CHECK_FALSE(bus.close(2s).has_value());
  }
  const std::size_t before = inbox.size();
  running.run();
  ChaosBus bus{f.config()};
  const auto subscription = bus.subscribe(topic, inbox.handler());
  inbox.wait_for(f, promised.size() + 1);
  drained(f, subscription);
  for (const auto& each : promised) CHECK(inbox.times(each.payload) == 1);
  CHECK(before == 1);
}

TEST_CASE("a frozen broker leaves publishes unknown at their deadline, and loses none that is ok") {
  Case f{"frozen broker"};
  const auto topic = f.topic();
  Ledger ledger;
  ChaosBus bus{f.config()};
  const auto subscription = bus.subscribe(topic, ledger.handler(), {.concurrency = 4});
  registered(f, subscription);
  Load load{f, bus, topic, {.timeout = 2s}};
  load.wait_for_more(500);
  AtEnd running{"resume kafka"};
  ctl("pause kafka");
  const auto paused = Clock::now();
  const auto asked = bus.publish(topic, message("0", "frozen"), {.timeout = 1s});
  const auto took = Clock::now() - paused;
  REQUIRE_FALSE(asked);
  INFO(asked.error().message());
  CHECK(asked.error().code == ob::Errc::outcome_unknown);
  CHECK(took < 3s);
  load.wait_for_unknown(200);
  running.run();
  const auto resumed = Clock::now();
  figure("frozen for ", seconds(resumed - paused), " s: first ok ",
         seconds(load.first_ok_after(resumed) - resumed), " s after the broker goes on");
  healthy(f, bus);
  load.wait_for_more(500);
  const auto sent = load.finish();
  figure("frozen: ", kinds_of(sent));
  for (const auto& each : sent) {
    if (each.ending) continue;
    INFO(each.ending.error().message());
    CHECK(each.ending.error().code == ob::Errc::outcome_unknown);
  }
  expect_ok_handled(f, sent, ledger);
  CHECK(ledger.problem() == "");
  figure("frozen: ", ledger.handled_again(), " handled again of ", sent.size());
}

TEST_CASE("a bus can be closed while the broker is frozen, in time and with an ending for all") {
  Case f{"close while frozen"};
  const auto topic = f.topic();
  auto bus = std::make_unique<ChaosBus>(f.config());
  auto newcomer = std::make_unique<ChaosBus>(f.config());  // connects while the broker is frozen
  Inbox inbox;
  Clock::time_point begin;
  {
    const auto subscription = bus->subscribe(topic, inbox.handler());
    registered(f, subscription);
    send(f, *bus, topic, "before", "k");
    inbox.wait_for(f, "before");
    AtEnd running{"resume kafka"};
    ctl("pause kafka");
    const auto endings = std::make_shared<Endings>(2);
    bus->publish_async(topic, message("1", "k"), Endings::completion(endings, 0));
    newcomer->publish_async(topic, message("2", "k"), Endings::completion(endings, 1));
    for (ChaosBus* each : {bus.get(), newcomer.get()}) {
      const auto asked = Clock::now();
      const auto closed = each->close(1s);
      REQUIRE_FALSE(closed);
      INFO(closed.error().message());
      CHECK(closed.error().context.find("handler") == std::string::npos);  // none runs
      figure("frozen: close(1s) took ", seconds(Clock::now() - asked), " s");
      CHECK(Clock::now() - asked < 5s);
    }
    const auto closed = Clock::now();
    endings->wait(f);
    CHECK(Clock::now() - closed < 3s);  // not at the timeouts of the publishes
    CHECK(endings->calls == std::vector<int>{1, 1});
    REQUIRE_FALSE(*endings->results[0]);
    CHECK(endings->results[0]->error().code == ob::Errc::outcome_unknown);
    REQUIRE_FALSE(*endings->results[1]);
    CHECK(endings->results[1]->error().code == ob::Errc::closed);
    begin = Clock::now();
  }
  bus.reset();
  newcomer.reset();
  CHECK(Clock::now() - begin < 5s);
}

TEST_CASE("while the port is closed publishes end as unavailable, at their timeout") {
  Case f{"port closed"};
  const auto topic = f.topic();
  ChaosBus bus{f.config()}, idle{f.config()};
  Inbox inbox;
  const auto subscription = bus.subscribe(topic, inbox.handler());
  registered(f, subscription);
  send(f, bus, topic, "before", "k");
  inbox.wait_for(f, "before");
  AtEnd running{"start kafka"};
  ctl("stop kafka");
  for (ChaosBus* each : {&bus, &idle}) {  // one that was connected, and one that never was
    const auto asked = Clock::now();
    const auto result = each->publish(topic, message("lost", "k"), {.timeout = 2s});
    const auto took = Clock::now() - asked;
    REQUIRE_FALSE(result);
    INFO(result.error().message());
    CHECK(result.error().code == ob::Errc::unavailable);
    CHECK(result.error().retryable);
    CHECK(took >= 2s);
    CHECK(took < 5s);
    CHECK_FALSE(each->backend().health().ok);
  }
  eventually(
      f, [&] { return !subscription.health().ok; }, "the subscription to be red");
  INFO(subscription.health().problem);
  CHECK(mentions(subscription.health().problem, "unavailable"));
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
  const auto there = Clock::now();
  late->wait(f);
  for (const auto& each : late->results) {
    if (!*each) FAIL(each->error().message());
  }
  healthy(f, bus);
  inbox.wait_for(f, "late");
  inbox.wait_for(f, "later");
  figure("broker back: everything works ", seconds(Clock::now() - there), " s after it answers");
  CHECK(inbox.times("lost") == 0);
}

TEST_CASE("that what is stored has one replica is said in health") {
  Case f{"one replica"};
  const auto topic = f.topic();
  ChaosBus bus{f.config()};
  send(f, bus, topic, "1", "k");
  const ob::Health health = bus.backend().health();
  INFO(health.detail);
  CHECK(health.ok);
  CHECK(mentions(health.detail, topic));
  CHECK(mentions(health.detail, "one in-sync replica"));
}

}  // namespace
