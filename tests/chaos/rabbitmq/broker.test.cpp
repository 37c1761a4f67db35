// SPDX-License-Identifier: MIT
#include <future>

#include "catch.hpp"
#include "chaos.hpp"
#include "load.hpp"
#include "order.hpp"

// The broker dies, freezes, closes its connections or takes no messages.

namespace {

using namespace chaos;

TEST_CASE("kill -9 of the broker under load loses nothing that was ok and keeps the order") {
  Case f{"kill -9"};
  const auto topic = f.topic();
  History history{false};  // what is sent again after a lost confirm does not say so
  ChaosBus bus{f.config()};
  const auto subscription = bus.subscribe(topic, told(history, 1), {.concurrency = 4});
  registered(f, subscription);
  Load load{f, bus, topic};
  load.wait_for_more(500);
  const HealthWatch watch{bus};
  AtEnd running{"start rabbitmq"};
  ctl("kill rabbitmq");
  eventually(
      f, [&] { return watch.publishing_red() && watch.subscription_red(); }, "both to be red");
  CHECK_FALSE(bus.health().ok);
  CHECK_FALSE(subscription.health().ok);
  CHECK_FALSE(subscription.health().problem.empty());
  const PortWatch port{broker_port()};
  ctl("start rabbitmq");
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

/// A bus with a topic to which it has published with a delay, seconds ago.
struct Delaying {
  Case& f;
  const std::string topic = f.topic();
  const std::vector<ob::Message> promised = numbered(20);
  Inbox inbox;
  std::optional<ChaosBus> bus;
  std::optional<ob::Subscription> subscription;

  explicit Delaying(Case& given) : f{given} { begin(); }
  void begin() {
    bus.emplace(f.config());
    subscription.emplace(bus->subscribe(topic, inbox.handler()));
    registered(f, *subscription);
  }
  void again() {
    const std::size_t before = inbox.size();
    send(f, *bus, topic, "again and again", "k", {.delay = 500ms});
    inbox.wait(
        f, [&](const auto& got) { return got.size() > before; }, "a delayed message");
  }
};

TEST_CASE("delayed messages survive kill -9 of the broker") {
  Case f{"delayed messages"};
  Delaying living{f}, dying{f};
  // RabbitMQ 3.10 loses what is in a queue that is declared less than three seconds before.
  for (const auto begin = Clock::now(); Clock::now() - begin < 4s;) {
    living.again();
    dying.again();
  }
  send(f, *living.bus, living.topic, living.promised, {.delay = 500ms});
  send(f, *dying.bus, dying.topic, dying.promised, {.delay = 500ms});
  AtEnd running{"start rabbitmq"};
  ctl("kill rabbitmq");
  dying.subscription.reset();
  dying.bus.reset();
  running.run();
  dying.begin();
  for (Delaying* each : {&living, &dying}) {  // nobody touches the queues that delay
    for (const auto& message : each->promised) each->inbox.wait_for(f, message.payload);
  }
}

TEST_CASE("a frozen broker is noticed, and what happens then is unknown or ok, never failed") {
  Case f{"frozen broker"};
  const auto topic = f.topic();
  Ledger ledger;
  auto config = f.config();
  config.heartbeat = 2s;
  ChaosBus bus{config};
  const auto subscription = bus.subscribe(topic, ledger.handler(), {.concurrency = 4});
  registered(f, subscription);
  Load load{f, bus, topic, {.timeout = 3s}};
  load.wait_for_more(500);
  const HealthWatch watch{bus};
  AtEnd running{"resume rabbitmq"};
  ctl("pause rabbitmq");
  const auto paused = Clock::now();
  eventually(
      f, [&] { return watch.publishing_red() && watch.subscription_red(); }, "both to be red");
  figure("frozen, heartbeat 2 s: publishing red after ", seconds(*watch.publishing_red() - paused),
         " s, subscription after ", seconds(*watch.subscription_red() - paused), " s");
  CHECK(*watch.publishing_red() - paused < 10s);
  CHECK(*watch.subscription_red() - paused < 10s);
  running.run();
  const auto resumed = Clock::now();
  figure("frozen: first ok ", seconds(load.first_ok_after(resumed) - resumed),
         " s after the broker goes on");
  healthy(f, bus);
  load.wait_for_more(500);
  const auto sent = load.finish();
  figure("frozen: ", kinds_of(sent));
  for (const auto& each : sent) {
    if (each.ending) continue;
    const auto code = each.ending.error().code;
    INFO(each.ending.error().message());
    CHECK((code == ob::Errc::outcome_unknown || code == ob::Errc::unavailable));
  }
  expect_ok_handled(f, sent, ledger);
  expect_failed_absent(sent, ledger);
  CHECK(ledger.problem() == "");
}

TEST_CASE("a bus can be closed while the broker is frozen, in time and with an ending for all") {
  Case f{"close while frozen"};
  const auto topic = f.topic();
  auto config = f.config();
  config.connect_timeout = 2s;
  auto bus = std::make_unique<ChaosBus>(config);
  auto newcomer = std::make_unique<ChaosBus>(config);  // connects while the broker is frozen
  Inbox inbox;
  Clock::time_point begin;
  {
    const auto subscription = bus->subscribe(topic, inbox.handler());
    registered(f, subscription);
    send(f, *bus, topic, "before", "k");
    inbox.wait_for(f, "before");
    AtEnd running{"resume rabbitmq"};
    ctl("pause rabbitmq");
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

TEST_CASE("all connections closed by the server, again and again, under load") {
  Case f{"connections closed"};
  const auto topic = f.topic();
  History history{false};
  ChaosBus bus{f.config()};
  const auto subscription = bus.subscribe(topic, told(history, 1), {.concurrency = 4});
  registered(f, subscription);
  Load load{f, bus, topic};
  load.wait_for_more(200);
  const HealthWatch watch{bus};
  for (int turn = 1; turn <= 2; ++turn) {
    rabbitmqctl("close_all_connections chaos");
    eventually(
        f, [&] { return watch.subscription_turns() >= turn; }, "the subscription to be red");
    healthy(f, bus);
    load.wait_for_more(200);
  }
  CHECK(watch.publishing_red());
  CHECK(watch.said("chaos"));
  const auto sent = load.finish();
  expect_all_ok(sent);
  history.wait_for(f, sent.size());
  history.check();
  figure("connections closed: ", history.handled_again(), " handled again of ", sent.size());
}

TEST_CASE("a memory alarm holds publishers up, says so, and leaves consumers alone") {
  Case f{"memory alarm"};
  const auto topic = f.topic(), backlog = f.topic();
  Inbox inbox, rest;
  Gate gate;
  auto config = f.config();
  config.publish_window = 16;
  ChaosBus bus{config};
  const auto old = bus.subscribe(
      backlog,
      [&](const ob::Delivery& delivery) {
        gate.pass();
        rest.add(delivery);
      },
      {.window = 64});
  const Opener at_end{gate};
  const auto subscription = bus.subscribe(topic, inbox.handler());
  registered(f, old);
  registered(f, subscription);
  const auto before = numbered(3000, 10);  // more than the broker hands out unacknowledged
  send(f, bus, backlog, before);
  send(f, bus, topic, "before", "k");

  AtEnd calm{"exec rabbitmq rabbitmqctl -q set_vm_memory_high_watermark 0.95"};
  rabbitmqctl("set_vm_memory_high_watermark 0.000001");
  const auto endings = std::make_shared<Endings>(16);
  for (std::size_t i = 0; i < 16; ++i) {
    bus.publish_async(topic, message("held " + std::to_string(i), "k"),
                      Endings::completion(endings, i), {.timeout = 50s});
  }
  eventually(
      f, [&] { return !bus.backend().health().ok; }, "publishing to be red");
  CHECK(bus.health().detail.find("takes no messages") != std::string::npos);
  const auto asked = Clock::now();
  const auto refused = bus.publish(topic, message("refused", "k"), {.wait_for_room = false});
  CHECK(Clock::now() - asked < 1s);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ob::Errc::window_full);
  CHECK(refused.error().context.find("takes no messages") != std::string::npos);
  auto patient = std::async(std::launch::async, [&] {
    return bus.publish(topic, message("patient", "k"), {.timeout = 50s});
  });
  gate.open();  // consumers go on, and so do their acknowledgements
  rest.wait_for(f, before.size());
  drained(f, old);
  {
    std::lock_guard lock{endings->mutex};
    CHECK(endings->ended == 0);
  }
  CHECK(patient.wait_for(0s) == std::future_status::timeout);

  calm.run();
  endings->wait(f);
  for (const auto& each : endings->results) CHECK(each->has_value());
  CHECK(patient.get().has_value());
  healthy(f, bus);
  inbox.wait_for(f, "patient");
  CHECK(inbox.size() == 18);
  CHECK(inbox.times("refused") == 0);
}

TEST_CASE("a handler may run for many heartbeats") {
  Case f{"long handler"};
  const auto topic = f.topic();
  auto config = f.config();
  config.heartbeat = 1s;
  ChaosBus bus{config};
  Inbox inbox;
  const auto subscription = bus.subscribe(
      topic,
      [&](const ob::Delivery& delivery) {
        if (delivery.payload() == "long") {
          const auto end = Clock::now() + 4s;
          std::mutex mutex;
          std::condition_variable nobody;
          std::unique_lock lock{mutex};
          while (Clock::now() < end) nobody.wait_until(lock, end);
        }
        inbox.add(delivery);
      });
  registered(f, subscription);
  const HealthWatch watch{bus};
  send(f, bus, topic, {message("long", "k"), message("next", "k")});
  inbox.wait_for(f, "next");
  drained(f, subscription);
  CHECK(inbox.payloads() == std::vector<std::string>{"long", "next"});
  CHECK(inbox.all().front().attempt == 1);
  INFO(watch.words_of());
  CHECK_FALSE(watch.subscription_red());
  // What was acknowledged does not come again on another connection.
  Inbox later;
  ChaosBus other{f.config()};
  (void)subscription.health();
  const auto heir = other.subscribe(topic, later.handler());
  registered(f, heir);
  send(f, bus, topic, "last", "k");
  eventually(
      f, [&] { return inbox.times("last") + later.times("last") == 1; }, "the last message");
  CHECK(inbox.size() + later.size() == 3);
}

}  // namespace
