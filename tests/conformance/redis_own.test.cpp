// SPDX-License-Identifier: MIT
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <omnibus/event_bus.hpp>

#include "catch.hpp"
#include "redis_fixture.hpp"
#include "redis_raw.hpp"
#include "tools.hpp"

// What is particular to Redis, on a real server: streams of others, leases, deletions, bounds.

namespace {

using namespace conformance;
using ob::RedisStreams;

struct Setup {
  RedisStreamsFixture f{};
  Raw raw;
  std::string topic = f.topic();

  RedisStreams::Config config(std::string group = "g") const {
    return {.endpoint = f.endpoint(), .group = std::move(group), .lease = 1s};
  }
  std::string stream(int shard = 0) const { return "{" + topic + "}:" + std::to_string(shard); }
};

/// An intake under the test's control.
struct Hand final : ob::Intake {
  std::vector<ob::Incoming> got;
  std::vector<std::string> payloads;
  std::vector<ob::Errc> problems;
  bool well = false;

  std::size_t room() const noexcept override { return 100; }
  void deliver(const ob::Incoming& incoming) override {
    got.push_back(incoming);
    payloads.emplace_back(incoming.message->payload);
  }
  bool revoke(std::int32_t, ob::Instant) override { return true; }
  void report(const ob::Error* problem) override {
    well = problem == nullptr;
    if (problem != nullptr) problems.push_back(problem->code);
  }
  bool heard(ob::Errc code) const {
    return std::find(problems.begin(), problems.end(), code) != problems.end();
  }
};

/// Polls until something holds.
template <class Consumer>
void poll_until(Consumer& consumer, Hand& hand, const std::function<bool()>& holds) {
  const auto end = Clock::now() + 20s;
  while (!holds()) {
    REQUIRE(Clock::now() < end);
    consumer.poll(hand, Clock::now() + 20ms);
  }
}

ob::SubscriptionSpec spec_of(const Setup& setup, std::string group = "g") {
  ob::SubscriptionSpec spec;
  spec.topic = setup.topic;
  spec.group = std::move(group);
  return spec;
}

void publish_all(ob::EventBus<RedisStreams>& bus, const std::string& topic, std::size_t count) {
  const auto sent = numbered(count, 1);
  for (const auto& each : bus.publish_batch(topic, std::span<const ob::Message>{sent})) {
    REQUIRE(each);
  }
}

}  // namespace

TEST_CASE("a stream of somebody else is used as it is") {
  Setup setup;
  const std::string theirs = "their:" + setup.topic;
  setup.raw({"XADD", theirs, "*", "sensor", "7", "data", "21.5", "unit", "C"});
  RedisStreams::Config config = setup.config();
  config.existing = {{setup.topic, theirs, "data", "sensor"}};
  ob::EventBus<RedisStreams> bus{config};
  Inbox inbox;
  const auto subscription = bus.subscribe(setup.topic, inbox.handler());
  inbox.wait_for(setup.f, "21.5");
  const Got got = inbox.all().front();
  CHECK(got.message.key == "7");
  CHECK(got.message.headers.get("unit") == "C");
  CHECK(got.message.type.empty());
  REQUIRE(bus.publish(setup.topic, "from omnibus", {.key = "k", .headers = {{"trace", "4bf9"}}}));
  inbox.wait_for(setup.f, "from omnibus");
  const std::string read = setup.raw({"XRANGE", theirs, "-", "+"});
  CHECK(read.find("key k h.trace 4bf9 payload from omnibus") != std::string::npos);
  eventually(
      setup.f,
      [&] { return setup.raw({"XPENDING", theirs, "g"}).starts_with("0 "); },
      "everything to be acknowledged");
}

