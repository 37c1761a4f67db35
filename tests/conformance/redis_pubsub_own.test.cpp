// SPDX-License-Identifier: MIT
#include <omnibus/backends/redis_pubsub.hpp>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <omnibus/event_bus.hpp>
#include <omnibus/middleware/sequenced.hpp>

#include "catch.hpp"
#include "redis_fixture.hpp"
#include "redis_raw.hpp"
#include "tools.hpp"

// What is particular to Redis Pub/Sub, on a real server: channels of others, patterns, what is missed, and
// what faults do to publishers.

namespace {

using namespace conformance;
using ob::RedisPubSub;

/// Writes down what consumers say.
struct Words : ob::NoObserver {
  mutable std::mutex mutex;
  std::vector<ob::Errc> problems;
  std::string text;

  void consumer(std::string_view, std::string_view, const ob::Error* problem) {
    std::lock_guard lock{mutex};
    text.append(problem == nullptr ? "well" : problem->message()).append("\n");
    if (problem != nullptr) problems.push_back(problem->code);
  }
  std::ptrdiff_t heard(ob::Errc code) const {
    std::lock_guard lock{mutex};
    return std::count(problems.begin(), problems.end(), code);
  }
  bool mentions(std::string_view words) const {
    std::lock_guard lock{mutex};
    return text.find(words) != std::string::npos;
  }
};

struct Setup {
  using Backend = RedisPubSub;
  std::chrono::milliseconds deadline = 30s;
  Raw raw;
  std::string topic = RedisStreamsFixture{}.topic();
  Words words;

  RedisPubSub::Config config() const {
    return {.endpoint = RedisStreamsFixture::endpoint(), .heartbeat = 2s};
  }
};
using ListeningBus = ob::EventBus<RedisPubSub, Words>;
using PlainBus = ob::EventBus<RedisPubSub>;

/// Publishes until a message comes, because one that is reconnecting hears nothing.
void until_it_flows(Setup& s, PlainBus& bus, const Inbox& inbox) {
  const std::string probe = "probe " + std::to_string(inbox.size());
  int asked = 0;
  eventually(
      s,
      [&] {
        if (asked++ % 50 == 0) (void)bus.publish(s.topic, message(probe, "k"), {.timeout = 1s});
        return inbox.times(probe) > 0;
      },
      "messages to flow again");
}

}  // namespace

TEST_CASE("what others publish is a raw delivery, and what we publish plainly is theirs") {
  Setup s;
  RedisPubSub::Config config = s.config();
  config.channels = {{.topic = "odd", .channel = s.topic + " {odd} \xFF"},
                     {.topic = "plain", .channel = s.topic, .plain = true}};
  PlainBus bus{config};
  Inbox inbox;
  Inbox odd;
  const auto subscription = bus.subscribe(s.topic, inbox.handler());
  const auto other = bus.subscribe("odd", odd.handler());
  registered(s, subscription);
  registered(s, other);
  const std::string bytes("no \0 text \xC1\n", 13);
  CHECK(s.raw({"PUBLISH", s.topic, bytes}) == "1");
  CHECK(s.raw({"PUBLISH", s.topic, ""}) == "1");
  inbox.wait(
      s, [](const auto& got) { return got.size() == 2; }, "both");
  const auto got = inbox.all();
  CHECK(got[0].message.payload == bytes);
  CHECK(got[0].message.id.empty());
  CHECK(got[0].message.type.empty());
  CHECK(got[0].topic == s.topic);
  CHECK(got[1].message.payload.empty());

  REQUIRE(bus.publish("plain", message("as it is", "k")));
  inbox.wait_for(s, "as it is");
  CHECK(inbox.all().back().message.key.empty());
  REQUIRE(bus.publish("odd", message("ours", "k")));
  odd.wait_for(s, "ours");
  CHECK(odd.all().back().message.key == "k");
  CHECK(odd.all().back().topic == "odd");
}

TEST_CASE("who listens to a pattern hears its channels, each by name") {
  Setup s;
  RedisPubSub::Config config = s.config();
  config.channels = {{.topic = "all", .pattern = s.topic + ".*"}};
  PlainBus bus{config};
  Inbox inbox;
  const auto subscription = bus.subscribe("all", inbox.handler());
  registered(s, subscription);
  REQUIRE(bus.publish(s.topic + ".a", message("1", "k")));
  REQUIRE(bus.publish(s.topic, message("not this", "k")));
  CHECK(s.raw({"PUBLISH", s.topic + ".b", "2"}) == "1");
  inbox.wait_for(s, "2");
  const auto got = inbox.all();
  REQUIRE(got.size() == 2);
  CHECK(got[0].topic == s.topic + ".a");
  CHECK(got[0].message.key == "k");
  CHECK(got[1].topic == s.topic + ".b");
  const auto refused = bus.publish("all", message("nowhere"));
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ob::Errc::invalid_argument);
}

