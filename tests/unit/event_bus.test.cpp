// SPDX-License-Identifier: MIT
#include <omnibus/omnibus.hpp>

#include <csignal>
#include <thread>

#include <omnibus/testing/harness.hpp>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;
using Bus = EventBus<Memory>;

namespace {

struct Picky {
  std::string text;
};
struct Weighed {
  std::string id;
};

using Ids = std::vector<std::string>;

}  // namespace

template <>
struct omnibus::Codec<Picky> {
  static constexpr std::string_view type = "picky";
  static Result<> encode(const Picky& event, std::string& out) {
    if (event.text == "refuse") return Error::make(Errc::internal, "", "the codec says no");
    if (event.text == "throw") throw std::runtime_error{"the codec throws"};
    if (event.text == "throw a number") throw 42;
    out += event.text;
    return {};
  }
  static Result<Picky> decode(std::string_view bytes) { return Picky{std::string{bytes}}; }
};
template <>
struct omnibus::Codec<Weighed> {
  static constexpr std::string_view type = "weighed";
  static void encode(const Weighed& event, std::string& out) { out += event.id; }
  static Result<Weighed> decode(std::string_view bytes) { return Weighed{std::string{bytes}}; }
  static std::string_view key(const Weighed& event) { return event.id; }
};

namespace {

/// The messages of a topic, as they are.
std::vector<Message> messages_of(Bus& bus, std::string_view topic, std::size_t count) {
  Watched<std::vector<Message>> all;
  auto reader =
      bus.subscribe(topic,
                    [&all](const Delivery& delivery) {
                      all.change([&](auto& messages) { messages.push_back(delivery.message()); });
                    },
                    {.group = "reader-of-" + std::string{topic}});
  CHECK(all.wait([count](const auto& messages) { return messages.size() >= count; }));
  CHECK(reader.stop());
  return all.get();
}

}  // namespace

// ── publishing ───────────────────────────────────────────────────────────────────────────────────

TEST_CASE("a published event arrives with its type, key, headers, id and time") {
  VirtualClock clock;
  Bus bus{{.group = "g", .clock = &clock}};
  CHECK(bus.publish("orders", Weighed{"w-1"},
                    {.headers = {{"a", "1"}, {"a", "2"}}, .id = "my id", .sequence = {3, 4}}));
  CHECK(bus.publish("orders", Weighed{"w-2"}, {.key = "another"}));
  CHECK(bus.publish("orders", "literal"));
  const auto messages = messages_of(bus, "orders", 3);
  REQUIRE(messages.size() == 3);
  CHECK(messages[0].id == "my id");
  CHECK(messages[0].type == "weighed");
  CHECK(messages[0].key == "w-1");
  CHECK(messages[0].payload == "w-1");
  CHECK(messages[0].headers.view().size() == 2);
  CHECK(messages[0].time == clock.wall());
  CHECK(messages[0].sequence == Sequence{3, 4});
  CHECK(messages[1].key == "another");
  CHECK(messages[1].id.size() == 36);
  CHECK(messages[2].type.empty());
  CHECK(messages[2].payload == "literal");
  CHECK(messages[1].id < messages[2].id);
}

TEST_CASE("a message is published as it is; options go before it") {
  Bus bus{{.group = "g"}};
  Message message = message_of("id", "key", "payload", "type");
  message.headers = {{"a", "1"}};
  message.time = Time{77s};
  CHECK(bus.publish("orders", message));
  CHECK(bus.publish("orders", message, {.key = "k2", .headers = {{"b", "2"}}, .id = "id2"}));
  const auto messages = messages_of(bus, "orders", 2);
  CHECK(messages[0].id == "id");
  CHECK(messages[0].type == "type");
  CHECK(messages[0].key == "key");
  CHECK(messages[0].time == Time{77s});
  CHECK(messages[0].headers.get("a") == "1");
  CHECK(messages[1].id == "id2");
  CHECK(messages[1].key == "k2");
  CHECK(messages[1].headers.get("b") == "2");
  CHECK_FALSE(messages[1].headers.contains("a"));
}