TEST_CASE("an owner that was stopped for longer than its lease can acknowledge nothing") {
  Setup setup;
  RedisStreams::Config config = setup.config();
  config.shards = 1;
  RedisStreams one{config}, two{config};
  Hand first, second;
  auto stalled = one.consume(spec_of(setup));
  poll_until(stalled, first, [&] { return first.well; });
  setup.raw({"XADD", setup.stream(), "*", "payload", "a"});
  poll_until(stalled, first, [&] { return first.got.size() == 1; });
  // From here on the first member does nothing, until the second one has its shard.
  auto heir = two.consume(spec_of(setup));
  poll_until(heir, second, [&] { return second.got.size() == 1; });
  CHECK(second.got[0].attempts == 1);
  CHECK(second.got[0].position == first.got[0].position);
  const ob::Settlement done{first.got[0].token};
  stalled.settle({&done, 1});
  setup.raw({"XADD", setup.stream(), "*", "payload", "b"});
  poll_until(heir, second, [&] { return second.got.size() == 2; });
  stalled.poll(first, Clock::now() + 200ms);
  CHECK(first.got.size() == 1);  // nor read
  CHECK(setup.raw({"XPENDING", setup.stream(), "g"}).starts_with("2 "));
  for (const auto& each : second.got) {
    const ob::Settlement settled{each.token};
    heir.settle({&settled, 1});
  }
  REQUIRE(heir.close(Clock::now() + 5s));
  CHECK(setup.raw({"XPENDING", setup.stream(), "g"}).starts_with("0 "));
}

TEST_CASE("a stream or a group that was deleted is made again, and it is said") {
  Setup setup;
  RedisStreams::Config config = setup.config();
  config.shards = 1;
  RedisStreams backend{config};
  Hand hand;
  auto consumer = backend.consume(spec_of(setup));
  poll_until(consumer, hand, [&] { return hand.well; });
  setup.raw({"XADD", setup.stream(), "*", "payload", "a"});
  poll_until(consumer, hand, [&] { return hand.got.size() == 1; });
  setup.raw({"XGROUP", "DESTROY", setup.stream(), "g"});
  poll_until(consumer, hand, [&] { return hand.got.size() == 2; });
  CHECK(hand.heard(ob::Errc::position_lost));
  CHECK(hand.payloads.back() == "a");  // from the beginning
  hand.problems.clear();
  setup.raw({"DEL", setup.stream()});
  poll_until(consumer, hand, [&] { return hand.heard(ob::Errc::position_lost); });
  setup.raw({"XADD", setup.stream(), "*", "payload", "b"});
  poll_until(consumer, hand, [&] { return hand.payloads.back() == "b"; });
  setup.raw({"FLUSHDB"});
  setup.raw({"XADD", setup.stream(), "*", "payload", "c"});
  poll_until(consumer, hand, [&] { return hand.payloads.back() == "c" && hand.well; });
}

TEST_CASE("another number of shards is refused") {
  Setup setup;
  ob::EventBus<RedisStreams> bus{setup.config()};
  REQUIRE(bus.publish(setup.topic, "x"));
  RedisStreams::Config other = setup.config();
  other.shards = 8;
  ob::EventBus<RedisStreams> wrong{other};
  const auto result = wrong.publish(setup.topic, "x");
  REQUIRE_FALSE(result);
  CHECK(result.error().code == ob::Errc::topology_mismatch);
  RedisStreams backend{other};
  Hand hand;
  auto consumer = backend.consume(spec_of(setup));
  poll_until(consumer, hand, [&] { return hand.heard(ob::Errc::topology_mismatch); });
}

TEST_CASE("refusals of the server are told apart") {
  Setup setup;
  RedisStreams::Config config = setup.config();
  config.shards = 1;
  ob::EventBus<RedisStreams> bus{config};
  setup.raw({"SET", setup.stream(), "no stream"});
  const auto wrong_type = bus.publish(setup.topic, "x");
  REQUIRE_FALSE(wrong_type);
  CHECK(wrong_type.error().code == ob::Errc::topology_mismatch);
  setup.raw({"DEL", setup.stream()});
  REQUIRE(bus.publish(setup.topic, "x"));
  setup.raw({"CONFIG", "SET", "maxmemory", "1"});
  const auto full = bus.publish(setup.topic, "x");
  setup.raw({"CONFIG", "SET", "maxmemory", "0"});
  REQUIRE_FALSE(full);
  CHECK(full.error().code == ob::Errc::rejected);
  CHECK(full.error().retryable);
  REQUIRE(bus.publish(setup.topic, "x"));
  ob::EventBus<RedisStreams> stranger{
      {.endpoint = "redis://nobody:canary@" + RedisStreamsFixture::endpoint().substr(8)}};
  const auto denied = stranger.publish(setup.topic, "x");
  REQUIRE_FALSE(denied);
  CHECK(denied.error().code == ob::Errc::access_denied);
  CHECK(denied.error().message().find("canary") == std::string::npos);
}