TEST_CASE("a publish that must be heard says when nobody listens") {
  Setup s;
  RedisPubSub::Config config = s.config();
  config.must_be_heard = true;
  PlainBus bus{config};
  const auto unheard = bus.publish(s.topic, message("1"));
  REQUIRE_FALSE(unheard);
  CHECK(unheard.error().code == ob::Errc::unroutable);
  Inbox inbox;
  const auto subscription = bus.subscribe(s.topic, inbox.handler());
  registered(s, subscription);
  CHECK(bus.publish(s.topic, message("2")));
}

TEST_CASE("dead letters that must be heard wait for somebody who listens") {
  Setup s;
  RedisPubSub::Config config = s.config();
  config.must_be_heard = true;
  config.group = "g";
  PlainBus bus{config};
  std::atomic<int> calls{0};
  const auto subscription = bus.subscribe(s.topic, [&](const ob::Delivery&) -> ob::Result<> {
    ++calls;
    return ob::permanent("no");
  });
  registered(s, subscription);
  REQUIRE(bus.publish(s.topic, message("lost?", "k")));
  eventually(
      s, [&] { return subscription.stats().retried > 0; }, "a dead letter that nobody hears");
  Inbox dead;
  const auto burial = bus.subscribe(s.topic + ".g.dlq", dead.handler());
  dead.wait_for(s, "lost?");
  drained(s, subscription);
  CHECK(calls == 1);
  CHECK(subscription.stats().dead_lettered == 1);
}

TEST_CASE("a killed subscriber listens again, and reports what it may have missed") {
  Setup s;
  Inbox inbox;
  ListeningBus bus{s.config(), s.words};
  PlainBus publisher{s.config()};
  const auto subscription = bus.subscribe(s.topic, inbox.handler());
  registered(s, subscription);
  for (int i = 1; i <= 3; ++i) {
    until_it_flows(s, publisher, inbox);
    CHECK(s.raw({"CLIENT", "KILL", "TYPE", "pubsub"}) == "1");
    eventually(
        s, [&] { return s.words.heard(ob::Errc::position_lost) >= i; }, "the gap to be reported");
    registered(s, subscription);
  }
  until_it_flows(s, publisher, inbox);
  CHECK(s.words.heard(ob::Errc::position_lost) == 3);
  CHECK(s.words.heard(ob::Errc::unavailable) >= 3);
}

TEST_CASE("what a killed subscriber did not hear is counted by its numbers") {
  Setup s;
  Inbox inbox;
  ob::SequenceTracker tracker;
  ListeningBus bus{s.config(), s.words};
  PlainBus publisher{s.config(), {.numbered_keys = 10}};
  const auto subscription = bus.subscribe(s.topic, inbox.handler() | ob::sequenced(tracker));
  registered(s, subscription);
  const auto publish = [&](std::string payload) {
    REQUIRE(publisher.publish(s.topic, message(std::move(payload), "k")));
  };
  publish("first");
  inbox.wait_for(s, "first");
  // Killed as often as it takes for something to be missed: it listens again within a moment.
  eventually(
      s,
      [&] {
        CHECK(s.raw({"CLIENT", "KILL", "TYPE", "pubsub"}) != "");
        publish("missed, most likely");
        registered(s, subscription);
        publish("heard");
        return tracker.counts().missing > 0;
      },
      "a gap");
  until_it_flows(s, publisher, inbox);
  drained(s, subscription);
  const ob::SequenceCounts counts = tracker.counts();
  const std::uint64_t published = inbox.all().back().message.sequence.number + 1;
  CHECK(counts.missing == published - inbox.size());
  CHECK(counts.repeated == 0);
  CHECK(counts.stale == 0);
}

