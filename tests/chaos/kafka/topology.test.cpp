// SPDX-License-Identifier: MIT
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "catch.hpp"
#include "chaos.hpp"
#include "load.hpp"
#include "raw.hpp"

// What stands on the broker goes away, is missing, is smaller than thought, or is somebody else's.

namespace {

using namespace chaos;

TEST_CASE("a topic deleted under its consumer is noticed, said, and made again") {
  Case f{"topic deleted"};
  const auto topic = f.topic();
  ChaosBus bus{f.config()};
  Inbox inbox;
  const auto subscription = bus.subscribe(topic, inbox.handler());
  registered(f, subscription);
  send(f, bus, topic, numbered(50, 10));
  inbox.wait_for(f, 50);
  drained(f, subscription);
  const HealthWatch watch{bus};
  Raw{}.delete_topic(topic);
  const auto deleted = Clock::now();
  eventually(
      f, [&] { return watch.subscription_red().has_value(); }, "the subscription to be red");
  INFO(watch.words_of());
  CHECK(watch.said(topic));
  CHECK(watch.said("not_found"));
  healthy(f, bus);
  const auto well = Clock::now();
  const auto sent = numbered(200, 40);
  send(f, bus, topic, sent);
  inbox.wait_for(f, sent.size() + 50);
  figure("topic deleted: red after ", seconds(*watch.subscription_red() - deleted),
         " s, well again after ", seconds(well - deleted), " s, all handled after ",
         seconds(Clock::now() - deleted), " s");
  drained(f, subscription);
  CHECK(inbox.size() == sent.size() + 50);
  CHECK(watch.subscription_turns() <= 3);
}

TEST_CASE("a topic deleted and made again at once loses nothing of what is published later") {
  Case f{"topic made again"};
  constexpr int partitions = 4, before = 12, after = 400;
  // Whether the group notices before it commits what is of the old log is chance.
  for (int round = 0; round < 4; ++round) {
    const auto topic = f.topic();
    Raw raw;
    raw.create_topic(topic, partitions);
    auto config = f.config();
    config.create_topics = false;
    config.commit_interval = 20ms;  // before anybody has noticed
    ChaosBus one{config}, other{config};
    Gate gate;
    Inbox inbox;
    const auto handler = [&](const ob::Delivery& delivery) {
      if (delivery.payload() == "slow") gate.pass();
      inbox.add(delivery);
    };
    const auto first = one.subscribe(topic, handler), second = other.subscribe(topic, handler);
    registered(f, first);
    registered(f, second);
    const Committed committed{"g", topic, partitions};
    const auto all_committed = [&] { return committed.ask() == raw.ends(topic, partitions); };
    for (int i = 0; i < before; ++i) raw.produce(topic, i % partitions, std::to_string(i), "old");
    inbox.wait_for(f, before);
    eventually(f, all_committed, "what was handled to be committed");
    // What is under way now is of the old log, and ends when there is another one under its name.
    for (int i = 0; i < partitions; ++i) raw.produce(topic, i, std::to_string(i), "slow");
    gate.wait_for(f, 1);
    raw.delete_topic(topic);
    raw.create_topic(topic, partitions);
    const auto made = Clock::now();
    const std::vector<std::int64_t> nothing(partitions, -1);
    eventually(f, [&] { return committed.ask() == nothing; }, "the broker to forget what was committed");
    gate.open();
    Raw publisher;
    for (int i = 0; i < after; ++i) {
      const std::string key = std::to_string(i), payload = "new " + key;
      publisher.produce(topic, i % partitions, key, payload);
    }
    for (int i = 0; i < after; ++i) inbox.wait_for(f, "new " + std::to_string(i));
    figure("topic made again: all handled after ", seconds(Clock::now() - made), " s");
    eventually(f, all_committed, "what was handled to be committed");
  }
}

TEST_CASE("a topic deleted under its publisher is made again, and no ending is a lie") {
  Case f{"topic deleted, publisher"};
  const auto topic = f.topic();
  ChaosBus bus{f.config()};
  Load load{f, bus, topic};
  load.wait_for_more(200);
  Raw{}.delete_topic(topic);
  const auto deleted = Clock::now();
  const auto first = load.first_ok_after(deleted + 1s);
  load.wait_for_more(200);
  const auto sent = load.finish();
  figure("topic deleted under a publisher: ", kinds_of(sent), "; ok again ",
         seconds(first - deleted), " s after");
  expect_all_ok(sent);
}

TEST_CASE("what is published as soon as its topic is there is stored when it is said to be") {
  Case f{"new topics"};
  constexpr int partitions = 8;
  constexpr std::size_t topics = 40, each = 60;
  ChaosBus bus{f.config()};
  Raw raw;
  std::size_t unknown = 0;
  for (std::size_t i = 0; i < topics; ++i) {
    const auto topic = f.topic();
    raw.create_topic(topic, partitions);
    std::mutex mutex;
    std::vector<ob::Result<ob::Receipt>> endings;
    for (std::size_t number = 0; number < each; ++number) {
      bus.publish_async(topic, message("x", "k" + std::to_string(number)), [&](auto ending) {
        std::lock_guard lock{mutex};
        endings.push_back(std::move(ending));
      });
      // So that a second batch is on its way behind the first.
      for (const auto begin = Clock::now(); Clock::now() - begin < 100us;) {
      }
    }
    REQUIRE(bus.flush(60s));
    std::lock_guard lock{mutex};
    std::int64_t ok = 0, doubtful = 0;
    for (const auto& ending : endings) {
      if (!ending) INFO(ending.error().message());
      REQUIRE((ending || ending.error().code == ob::Errc::outcome_unknown));
      ++(ending ? ok : doubtful);
    }
    unknown += static_cast<std::size_t>(doubtful);
    std::int64_t stored = 0;
    for (const std::int64_t end : raw.ends(topic, partitions)) stored += end;
    CHECK(stored >= ok);
    CHECK(stored <= ok + doubtful);
  }
  figure("new topics: ", unknown, " unknown of ", topics * each);
}

TEST_CASE("where no topics are made, one that is missing is not found until it is there") {
  Case f{"topic missing"};
  const auto topic = f.topic();
  auto config = f.config();
  config.create_topics = false;
  ChaosBus bus{config};
  const HealthWatch watch{bus};
  Inbox inbox;
  const auto subscription = bus.subscribe(topic, inbox.handler());
  const auto asked = Clock::now();
  const auto result = bus.publish(topic, message("lost", "k"));
  REQUIRE_FALSE(result);
  INFO(result.error().message());
  CHECK(Clock::now() - asked < 5s);
  CHECK(result.error().code == ob::Errc::not_found);
  CHECK(mentions(result.error().message(), topic));
  eventually(
      f, [&] { return watch.said("not_found"); }, "health to say it");
  Raw raw;
  raw.create_topic(topic, 2);
  registered(f, subscription);
  eventually(
      f, [&] { return bus.publish(topic, message("1", "k")).has_value(); }, "a publish to work");
  inbox.wait_for(f, "1");
  raw.delete_topic(topic);
  eventually(
      f, [&] { return !subscription.health().ok; }, "the subscription to be red again");
  CHECK(inbox.times("lost") == 0);
}

TEST_CASE("more replicas than there are brokers is an error that says so") {
  Case f{"replicas"};
  const auto topic = f.topic();
  auto config = f.config();
  config.replicas = 3;
  ChaosBus bus{config};
  const auto asked = Clock::now();
  const auto result = bus.publish(topic, message("1", "k"));
  CHECK(Clock::now() - asked < 5s);
  REQUIRE_FALSE(result);
  INFO(result.error().message());
  CHECK(result.error().code == ob::Errc::topology_mismatch);
  CHECK(mentions(result.error().message(), "replic"));
  CHECK(mentions(result.error().message(), topic));
  const auto subscription = bus.subscribe(topic, [](const ob::Delivery&) {});
  eventually(
      f, [&] { return mentions(subscription.health().problem, "replic"); }, "health to say it");
}

TEST_CASE("what is too large for the broker is refused, and nothing else") {
  Case f{"too large"};
  const auto topic = f.topic();
  Raw{}.create_topic(topic, 2, -1, {{"max.message.bytes", "100000"}});
  auto config = f.config();
  config.properties = {{"batch.size", "90000"}};  // below it: see the case after this one
  ChaosBus bus{config};
  History history{false};
  std::atomic<std::size_t> large = 0;
  const auto subscription = bus.subscribe(
      topic,
      [&](const ob::Delivery& delivery) -> ob::Result<> {
        if (delivery.payload().size() > 100'000) ++large;
        history.begin(1, delivery);
        history.end(1, delivery, true);
        return {};
      },
      {.concurrency = 4});
  registered(f, subscription);
  std::vector<ob::Message> sent;
  std::set<std::size_t> hostile;
  for (std::size_t i = 0; i < 300; ++i) {
    if (i == 0 || i == 150 || i == 151 || i == 298) {
      hostile.insert(sent.size());
      sent.push_back(message(std::string(150'000 + i, '9'), "key-0"));
    }
    sent.push_back(message(std::to_string(i / 3), "key-" + std::to_string(i % 3)));
  }
  const auto endings = try_send(f, bus, topic, sent);
  for (std::size_t i = 0; i < sent.size(); ++i) {
    if (!hostile.contains(i)) {
      if (!endings[i]) FAIL(i << ": " << endings[i].error().message());
    } else {
      REQUIRE_FALSE(endings[i]);
      INFO(endings[i].error().message());
      CHECK(endings[i].error().code == ob::Errc::too_large);
      CHECK(mentions(endings[i].error().message(), topic));
    }
  }
  history.wait_for(f, 300);
  history.check();
  CHECK(large == 0);
}

// The limit holds for what travels together, up to batch.size, and the broker refuses a batch whole.
TEST_CASE("small messages are not refused because they travel with others") {
  Case f{"batch too large"};
  const auto topic = f.topic();
  Raw{}.create_topic(topic, 1, -1, {{"max.message.bytes", "20000"}});
  auto config = f.config();
  config.linger = 100ms;  // so that they do travel together
  ChaosBus bus{config};
  Inbox inbox;
  const auto subscription = bus.subscribe(topic, inbox.handler());
  registered(f, subscription);
  std::vector<ob::Message> sent;
  for (int i = 0; i < 200; ++i) sent.push_back(message(std::to_string(i) + std::string(500, ' '), "k"));
  std::size_t refused = 0;
  std::string why;
  for (const auto& each : try_send(f, bus, topic, sent)) {
    if (each) continue;
    ++refused;
    why = each.error().message();
  }
  INFO(why);
  CHECK(refused == 0);
  inbox.wait_for(f, sent.size() - refused);
}

/// Notes what observers are told of a subscription.
struct Problems {
  void consumer(std::string_view, std::string_view, const ob::Error* problem) {
    std::lock_guard lock{mutex};
    if (problem != nullptr) told.push_back(*problem);
  }
  bool has(ob::Errc code) {
    std::lock_guard lock{mutex};
    return std::any_of(told.begin(), told.end(), [&](const auto& each) { return each.code == code; });
  }
  std::string words() {
    std::lock_guard lock{mutex};
    std::string all;
    for (const auto& each : told) all.append(each.message()).append("\n");
    return all;
  }
  std::mutex mutex;
  std::vector<ob::Error> told;
};

TEST_CASE("records deleted before they were read are a lost position, said once, and it goes on") {
  Case f{"offsets out of range"};
  const auto topic = f.topic();
  Raw raw;
  raw.create_topic(topic, 1);
  Inbox inbox;
  ChaosBus publisher{f.config()};
  {
    ChaosBus bus{f.config()};
    const auto subscription = bus.subscribe(topic, inbox.handler());
    send(f, publisher, topic, numbered(10));
    inbox.wait_for(f, 10);
    drained(f, subscription);
    REQUIRE(bus.close(20s).has_value());
  }
  send(f, publisher, topic, numbered(100));  // offsets 10 to 109
  raw.delete_records(topic, 0, 60);
  Problems problems;
  ob::EventBus<ob::Kafka, Problems> bus{f.config(), problems};
  Inbox rest;
  const auto subscription = bus.subscribe(topic, rest.handler());
  rest.wait_for(f, 50);
  drained(f, subscription);
  CHECK(rest.size() == 50);
  CHECK(rest.payloads().front() == "50");
  INFO(problems.words());
  CHECK(problems.has(ob::Errc::position_lost));
  CHECK(mentions(problems.words(), "offset 10"));
  CHECK(mentions(problems.words(), "60"));
  eventually(
      f, [&] { return subscription.health().ok; }, "it to be well");
  send(f, publisher, topic, "last");
  rest.wait_for(f, "last");
}

TEST_CASE("a reader without a group hears of what it lost, and goes on") {
  Case f{"reader out of range"};
  const auto topic = f.topic();
  Raw raw;
  raw.create_topic(topic, 1);
  ChaosBus publisher{f.config()};
  send(f, publisher, topic, numbered(100));
  raw.delete_records(topic, 0, 60);
  Problems problems;
  ob::EventBus<ob::Kafka, Problems> bus{f.config(""), problems};
  Inbox inbox;
  const auto subscription = bus.subscribe(topic, inbox.handler(), {.start = ob::at({20})});
  inbox.wait_for(f, 40);
  INFO(problems.words());
  CHECK(problems.has(ob::Errc::position_lost));
  CHECK(inbox.payloads().front() == "60");
}

}  // namespace