TEST_CASE("an atomic batch that the server refuses in any way leaves nothing") {
  Setup setup;
  RedisStreams::Config config = setup.config();
  config.shards = 1;
  ob::EventBus<RedisStreams> bus{config};
  const std::string other = setup.f.topic();
  const std::string stream_of_other = "{" + other + "}:0";
  const auto publish = [&](std::size_t more = 0) -> std::string {
    ob::MessageBatch batch;
    batch.add(setup.topic, "first").value();
    batch.add(other, "second").value();
    for (std::size_t i = 0; i < more; ++i) batch.add(setup.topic, std::string(1000, 'x')).value();
    const auto result = bus.publish_atomic(batch);
    if (result) return "ok";
    return std::string{to_string(result.error().code)} + (result.error().retryable ? ", retryable" : "");
  };
  const auto lengths = [&] {
    return setup.raw({"XLEN", setup.stream()}) + " " + setup.raw({"XLEN", stream_of_other});
  };
  REQUIRE(publish() == "ok");

  setup.raw({"DEL", stream_of_other});
  setup.raw({"SET", stream_of_other, "no stream"});
  CHECK(publish() == "topology_mismatch");
  CHECK(setup.raw({"XLEN", setup.stream()}) == "1");

  // What nobody can know before: no id is left for the second message.
  setup.raw({"DEL", stream_of_other});
  setup.raw({"XADD", stream_of_other, "18446744073709551615-18446744073709551615", "a", "b"});
  CHECK(publish() == "rejected");
  CHECK(lengths() == "1 1");

  setup.raw({"DEL", stream_of_other});
  setup.raw({"CONFIG", "SET", "maxmemory", "1"});
  const std::string full = publish();
  setup.raw({"CONFIG", "SET", "maxmemory", "0"});
  CHECK(full == "rejected, retryable");
  CHECK(lengths() == "1 0");

  CHECK(publish(8191) == "too_large");  // than the publish window
  CHECK(publish(8190) == "ok");
  CHECK(lengths() == "8192 1");
}

TEST_CASE("an atomic batch is refused where one of its topics has another number of shards") {
  Setup setup;
  const std::string other = setup.f.topic();
  {
    ob::EventBus<RedisStreams> bus{setup.config()};
    REQUIRE(bus.publish(other, "x"));
  }
  RedisStreams::Config config = setup.config();
  config.shards = 8;
  ob::EventBus<RedisStreams> bus{config};
  ob::MessageBatch batch;
  batch.add(setup.topic, "first", {.key = "k"}).value();
  batch.add(other, "second", {.key = "k"}).value();
  for (int i = 0; i < 2; ++i) {
    const auto result = bus.publish_atomic(batch);
    REQUIRE_FALSE(result);
    CHECK(result.error().code == ob::Errc::topology_mismatch);
  }
  CHECK(setup.raw({"KEYS", "{" + setup.topic + "}:[0-9]"}).empty());
  REQUIRE(bus.publish(setup.topic, "x"));  // the others go on
}

TEST_CASE("an atomic batch counts when enough replicas have it") {
  Setup setup;
  RedisStreams::Config config = setup.config();
  config.replicas = 1;  // there is none
  config.replica_timeout = 10ms;
  ob::EventBus<RedisStreams> bus{config};
  ob::MessageBatch batch;
  batch.add(setup.topic, "first").value();
  batch.add(setup.topic, "second").value();
  const auto result = bus.publish_atomic(batch);
  REQUIRE_FALSE(result);
  CHECK(result.error().code == ob::Errc::outcome_unknown);
}

