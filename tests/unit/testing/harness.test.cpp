// SPDX-License-Identifier: MIT
#include <omnibus/testing/harness.hpp>

#include <atomic>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include <omnibus/omnibus.hpp>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;
using omnibus::testing::Harness;
using omnibus::testing::Record;

namespace {

std::vector<Duration> times(const std::vector<Record>& records) {
  std::vector<Duration> all;
  for (const Record& each : records) all.push_back(each.at);
  return all;
}
std::string payloads(const std::vector<Record>& records) {
  std::string all;
  for (const Record& each : records) all.append(each.payload).append(" ");
  return all;
}

}  // namespace

TEST_CASE("what was published before settle has been handled after it, and is written down") {
  Harness harness{{.group = "billing"}};
  std::string heard;  // neither locked nor atomic: settle shows what handlers wrote
  auto orders = harness.bus().subscribe("orders", [&heard](const std::string& text) { heard += text; });
  harness.publish("orders", "a", {.key = "k", .id = "1"});
  harness.settle();
  CHECK(heard == "a");
  harness.publish("orders", "b", {.key = "k", .id = "2"});
  harness.publish("other", "c");
  harness.settle();
  CHECK(heard == "ab");
  INFO(harness.log());
  REQUIRE(harness.handled("orders").size() == 2);
  const Record second = harness.handled("orders")[1];
  CHECK(second.event == DeliveryEvent::handled);
  CHECK(second.topic == "orders");
  CHECK(second.group == "billing");
  CHECK(second.key == "k");
  CHECK(second.id == "2");
  CHECK(second.payload == "b");
  CHECK(second.attempt == 1);
  CHECK(second.at == 0s);
  CHECK_FALSE(second.error);
  CHECK(harness.delivered("orders").size() == 2);
  CHECK(harness.delivered("other").empty());
  CHECK(harness.records().size() == 4);
  CHECK(orders.stats().handled == 2);  // exact
}

TEST_CASE("a harness without subscriptions is idle, and its time moves") {
  Harness harness;
  harness.settle();
  harness.publish("orders", "x");
  harness.advance(365 * 24h);
  CHECK(harness.now() == 365 * 24h);
  CHECK(harness.records().empty());
}

TEST_CASE("retries come at their own times, however far time is moved at once") {
  Harness harness;
  auto orders = harness.bus().subscribe("orders", [](const Delivery&) -> Result<> {
    return retryable("the bank is away");
  } | retry({.attempts = 4, .initial = 1h, .max = 3h, .jitter = false, .total = 24h}) | dead_letter("dead"));
  harness.publish("orders", "o-1");
  harness.advance(24h);
  INFO(harness.log());
  CHECK(times(harness.delivered("orders")) == std::vector<Duration>{0h, 1h, 3h, 6h});
  CHECK(times(harness.retried("orders")) == std::vector<Duration>{0h, 1h, 3h});
  CHECK(harness.retried("orders")[1].error->retry_after == 2h);
  REQUIRE(harness.dead_lettered("orders").size() == 1);
  const Record dead = harness.dead_lettered("orders")[0];
  CHECK(dead.at == 6h);
  CHECK(dead.attempt == 4);
  CHECK(dead.dead_letter_topic == "dead");
  CHECK(dead.error->context.find("the bank is away") == 0);
  CHECK(harness.now() == 24h);
}

TEST_CASE("nothing comes before its time, and at its time it comes") {
  Harness harness;
  auto orders = harness.bus().subscribe("orders", [](const Delivery& delivery) -> Result<> {
    if (delivery.attempt() == 1) return later(5min);
    return {};
  } | retry());
  harness.publish("orders", "x");
  harness.advance(5min - 1ns);
  CHECK(harness.handled("orders").empty());
  harness.advance(1ns);
  CHECK(times(harness.handled("orders")) == std::vector<Duration>{5min});
}