TEST_CASE("what cannot be published is refused with the reason, and nothing is sent") {
  Bus bus{{.group = "g"}, {.limits = {.payload = 10}}};
  const auto code = [&bus](std::string_view topic, const auto& event,
                           const Bus::PublishOptions& options = {}) {
    const Result<Receipt> result = bus.publish(topic, event, options);
    return result ? Errc::internal : result.error().code;
  };
  for (const std::string& topic : {""s, "a b"s, "a/b"s, "\0"s, std::string(250, 'a')}) {
    CHECK(code(topic, "x") == Errc::invalid_argument);
  }
  CHECK(code("orders", std::string(11, 'x')) == Errc::too_large);
  CHECK(code("orders", "x", {.headers = {{"a\r\nb", "1"}}}) == Errc::invalid_argument);
  CHECK(code("orders", "x", {.key = std::string(1025, 'k')}) == Errc::too_large);
  CHECK(code("orders", Picky{"refuse"}) == Errc::encode_failed);
  CHECK(code("orders", Picky{"throw"}) == Errc::encode_failed);
  CHECK(code("orders", Picky{"throw a number"}) == Errc::encode_failed);
  CHECK(bus.publish("orders", Picky{"refuse"}).error().context == "the codec says no");
  CHECK(bus.publish("orders", Picky{"throw"}).error().context == "the codec throws");
  CHECK(bus.publish("orders", "last").value().position.major == 0);
  CHECK(bus.close(1s));
  CHECK(code("orders", "x") == Errc::closed);
}

TEST_CASE("a completion runs exactly once, whatever happened") {
  Bus bus{{.group = "g"}};
  const auto endings = [&bus](std::string_view topic, const auto& event) {
    int count = 0;
    Errc code = Errc::internal;
    bool good = false;
    bus.publish_async(topic, event, [&](Result<Receipt> result) {
      ++count;
      good = static_cast<bool>(result);
      if (!good) code = result.error().code;
    });
    CHECK(bus.flush());
    CHECK(count == 1);
    return std::pair{good, code};
  };
  CHECK(endings("orders", "x").first);
  CHECK(endings("no topic", "x").second == Errc::invalid_argument);
  CHECK(endings("orders", std::string(2 << 20, 'x')).second == Errc::too_large);
  CHECK(endings("orders", Picky{"refuse"}).second == Errc::encode_failed);
  CHECK(endings("orders", Picky{"throw"}).second == Errc::encode_failed);
  CHECK(bus.close(1s));
  CHECK(endings("orders", "x").second == Errc::closed);
}

TEST_CASE("a completion may own what cannot be copied, and may publish") {
  Bus bus{{.group = "g"}};
  Watched<bool> done;
  bus.publish_async("orders", "x", [&, owned = std::make_unique<int>(1)](Result<Receipt>) {
    bus.publish_async("orders", "y", [&](Result<Receipt> result) {
      done.change([&](bool& d) { d = static_cast<bool>(result); });
    });
  });
  CHECK(done.wait([](bool d) { return d; }));
}

TEST_CASE("a batch has one result for each event, in order") {
  Bus bus{{.group = "g"}};
  const std::vector<Picky> events{{"a"}, {"refuse"}, {"b"}, {"throw"}, {"c"}};
  const auto results = bus.publish_batch<Picky>("orders", events);
  REQUIRE(results.size() == 5);
  CHECK(results[0].value().position.major == 0);
  CHECK(results[1].error().code == Errc::encode_failed);
  CHECK(results[2].value().position.major == 1);
  CHECK(results[3].error().code == Errc::encode_failed);
  CHECK(results[4].value().position.major == 2);
  const auto messages = messages_of(bus, "orders", 3);
  CHECK(messages[1].payload == "b");
  CHECK(messages[0].id != messages[1].id);
  CHECK(bus.publish_batch<Picky>("orders", {}).empty());
  for (const auto& result : bus.publish_batch<Picky>("no topic", events)) CHECK_FALSE(result);
}

// ── subscribing ──────────────────────────────────────────────────────────────────────────────────

TEST_CASE("options that can never work are refused by name") {
  const auto refuses = [](auto&& call, std::string_view field) {
    return throws_saying<std::invalid_argument>(call, field);
  };
  CHECK(refuses([] { Bus bus{{.group = "no group"}}; }, "group"));
  CHECK(refuses([] { Bus bus{{.log_bytes = 1}}; }, "log_bytes"));
  CHECK(refuses([] { Bus bus({}, BusOptions{.publish_timeout = 0s}); }, "publish_timeout"));
  CHECK(refuses([] { Bus bus({}, BusOptions{.close_timeout = -1s}); }, "close_timeout"));
  Bus bus{{.group = "g"}};
  const auto subscribing = [&bus](std::string topic, Bus::SubscribeOptions options) {
    return [&bus, topic, options] {
      auto never = bus.subscribe(
          topic, [](const Delivery&) {}, options);
    };
  };
  CHECK(refuses(subscribing("no topic", {}), "topic"));
  CHECK(refuses(subscribing("", {}), "topic"));
  CHECK(refuses(subscribing("orders", {.group = "no group"}), "group"));
  CHECK(refuses(subscribing("orders", {.concurrency = 0}), "concurrency"));
  CHECK(refuses(subscribing("orders", {.concurrency = 1025}), "concurrency"));
  CHECK(refuses(subscribing("orders", {.window = 0}), "window"));
  CHECK(refuses(
      [&bus] {
        auto never = bus.subscribe("orders", [](const Delivery&) {} | dead_letter("orders"));
      },
      "dead-letter"));
  CHECK(bus.health().subscriptions.empty());
}