TEST_CASE("an atomic batch is sent again when its connection is killed, whole and in its order") {
  Setup setup;
  RedisStreams::Config config = setup.config();
  config.shards = 1;
  ob::EventBus<RedisStreams> bus{config};
  constexpr std::size_t batches = 300;
  for (std::size_t i = 0; i < batches; ++i) {
    ob::MessageBatch batch;
    for (int k = 0; k < 3; ++k) batch.add(setup.topic, std::to_string(i), {.key = "k"}).value();
    if (i % 20 == 10) setup.raw({"CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"});
    const auto result = bus.publish_atomic(batch);
    INFO((result ? "" : result.error().message()));
    REQUIRE(result);
  }
  Inbox inbox;
  const auto subscription = bus.subscribe(setup.topic, inbox.handler());
  inbox.wait_for(setup.f, batches * 3);
  drained(setup.f, subscription);
  const auto got = inbox.payloads();
  REQUIRE(got.size() % 3 == 0);  // a batch may be there twice, as a whole
  for (std::size_t i = 0; i < got.size(); i += 3) {
    CHECK((got[i] == got[i + 1] && got[i] == got[i + 2]));
  }
}

TEST_CASE("health says what the server's word is worth, and WAIT asks for more") {
  Setup setup;
  setup.raw({"CONFIG", "SET", "appendonly", "no"});
  ob::EventBus<RedisStreams> bus{setup.config()};
  REQUIRE(bus.publish(setup.topic, "x"));
  CHECK(bus.health().ok);
  CHECK(bus.health().detail.find("appendonly is off") != std::string::npos);
  setup.raw({"CONFIG", "SET", "appendonly", "yes"});
  RedisStreams::Config config = setup.config();
  config.replicas = 1;
  config.replica_timeout = 20ms;
  ob::EventBus<RedisStreams> careful{config};
  const auto alone = careful.publish(setup.topic, "x");
  REQUIRE_FALSE(alone);
  CHECK(alone.error().code == ob::Errc::outcome_unknown);
}

TEST_CASE("trimming removes what every group has finished, and nothing else") {
  Setup setup;
  RedisStreams::Config config = setup.config();
  config.shards = 1;
  config.trim = true;
  ob::EventBus<RedisStreams> bus{config};
  Inbox inbox;
  Gate gate;
  const auto fast = bus.subscribe(setup.topic, inbox.handler());
  const auto slow = bus.subscribe(
      setup.topic,
      [&](const ob::Delivery& delivery) {
        if (delivery.payload() == "1500") gate.pass();
      },
      {.group = "slow", .window = 4096});
  const Opener at_end{gate};
  publish_all(bus, setup.topic, 2000);
  inbox.wait_for(setup.f, 2000);
  gate.wait_for(setup.f, 1);
  eventually(
      setup.f, [&] { return std::stoi(setup.raw({"XLEN", setup.stream()})) < 1000; }, "trimming");
  CHECK(std::stoi(setup.raw({"XLEN", setup.stream()})) >= 500);
  gate.open();
  eventually(
      setup.f, [&] { return std::stoi(setup.raw({"XLEN", setup.stream()})) < 200; }, "trimming");
}

TEST_CASE("what a bound drops unread is reported") {
  Setup setup;
  RedisStreams::Config config = setup.config();
  config.shards = 1;
  config.shard_bound = 200;
  RedisStreams backend{config};
  ob::EventBus<RedisStreams> bus{config};
  Hand hand;
  {
    auto consumer = backend.consume(spec_of(setup));
    poll_until(consumer, hand, [&] { return hand.well; });
    REQUIRE(consumer.close(Clock::now() + 5s));
  }
  publish_all(bus, setup.topic, 2000);
  CHECK(std::stoi(setup.raw({"XLEN", setup.stream()})) < 500);
  auto consumer = backend.consume(spec_of(setup));
  hand.problems.clear();
  poll_until(consumer, hand, [&] { return hand.got.size() >= 100; });
  CHECK(hand.heard(ob::Errc::position_lost));
}