TEST_CASE("what is due at different times in different places happens in the order of the times") {
  Harness harness;
  auto& bus = harness.bus();
  const auto fails_once = [](Duration delay) {
    return [delay](const Delivery& delivery) -> Result<> {
      if (delivery.attempt() == 1) return later(delay);
      return {};
    } | retry({.total = 1h});
  };
  auto strict_orders = bus.subscribe("strict", fails_once(20min));
  auto relaxed_orders = bus.subscribe("relaxed", fails_once(10min), {.order = relaxed});
  auto parallel = bus.subscribe("parallel", fails_once(40min), {.concurrency = 4});
  harness.publish("strict", "20");
  harness.publish("parallel", "40");
  harness.publish("relaxed", "10");
  harness.publish("relaxed", "30+10", {.delay = 30min});
  harness.publish("strict", "5+20", {.key = "other", .delay = 5min});
  harness.advance(1h);
  INFO(harness.log());
  const auto handled = harness.handled();
  REQUIRE(handled.size() == 5);
  CHECK(times(handled) == std::vector<Duration>{10min, 20min, 25min, 40min, 40min});
  CHECK(payloads(harness.handled("relaxed")) == "10 30+10 ");
  CHECK(payloads(harness.handled("strict")) == "20 5+20 ");
}

TEST_CASE("what handlers publish is followed to its end, at the time it was published") {
  Harness harness;
  auto& bus = harness.bus();
  auto orders = bus.subscribe("orders", [&](const std::string& text) {
    bus.publish("invoices", text, {.delay = 1h}).value();
  });
  auto invoices = bus.subscribe("invoices", [&](const std::string& text) {
    if (text != "last") bus.publish("orders", "last").value();
  });
  harness.publish("orders", "first");
  harness.advance(3h);
  INFO(harness.log());
  CHECK(times(harness.handled("orders")) == std::vector<Duration>{0h, 1h});
  CHECK(times(harness.handled("invoices")) == std::vector<Duration>{1h, 2h});
}

TEST_CASE("a whole policy runs unchanged in virtual time") {
  Harness harness{{.group = "billing"}};
  MemoryKeyStore seen{{.keep = 24h, .clock = &harness.clock()}};
  CircuitBreaker bank{{.failures = 3, .open_for = 10min, .max = 10min}};
  RateLimit one_a_minute{{.per_second = 1.0 / 60}};
  bool away = true;
  auto orders = harness.bus().subscribe("orders", [&](const Delivery& delivery) -> Result<> {
    if (away) return retryable("the bank is away");
    if (delivery.payload() == "slow") harness.clock().advance(1h);
    return delivery.payload() == "bad" ? Result<>{permanent("no account")} : Result<>{};
  } | timeout(5s) | retry({.attempts = 50, .total = 24h}) | dead_letter("dead") | idempotent(seen) |
                                            circuit_breaker(bank) | rate_limit(one_a_minute));
  for (const char* text : {"good", "bad", "slow"}) harness.publish("orders", text, {.key = text, .id = text});
  harness.advance(2h);
  INFO(harness.log());
  CHECK(harness.handled().empty());
  CHECK(bank.state() == CircuitBreaker::State::open);
  CHECK_FALSE(orders.health().ok);
  away = false;
  harness.advance(2h);
  CHECK(harness.handled("orders").size() == 2);
  CHECK(payloads(harness.dead_lettered("orders")) == "bad ");
  harness.publish("orders", "good", {.id = "good"});
  harness.advance(1min);
  CHECK(harness.duplicates("orders").size() == 1);
  harness.advance(25h);
  harness.publish("orders", "good", {.id = "good"});
  harness.advance(1min);
  CHECK(harness.handled("orders").size() == 3);
}

TEST_CASE("what a stage drops is written down as dropped") {
  Harness harness;
  auto orders = harness.bus().subscribe(
      "orders", [](const Delivery&) {} | stage([](Next, Delivery&) -> Result<> { return {}; }));
  harness.publish("orders", "x");
  harness.settle();
  CHECK(harness.dropped("orders").size() == 1);
  CHECK(harness.dropped("other").empty());
  CHECK(harness.handled().empty());
}

TEST_CASE("jitter is the same in each run, unless a seed says otherwise") {
  const auto run = [](std::uint64_t seed) {
    Harness harness{{.bus = {.seed = seed}}};
    auto orders = harness.bus().subscribe("orders", [](const Delivery&) -> Result<> {
      return retryable("no");
    } | retry({.attempts = 6, .initial = 1min, .max = 1h}));
    harness.publish("orders", "x");
    harness.advance(24h);
    return times(harness.delivered());
  };
  const auto first = run(0);
  CHECK(first.size() == 6);
  CHECK(run(0) == first);
  CHECK(run(2) == run(2));
  CHECK(run(2) != first);
}

