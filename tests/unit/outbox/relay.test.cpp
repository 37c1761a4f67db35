// SPDX-License-Identifier: MIT
#include <omnibus/outbox/relay.hpp>

#include <omnibus/omnibus.hpp>

#include <atomic>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "unit/outbox/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;

namespace {

/// The numbers of each key that have come, in the order in which they came.
class Got {
 public:
  auto handler() {
    return [this](const Delivery& delivery) {
      got_.change([&](auto& got) {
        got.all[std::string{delivery.key()}].push_back(std::stoi(std::string{delivery.payload()}));
        ++got.count;
      });
    };
  }
  bool wait(std::size_t count) const {
    return got_.wait([&](const auto& got) { return got.count >= count; });
  }
  std::map<std::string, std::vector<int>> all() const { return got_.get().all; }

 private:
  struct State {
    std::map<std::string, std::vector<int>> all;
    std::size_t count = 0;
  };
  Watched<State> got_;
};

std::vector<int> up_to(int last) {
  std::vector<int> numbers;
  for (int i = 1; i <= last; ++i) numbers.push_back(i);
  return numbers;
}

}  // namespace

TEST_CASE("relay thread: what several threads commit reaches the subscribers in order of each key") {
  const TemporaryFolder folder;
  EventBus<Memory> bus{{.group = "g"}};
  Got got;
  const auto subscription = bus.subscribe("orders", got.handler(), {.concurrency = 2});
  std::optional<OutboxRelay<EventBus<Memory>>> relay{std::in_place, bus, OutboxRelayOptions{.path = folder.file()}};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      Shop shop{folder.file()};
      for (int i = 1; i <= 100; ++i) {
        shop.add({{"x" + std::to_string(t), i}, {"y" + std::to_string(t), i}});
        if (i % 10 == 0) relay->notify();
      }
    });
  }
  for (auto& each : threads) each.join();
  REQUIRE(got.wait(600));
  for (const auto& [key, numbers] : got.all()) CHECK(numbers == up_to(100));
  CHECK(eventually([&] { return relay->backlog().value().pending == 0; }));
  CHECK(eventually([&] { return relay->health().relayed == 600; }));
  CHECK(relay->health().ok);
  CHECK(relay->stop(patience));
  CHECK(relay->stop(patience));
  CHECK_FALSE(relay->health().active);
}

TEST_CASE("relay thread: of two on one file one works, and the other goes on when it is stopped") {
  const TemporaryFolder folder;
  Shop shop{folder.file()};
  EventBus<Memory> bus{{.group = "g"}};
  Got got;
  const auto subscription = bus.subscribe("orders", got.handler());
  OutboxRelay one{bus, {.path = folder.file(), .lease = 10min}};
  REQUIRE(eventually([&] { return one.health().active; }));
  OutboxRelay other{bus, {.path = folder.file(), .lease = 10min}};
  shop.add({{"a", 1}});
  REQUIRE(got.wait(1));
  CHECK_FALSE(other.health().active);
  CHECK(other.health().ok);
  CHECK(one.stop(patience));
  shop.add({{"a", 2}});
  REQUIRE(got.wait(2));
  CHECK(eventually([&] { return other.health().relayed == 1; }));
  CHECK(got.all()["a"] == up_to(2));
}

TEST_CASE("relay thread: relays that come and go while messages are added lose none and keep their order") {
  const TemporaryFolder folder;
  EventBus<Memory> bus{{.group = "g"}};
  Got got;
  const auto subscription = bus.subscribe("orders", got.handler());
  std::atomic<bool> done{false};
  std::thread adds{[&] {
    Shop shop{folder.file()};
    for (int i = 1; i <= 200; ++i) shop.add({{"a", i}, {"b", i}});
    done = true;
  }};
  int relays = 0;
  const auto empty = [&] {
    outbox::File file{folder.file(), 5s};
    return file.backlog().value().pending == 0;
  };
  while (!done || !empty()) {
    OutboxRelay relay{bus, {.path = folder.file(), .window = 4}};
    const auto enough = static_cast<std::uint64_t>(++relays % 7);
    REQUIRE(eventually([&] { return relay.health().relayed >= enough || (done && empty()); }));
  }
  adds.join();
  REQUIRE(got.wait(400));
  CHECK(got.all()["a"] == up_to(200));
  CHECK(got.all()["b"] == up_to(200));
}