TEST_CASE("an entry that is too large costs this one entry") {
  Setup setup;
  RedisStreams::Config config = setup.config();
  config.shards = 1;
  config.largest_entry = 1u << 16;
  RedisStreams backend{config};
  Hand hand;
  auto consumer = backend.consume(spec_of(setup));
  auto reader = backend.consume(spec_of(setup, ""));
  setup.raw({"XADD", setup.stream(), "*", "payload", "before"});
  setup.raw({"XADD", setup.stream(), "*", "payload", std::string(5'000'000, 'x')});
  setup.raw({"XADD", setup.stream(), "*", "a", std::string(40'000, 'x'), "b", std::string(40'000, 'x')});
  setup.raw({"XADD", setup.stream(), "*", "payload", "after"});
  const auto settle_all = [&] {
    for (const auto& each : std::exchange(hand.got, {})) {
      const ob::Settlement done{each.token};
      consumer.settle({&done, 1});
    }
    return !hand.payloads.empty() && hand.payloads.back() == "after";
  };
  poll_until(consumer, hand, settle_all);
  CHECK(hand.heard(ob::Errc::too_large));
  eventually(
      setup.f,
      [&] {
        consumer.poll(hand, Clock::now() + 20ms);
        (void)settle_all();
        return setup.raw({"XPENDING", setup.stream(), "g"}).starts_with("0 ");
      },
      "everything to be finished");
  Hand read;
  poll_until(reader, read, [&] { return !read.payloads.empty() && read.payloads.back() == "after"; });
  CHECK(read.payloads.size() == 2);
  CHECK(read.heard(ob::Errc::too_large));
}

TEST_CASE("connections that are killed come back, and nothing is lost") {
  Setup setup;
  ob::EventBus<RedisStreams> bus{setup.config()};
  Inbox inbox;
  const auto subscription = bus.subscribe(setup.topic, inbox.handler(), {.concurrency = 2});
  registered(setup.f, subscription);
  for (int round = 0; round < 5; ++round) {
    const auto endings = std::make_shared<Endings>(400);
    for (std::size_t i = 0; i < 400; ++i) {
      if (i % 100 == 50) setup.raw({"CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"});
      bus.publish_async(setup.topic, message(std::to_string(round) + "-" + std::to_string(i), "k"),
                        Endings::completion(endings, i));
    }
    endings->wait(setup.f);
    std::lock_guard lock{endings->mutex};
    for (const auto& each : endings->results) CHECK(each->has_value());
  }
  inbox.wait_for(setup.f, 2000);
  registered(setup.f, subscription);
}

TEST_CASE("a delayed message comes though its publisher has gone") {
  Setup setup;
  {
    ob::EventBus<RedisStreams> bus{setup.config()};
    REQUIRE(bus.publish(setup.topic, "late", {.delay = 50ms}));
    REQUIRE(bus.close(5s));
  }
  CHECK(setup.raw({"ZCARD", "{" + setup.topic + "}:delayed"}) == "1");
  ob::EventBus<RedisStreams> other{setup.config()};
  Inbox inbox;
  const auto subscription = other.subscribe(setup.topic, inbox.handler());
  inbox.wait_for(setup.f, "late");
  CHECK(setup.raw({"HLEN", "{" + setup.topic + "}:delayed:bodies"}) == "1");  // the counter
}

TEST_CASE("who starts where something was trimmed away is told") {
  Setup setup;
  RedisStreams::Config config = setup.config();
  config.shards = 1;
  RedisStreams backend{config};
  for (int i = 0; i < 10; ++i) {
    setup.raw({"XADD", setup.stream(), "*", "payload", std::to_string(i)});
  }
  setup.raw({"XTRIM", setup.stream(), "MAXLEN", "3"});
  auto reader = backend.consume(spec_of(setup, ""));
  Hand hand;
  poll_until(reader, hand, [&] { return hand.got.size() == 3; });
  CHECK(hand.heard(ob::Errc::position_lost));
  CHECK(hand.payloads.front() == "7");
}