TEST_CASE("many keys and workers, all are idle when settle returns") {
  Harness harness;
  std::map<std::string, std::atomic<int>> calls;
  for (int key = 0; key < 50; ++key) calls[std::to_string(key)] = 0;
  const auto handler = [&calls](const Delivery& delivery) -> Result<> {
    if (++calls.at(std::string{delivery.key()}) % 3 == 0) return later(1s);
    return {};
  };
  auto orders = harness.bus().subscribe("orders", handler | retry(), {.concurrency = 4});
  auto copies = harness.bus().subscribe("orders", handler | retry(), {.group = "other", .order = relaxed});
  for (int round = 1; round <= 4; ++round) {
    for (int i = 0; i < 200; ++i) harness.publish("orders", "x", {.key = std::to_string(i % 50)});
    harness.advance(1min);
    CHECK(harness.handled().size() == static_cast<std::size_t>(round) * 400);
    CHECK(orders.stats().in_flight == 0);
    CHECK(orders.stats().handled == static_cast<std::uint64_t>(round) * 200);
  }
}

TEST_CASE("a message that goes from one subscription to the other and back is never thought to be at its end") {
  Harness harness;
  auto& bus = harness.bus();
  constexpr int hops = 300;
  const auto pass_on = [&bus](const char* to) {
    return [&bus, to](const std::string& left) {
      if (left != "0") bus.publish(to, std::to_string(std::stoi(left) - 1)).value();
    };
  };
  auto second = bus.subscribe("there", pass_on("here"));
  auto first = bus.subscribe("here", pass_on("there"));
  for (std::size_t round = 1; round <= 20; ++round) {
    harness.publish("here", std::to_string(hops));
    harness.settle();
    CHECK(harness.handled().size() == round * (hops + 1));
  }
}

// ── what may go wrong ────────────────────────────────────────────────────────────────────────────

TEST_CASE("a handler that hangs is named when patience ends") {
  Gate gate;
  Harness harness{{.group = "billing", .patience = 50ms}};
  auto orders = harness.bus().subscribe("orders", [&gate](const std::string& text) {
    if (text == "stuck") gate.pass();
  });
  harness.publish("orders", "fine");
  harness.publish("orders", "stuck");
  const auto says = [&](std::string_view part) {
    return throws_saying<std::runtime_error>([&] { harness.advance(1s); }, part);
  };
  CHECK(says("after 0.05s"));
  CHECK(says("a handler has not ended"));
  CHECK(says("orders/billing \"stuck\", attempt 1"));
  CHECK_FALSE(says("fine"));
  CHECK(harness.now() == 0s);
  gate.open();
}

TEST_CASE("messages that come again without end are named when patience ends") {
  Harness harness{{.patience = 50ms}};
  auto orders = harness.bus().subscribe("orders", [](const Delivery&) -> Result<> {
    return later(0s);
  } | retry({.attempts = UINT32_MAX, .total = Duration::max()}));
  harness.publish("orders", "again");
  CHECK(throws_saying<std::runtime_error>([&] { harness.settle(); }, "\"again\""));
}

TEST_CASE("a policy that has something to do at every moment ends with patience, too") {
  Harness harness{{.patience = 50ms}};
  auto orders = harness.bus().subscribe("orders", [](const Delivery&) -> Result<> {
    return later(1ns);
  } | retry({.attempts = UINT32_MAX, .total = Duration::max()}));
  harness.publish("orders", "again");
  CHECK(throws_saying<std::runtime_error>([&] { harness.advance(24h); }, "\"again\""));
}

TEST_CASE("a publish that the bus refuses is no silence") {
  Harness harness;
  CHECK_THROWS_AS(harness.publish("no topic", "x"), BadResult);
}

TEST_CASE("time does not go back") {
  Harness harness;
  CHECK(throws_saying<std::invalid_argument>([&] { harness.advance(-1ns); }, "advance"));
}

TEST_CASE("a bus is idle once it is closed, by a handler as well, and when subscriptions have ended") {
  Harness harness;
  {
    auto orders = harness.bus().subscribe("orders", [](const Delivery&) {});
    harness.publish("orders", "x");
  }
  harness.settle();
  auto orders = harness.bus().subscribe("orders", [&](const Delivery&) { (void)harness.bus().close(1s); },
                                        {.group = "closing"});
  harness.publish("orders", "y");
  harness.settle();
  CHECK(harness.handled("orders").size() >= 1);
  CHECK(orders.stop());
  harness.settle();
  CHECK(harness.bus().close(patience));
  harness.advance(1h);
}