TEST_CASE("without a dead_letter stage what fails goes to the topic's own") {
  Bus bus{{.group = "billing"}};
  auto orders =
      bus.subscribe("orders", [](const Delivery&) -> Result<> { return permanent("no"); });
  CHECK(bus.publish("orders", "payload", {.key = "k"}));
  const auto dead = messages_of(bus, "orders.billing.dlq", 1);
  REQUIRE(dead.size() == 1);
  CHECK(dead[0].payload == "payload");
  CHECK(read_dead_letter(dead[0].headers).reason == "no");
}

TEST_CASE("a back-off of five minutes takes no time on a virtual clock") {
  testing::Harness harness;
  auto orders = harness.bus().subscribe("orders", [](const Delivery& delivery) -> Result<> {
    if (delivery.attempt() < 4) return retryable("not yet");
    return {};
  } | retry({.attempts = 5, .initial = 5min, .max = 5min, .jitter = false}));
  harness.publish("orders", "x", {.key = "k"});
  for (std::size_t i = 1; i < 4; ++i) {
    harness.settle();
    CHECK(orders.stats().waiting == 1);
    harness.advance(5min - 1ns);
    CHECK(harness.delivered().size() == i);
    harness.advance(1ns);
  }
  CHECK(harness.delivered().size() == 4);
  CHECK(orders.stats().handled == 1);
  CHECK(orders.stats().retried == 3);
}

TEST_CASE("stats and health say what has happened and whether all is well") {
  testing::Harness harness{{.group = "g"}};
  auto& bus = harness.bus();
  MemoryKeyStore store;
  auto orders = bus.subscribe("orders",
                              [](const Delivery& delivery) -> Result<> {
                                if (delivery.key() == "bad") return permanent("no");
                                return {};
                              } | retry() | stage([](Next next, Delivery& delivery) -> Result<> {
                                                                if (delivery.key() == "dropped")
                                                                  return {};
                                                                return next(delivery);
                                                              }) | dead_letter("dead") |
                                                                  idempotent(store));
  for (const char* id : {"1", "1", "2"}) harness.publish("orders", "x", {.key = "k", .id = id});
  harness.publish("orders", "x", {.key = "bad"});
  harness.publish("orders", "x", {.key = "dropped"});
  harness.settle();
  const SubscriptionStats stats = orders.stats();
  CHECK(stats.handled == 2);
  CHECK(stats.duplicates == 1);
  CHECK(stats.dead_lettered == 1);
  CHECK(stats.dropped == 1);
  CHECK(stats.in_flight == 0);
  CHECK(stats.idle);
  const BusHealth health = bus.health();
  REQUIRE(health.subscriptions.size() == 1);
  CHECK(health.subscriptions[0].topic == "orders");
  CHECK(health.subscriptions[0].group == "g");
  CHECK(health.subscriptions[0].ok);
  CHECK(health.subscriptions[0].problem.empty());
  CHECK(orders.stop());
  CHECK_FALSE(orders.health().ok);
  CHECK(bus.health().subscriptions.empty());
  CHECK(bus.health().ok);
  CHECK(bus.close(1s));
  CHECK_FALSE(bus.health().ok);
}

// ── observing ────────────────────────────────────────────────────────────────────────────────────

