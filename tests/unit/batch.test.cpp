// SPDX-License-Identifier: MIT
#include <omnibus/batch.hpp>

#include <omnibus/backends/memory.hpp>
#include <omnibus/codec/text.hpp>
#include <omnibus/event_bus.hpp>
#include <omnibus/middleware/dead_letter.hpp>
#include <omnibus/middleware/retry.hpp>

#include <algorithm>
#include <cstddef>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;

namespace {

/// What a handler of batches has seen.
struct Seen {
  std::vector<std::size_t> sizes;
  std::vector<std::size_t> bytes;
  std::map<std::string, std::vector<std::string>> payloads;  // of each key, in order
  std::size_t messages = 0;

  void add(const Batch& batch) {
    sizes.push_back(batch.size());
    bytes.push_back(0);
    for (std::size_t i = 0; i < batch.size(); ++i) {
      bytes.back() += batch[i].payload().size();
      payloads[std::string{batch[i].key()}].emplace_back(batch[i].payload());
    }
    messages += batch.size();
  }
};

void publish(EventBus<Memory>& bus, int keys, int each, std::size_t size = 1) {
  for (int number = 0; number < each; ++number) {
    for (int key = 0; key < keys; ++key) {
      bus.publish("orders", std::string(size, static_cast<char>('a' + number)), {.key = std::to_string(key)})
          .value();
    }
  }
}

}  // namespace

TEST_CASE("batches are handled when they are full, and order by key is kept") {
  EventBus<Memory> bus{{}};
  Watched<Seen> seen;
  const auto subscription = bus.subscribe(
      "orders",
      in_batches([&](Batch& batch) { seen.change([&](Seen& each) { each.add(batch); }); },
                 {.count = 4, .time = 300ms}),
      {.concurrency = 8});
  publish(bus, 16, 5);
  REQUIRE(seen.wait([](const Seen& each) { return each.messages == 80; }));
  const Seen all = seen.get();
  CHECK(*std::max_element(all.sizes.begin(), all.sizes.end()) == 4);
  for (const auto& [key, payloads] : all.payloads) {
    CHECK(payloads == std::vector<std::string>{"a", "b", "c", "d", "e"});
  }
}

TEST_CASE("a batch that nobody joins is handled when its time has come") {
  EventBus<Memory> bus{{}};
  Watched<Seen> seen;
  const auto subscription = bus.subscribe(
      "orders",
      in_batches([&](Batch& batch) { seen.change([&](Seen& each) { each.add(batch); }); },
                 {.count = 100, .time = 1ms}),
      {.concurrency = 8});
  publish(bus, 1, 3);
  REQUIRE(seen.wait([](const Seen& each) { return each.messages == 3; }));
  CHECK(seen.get().sizes == std::vector<std::size_t>{1, 1, 1});
}

TEST_CASE("batches keep to their bytes, and a large message is one of its own") {
  EventBus<Memory> bus{{}};
  Watched<Seen> seen;
  const auto subscription = bus.subscribe(
      "orders",
      in_batches([&](Batch& batch) { seen.change([&](Seen& each) { each.add(batch); }); },
                 {.count = 100, .bytes = 30, .time = 20ms}),
      {.concurrency = 16});
  publish(bus, 12, 1, 10);
  publish(bus, 3, 1, 100);
  REQUIRE(seen.wait([](const Seen& each) { return each.messages == 15; }));
  const Seen all = seen.get();
  for (std::size_t i = 0; i < all.sizes.size(); ++i) CHECK((all.bytes[i] <= 30 || all.sizes[i] == 1));
}

TEST_CASE("one message of a batch that fails is tried again without the others") {
  EventBus<Memory> bus{{}};
  Watched<Seen> seen;
  const auto subscription = bus.subscribe(
      "orders",
      in_batches(
          [&](Batch& batch) {
            seen.change([&](Seen& each) { each.add(batch); });
            for (std::size_t i = 0; i < batch.size(); ++i) {
              if (batch[i].key() == "3" && batch[i].attempt() < 3) batch.fail(i, retryable("not yet"));
              if (batch[i].key() == "5") batch.fail(i, permanent("never"));
            }
          },
          {.count = 8, .time = 20ms}) |
          retry({.attempts = 3, .initial = 1ms, .max = 1ms}) | dead_letter("orders.dead"),
      {.concurrency = 8});
  publish(bus, 8, 1);
  REQUIRE(seen.wait([](const Seen& each) { return each.messages == 10; }));
  for (const auto& [key, payloads] : seen.get().payloads) CHECK(payloads.size() == (key == "3" ? 3 : 1));
  const auto settled = [&] {
    const SubscriptionStats stats = subscription.stats();
    return stats.handled == 7 && stats.dead_lettered == 1;
  };
  const auto until = std::chrono::steady_clock::now() + patience;
  while (!settled() && std::chrono::steady_clock::now() < until) std::this_thread::yield();
  CHECK(settled());
}

TEST_CASE("what a handler of batches throws or returns fails every message of the batch") {
  int calls = 0;
  const auto handler = in_batches(
      [&](Batch&) -> Result<> {
        if (++calls == 1) throw std::runtime_error{"thrown"};
        return permanent("returned");
      },
      {.count = 1});
  FakeContext context;
  Received one{context, message_of("1", "k", "body")};
  const Result<> thrown = handler(one.delivery);
  REQUIRE_FALSE(thrown);
  CHECK(thrown.error().context == "thrown");
  CHECK(thrown.error().retryable);
  const Result<> returned = handler(one.delivery);
  REQUIRE_FALSE(returned);
  CHECK(returned.error().context == "returned");
}

TEST_CASE("options of batches that can never work are refused by name") {
  const auto nothing = [](Batch&) {};
  CHECK(throws_saying<std::invalid_argument>([&] { (void)in_batches(nothing, {.count = 0}); }, "count"));
  CHECK(throws_saying<std::invalid_argument>([&] { (void)in_batches(nothing, {.time = -1ms}); }, "time"));
}