TEST_CASE("a subscriber too slow is disconnected by the server, and reports it") {
  Setup s;
  const Restore limit{s.raw, "client-output-buffer-limit"};
  REQUIRE(s.raw({"CONFIG", "SET", "client-output-buffer-limit", "pubsub 1mb 1mb 1"}) == "OK");
  Inbox inbox;
  Gate gate;
  ListeningBus bus{s.config(), s.words};
  PlainBus publisher{s.config()};
  const auto subscription = bus.subscribe(
      s.topic,
      [&](const ob::Delivery& delivery) {
        gate.pass();
        inbox.add(delivery);
      },
      {.window = 16});
  const Opener opener{gate};
  registered(s, subscription);
  // What lies in the sockets' buffers and in the server's is many times less than this.
  std::vector<ob::Message> sent;
  for (int i = 0; i < 400; ++i) {
    sent.push_back(message(std::to_string(i) + std::string(100'000, 'x'), "k"));
  }
  send(s, publisher, s.topic, sent);
  CHECK(s.words.heard(ob::Errc::position_lost) == 0);
  gate.open();
  eventually(
      s, [&] { return s.words.heard(ob::Errc::position_lost) == 1; }, "the gap to be reported");
  CHECK(s.words.mentions("client-output-buffer-limit"));
  until_it_flows(s, publisher, inbox);
  const auto got = inbox.payloads();
  CHECK(got.size() < 400);
  std::size_t next = 0;  // a beginning, whole and in order; then what came after the gap
  while (next < got.size() && got[next] == sent[next].payload) ++next;
  CHECK(next >= 16);
  CHECK(got[next].starts_with("probe"));
}

TEST_CASE("a handler that is slow for a while costs nothing that the server can keep") {
  Setup s;
  Inbox inbox;
  Gate gate;
  ListeningBus bus{s.config(), s.words};
  PlainBus publisher{s.config()};
  const auto subscription = bus.subscribe(
      s.topic,
      [&](const ob::Delivery& delivery) {
        gate.pass();
        inbox.add(delivery);
      },
      {.window = 16});
  const Opener opener{gate};
  registered(s, subscription);
  const auto sent = numbered(5000, 7);
  send(s, publisher, s.topic, sent);
  gate.open();
  inbox.wait_for(s, sent.size());
  expect_exactly(inbox, sent);
  CHECK(s.words.heard(ob::Errc::position_lost) == 0);
}

TEST_CASE("publishers that are killed send nothing twice, and lose nothing that was ok") {
  Setup s;
  Inbox inbox;
  PlainBus bus{s.config()};
  const auto subscription = bus.subscribe(s.topic, inbox.handler(), {.concurrency = 4});
  registered(s, subscription);
  PlainBus publisher{s.config()};
  constexpr std::size_t count = 5000;  // what the inbox does grows with the square
  const auto sent = numbered(count, 10);
  const auto ends = std::make_shared<Endings>(count);
  int killed = 0;
  for (std::size_t i = 0; i < count; ++i) {
    publisher.publish_async(s.topic, sent[i], Endings::completion(ends, i));
    if (i % 1000 != 999) continue;
    eventually(
        s,
        [&] {
          std::lock_guard lock{ends->mutex};
          return ends->ended > i - 999;
        },
        "some of them to end");
    // Of all connections but the subscriber's and this one's.
    killed += std::atoi(s.raw({"CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"}).c_str());
  }
  ends->wait(s);
  CHECK(killed > 0);
  std::lock_guard lock{ends->mutex};
  std::size_t ok = 0;
  std::size_t unknown = 0;
  for (const auto& each : ends->results) {
    ok += *each ? 1 : 0;
    unknown += !*each && (*each).error().code == ob::Errc::outcome_unknown ? 1 : 0;
  }
  CHECK(ok + unknown == count);
  CHECK(ok > 0);
  until_it_flows(s, publisher, inbox);
  drained(s, subscription);  // other keys may be behind
  std::vector<int> times(count);
  std::vector<std::size_t> last(10);
  for (const auto& each : inbox.all()) {
    if (each.message.payload.starts_with("probe")) continue;
    const std::size_t number = std::stoul(each.message.payload);
    ++times[number];
    CHECK(last[number % 10] <= number);  // in order within each key
    last[number % 10] = number;
  }
  for (std::size_t i = 0; i < count; ++i) {
    if (*ends->results[i] && times[i] != 1) FAIL(i << " was ok, and came " << times[i] << " times");
    if (times[i] > 1) FAIL(i << " came twice");
  }
}

TEST_CASE("a server that is frozen, and one that is killed") {
  const auto ctl = [](const std::string& arguments) {
    REQUIRE(std::system((OMNIBUS_CTL " " + arguments + " >&2").c_str()) == 0);
  };
  Setup s;
  Inbox inbox;
  ListeningBus bus{s.config(), s.words};
  PlainBus publisher{s.config()};
  const auto subscription = bus.subscribe(s.topic, inbox.handler());
  registered(s, subscription);
  until_it_flows(s, publisher, inbox);

  ctl("pause redis");
  const auto frozen = publisher.publish(s.topic, message("into the silence"), {.timeout = 500ms});
  eventually(
      s, [&] { return s.words.mentions("the server does not answer"); }, "the silence to be noticed");
  CHECK_FALSE(subscription.health().ok);
  ctl("resume redis");
  REQUIRE_FALSE(frozen);
  CHECK(frozen.error().code == ob::Errc::outcome_unknown);
  registered(s, subscription);
  until_it_flows(s, publisher, inbox);
  CHECK(s.words.heard(ob::Errc::position_lost) == 1);
  CHECK(inbox.times("into the silence") <= 1);

  ctl("kill redis");
  eventually(
      s, [&] { return !subscription.health().ok; }, "the death to be noticed");
  const auto dead = publisher.publish(s.topic, message("to nobody"), {.timeout = 500ms});
  REQUIRE_FALSE(dead);
  CHECK_FALSE(publisher.health().ok);
  // What is not written when the server dies may go later.
  std::optional<bool> waited;
  std::mutex mutex;
  publisher.publish_async(
      s.topic, message("patient"),
      [&](const ob::Result<ob::Receipt>& result) {
        std::lock_guard lock{mutex};
        waited = result.has_value();
      },
      {.timeout = 25s});
  ctl("start redis");
  eventually(
      s,
      [&] {
        std::lock_guard lock{mutex};
        return waited.has_value();
      },
      "an ending");
  CHECK(*waited);
  registered(s, subscription);
  until_it_flows(s, publisher, inbox);
  CHECK(s.words.heard(ob::Errc::position_lost) == 2);
}

TEST_CASE("who may not publish or listen is told so") {
  Setup s;
  REQUIRE(s.raw({"ACL", "SETUSER", "narrow", "on", ">canary", "resetchannels", "&" + s.topic,
                 "+@all"}) == "OK");
  RedisPubSub::Config config = s.config();
  config.endpoint.insert(std::string{"redis://"}.size(), "narrow:canary@");
  ListeningBus bus{config, s.words};
  REQUIRE(bus.publish(s.topic, message("1")));
  const auto refused = bus.publish(s.topic + ".other", message("2"));
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ob::Errc::access_denied);
  Inbox inbox;
  const auto subscription = bus.subscribe(s.topic + ".other", inbox.handler());
  eventually(
      s, [&] { return s.words.heard(ob::Errc::access_denied) > 0; }, "the refusal");
  CHECK_FALSE(s.words.mentions("canary"));
  CHECK(s.raw({"ACL", "DELUSER", "narrow"}) == "1");
  config.endpoint = RedisStreamsFixture::endpoint();
  config.endpoint.insert(std::string{"redis://"}.size(), "nobody:canary@");
  PlainBus wrong{config};
  const auto denied = wrong.publish(s.topic, message("3"), {.timeout = 20s});
  REQUIRE_FALSE(denied);
  CHECK(denied.error().code == ob::Errc::access_denied);
  CHECK(denied.error().message().find("canary") == std::string::npos);
}

TEST_CASE("what Redis Pub/Sub can never do is refused") {
  Setup s;
  CHECK_THROWS_AS(PlainBus{RedisPubSub::Config{.endpoint = "rediss://h"}}, std::invalid_argument);
  RedisPubSub::Config both = s.config();
  both.channels = {{.topic = "t", .channel = "c", .pattern = "p*"}};
  CHECK_THROWS_AS(PlainBus{both}, std::invalid_argument);
  RedisPubSub backend{s.config()};
  ob::SubscriptionSpec spec;
  spec.topic = s.topic;
  spec.start.from = ob::Start::From::time;
  CHECK_THROWS_AS((void)backend.consume(spec), std::invalid_argument);
  spec.start = {};
  spec.order = ob::Order::relaxed;
  CHECK_THROWS_AS((void)backend.consume(spec), std::invalid_argument);
  const ob::Message later = message("later");
  std::optional<ob::Errc> ended;
  ob::Outgoing outgoing{later.view(), 1s, [&](const ob::Result<ob::Receipt>& result) {
                          ended = result ? ob::Errc::internal : result.error().code;
                        }};
  backend.submit(s.topic, {&outgoing, 1}, {1s});
  CHECK(ended == ob::Errc::unsupported);
}