namespace {

struct FullObserver {
  Watched<std::map<std::string, int>> calls;
  void note(const char* what) {
    calls.change([what](auto& map) { ++map[what]; });
  }
  void published(std::string_view, const MessageView&, const Result<Receipt>& result) {
    note(result ? "published" : "not published");
  }
  void delivered(const Delivery&) { note("delivered"); }
  void handled(const Delivery&) { note("handled"); }
  void retrying(const Delivery&, const Error&) { note("retrying"); }
  void dead_lettered(const Delivery& delivery, const Error&) {
    note(delivery.dead_letter_topic() == "orders.g.dlq" ? "dead_lettered" : "wrong topic");
  }
  void dropped(const Delivery&) { note("dropped"); }
  void duplicate(const Delivery&) { note("duplicate"); }
  void given_back(const Delivery&) { note("given_back"); }
  void consumer(std::string_view topic, std::string_view group, const Error* problem) {
    note(topic == "orders" && group == "g" && problem == nullptr ? "consumer" : "wrong consumer");
  }
};
struct HandledObserver {
  Watched<int> count;
  void handled(const Delivery&) {
    count.change([](int& n) { ++n; });
  }
};

}  // namespace

TEST_CASE("an observer is told of each message of a batch") {
  FullObserver observer;
  EventBus<Memory, FullObserver> bus{{.group = "g"}, observer};
  MessageBatch batch;
  batch.add("orders", "one").value();
  batch.add("invoices", "two").value();
  const auto counts = [&observer] {
    auto calls = observer.calls.get();
    return std::to_string(calls["published"]) + ", not " + std::to_string(calls["not published"]);
  };
  CHECK(bus.publish_all(batch));
  CHECK(counts() == "2, not 0");
  CHECK(bus.publish_atomic(batch));
  CHECK(counts() == "4, not 0");
  batch.add("orders", std::string(2 << 20, 'x')).value();
  CHECK_FALSE(bus.publish_all(batch));
  CHECK(counts() == "4, not 3");
  CHECK_FALSE(bus.publish_atomic(batch));
  CHECK(counts() == "4, not 6");
  CHECK(bus.close(1s));
  MessageBatch late;
  late.add("orders", "one").value();
  CHECK_FALSE(bus.publish_atomic(late));
  CHECK(counts() == "4, not 7");
}

TEST_CASE("an observer is told of everything it has a hook for") {
  FullObserver observer;
  EventBus<Memory, FullObserver> bus{{.group = "g"}, observer};
  std::atomic<bool> fails{true};
  MemoryKeyStore store;
  auto orders = bus.subscribe("orders", [&fails](const std::string& text) -> Result<> {
    if (text == "bad") return permanent("no");
    if (text == "once" && fails.exchange(false)) return later(0s);
    return {};
  } | retry() | idempotent(store));
  CHECK(bus.publish("orders", "good", {.id = "1"}));
  CHECK(bus.publish("orders", "good", {.id = "1"}));
  CHECK(bus.publish("orders", "bad"));
  bus.publish_async("orders", "once", [](Result<Receipt>) {});
  CHECK_FALSE(bus.publish_batch<std::string>("orders", std::vector{std::string(2 << 20, 'x')})[0]);
  using Map = std::map<std::string, int>;
  const Map expected{{"published", 5},     {"not published", 1}, {"delivered", 5}, {"handled", 2},
                     {"dead_lettered", 1}, {"duplicate", 1},     {"retrying", 1},  {"consumer", 1}};
  // The dead letter is not published by the user; whether it is observed is not promised.
  const auto without_published = [](Map map) {
    map.erase("published");
    return map;
  };
  CHECK(observer.calls.wait(
      [&](const Map& map) { return without_published(map) == without_published(expected); }));
  CHECK(observer.calls.get()["published"] >= 4);
}

TEST_CASE("an observer is told of a publish that is refused before it is sent, however it is published") {
  struct Refusals {
    std::vector<Errc> codes;
    void published(std::string_view, const MessageView&, const Result<Receipt>& result) {
      if (!result) codes.push_back(result.error().code);
    }
  } observer;
  EventBus<Memory, Refusals> bus{{.group = "g"}, observer};
  CHECK_FALSE(bus.publish("no topic", "x"));
  CHECK_FALSE(bus.publish("orders", Picky{"refuse"}));
  bus.publish_async("orders", Picky{"throw"}, [](Result<Receipt> result) { CHECK_FALSE(result); });
  CHECK_FALSE(bus.publish_batch<Picky>("orders", std::vector{Picky{"refuse"}})[0]);
  CHECK(observer.codes == std::vector{Errc::invalid_argument, Errc::encode_failed, Errc::encode_failed,
                                      Errc::encode_failed});
}

TEST_CASE("an observer with one hook is told of that alone") {
  HandledObserver observer;
  EventBus<Memory, HandledObserver> bus{{.group = "g"}, observer};
  auto orders = bus.subscribe("orders", [](const Delivery&) {});
  CHECK(bus.publish("orders", "x"));
  CHECK(observer.count.wait([](int n) { return n == 1; }));
}

// ── ending ───────────────────────────────────────────────────────────────────────────────────────

TEST_CASE("run ends when another thread says stop, and the bus is closed then") {
  Bus bus{{.group = "g"}};
  auto orders = bus.subscribe("orders", [](const Delivery&) {});
  std::thread other{[&bus] { bus.stop(); }};
  CHECK(bus.run());
  other.join();
  CHECK(bus.publish("orders", "x").error().code == Errc::closed);
}

TEST_CASE("a stop before run is not forgotten") {
  Bus bus{{.group = "g"}};
  bus.stop();
  CHECK(bus.run());
}

namespace {
Bus* signalled = nullptr;
}

TEST_CASE("run ends when a signal handler says stop") {
  Bus bus{{.group = "g"}};
  signalled = &bus;
  const auto before = std::signal(SIGUSR1, [](int) { signalled->stop(); });
  auto orders = bus.subscribe("orders", [](const Delivery&) { std::raise(SIGUSR1); });
  CHECK(bus.publish("orders", "x"));
  CHECK(bus.run());
  std::signal(SIGUSR1, before);
}

TEST_CASE("close inside a handler begins the end and does not wait for itself") {
  Watched<bool> closed;
  {
    Bus bus{{.group = "g"}};
    auto orders = bus.subscribe("orders", [&](const Delivery&) {
      const bool good = static_cast<bool>(bus.close(10s));
      closed.change([good](bool& c) { c = good; });
    });
    CHECK(bus.publish("orders", "x"));
    CHECK(closed.wait([](bool c) { return c; }));
    CHECK(bus.run());
  }
  CHECK(closed.get());
}

TEST_CASE("close says when a handler does not end in time; what it holds comes again") {
  Gate gate;
  Watched<bool> inside;
  Bus bus{{.group = "g"}};
  auto orders = bus.subscribe("orders", [&](const Delivery&) {
    inside.change([](bool& i) { i = true; });
    gate.pass();
  });
  CHECK(bus.publish("orders", "x"));
  CHECK(inside.wait([](bool i) { return i; }));
  CHECK(bus.close(1ms).error().code == Errc::timed_out);
  gate.open();
  CHECK(bus.close(patience));
  CHECK(bus.close(patience));
}

TEST_CASE("close for ever is no overflow") {
  Bus bus{{.group = "g"}};
  auto orders = bus.subscribe("orders", [](const Delivery&) {});
  CHECK(bus.flush(Duration::max()));
  CHECK(orders.stop(Duration::max()));
  CHECK(bus.close(Duration::max()));
}

TEST_CASE("what a stopped subscription had not started goes to the next one, in order") {
  Bus bus{{.group = "g"}};
  Gate gate;
  Watched<Ids> ran;
  const auto handler = [&](const std::string& text) {
    ran.change([&](Ids& ids) { ids.push_back(text); });
    gate.pass();
  };
  for (int i = 0; i < 50; ++i) CHECK(bus.publish("orders", std::to_string(i), {.key = "k"}));
  {
    auto first = bus.subscribe("orders", handler);
    CHECK(ran.wait([](const Ids& ids) { return ids.size() == 1; }));
    CHECK(first.stop(1ms).error().code == Errc::timed_out);
    gate.open();
  }
  const std::size_t before = ran.get().size();
  CHECK(before == 1);
  auto second = bus.subscribe("orders", handler);
  CHECK(ran.wait([](const Ids& ids) { return ids.size() == 50; }));
  Ids expected;
  for (int i = 0; i < 50; ++i) expected.push_back(std::to_string(i));
  CHECK(ran.get() == expected);
}

TEST_CASE("a subscription may be destroyed inside its own handler") {
  Bus bus{{.group = "g"}};
  Watched<bool> gone;
  std::optional<Subscription> orders;
  Gate subscribed;
  orders = bus.subscribe("orders", [&](const Delivery&) {
    subscribed.pass();
    orders.reset();
    gone.change([](bool& g) { g = true; });
  });
  subscribed.open();
  CHECK(bus.publish("orders", "x"));
  CHECK(gone.wait([](bool g) { return g; }));
  CHECK(bus.close(patience));
}

TEST_CASE("subscribing on a closed bus gives a subscription that has ended") {
  Bus bus{{.group = "g"}};
  CHECK(bus.close(1s));
  auto orders = bus.subscribe("orders", [](const Delivery&) {});
  CHECK(orders.stop());
  CHECK_FALSE(orders.health().ok);
}
