// SPDX-License-Identifier: MIT
#include <omnibus/backends/kafka/routes.hpp>

#include <algorithm>
#include <random>
#include <vector>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::kafka;
using namespace omnibus::unit;

namespace {

std::string numbers(const Route& route) {
  std::string text;
  for (const Route::Waiting& each : route.waiting) {
    text += (text.empty() ? "" : " ") + std::to_string(each.number);
  }
  return text;
}

Record record(std::string payload) {
  Record made;
  made.payload = std::move(payload);
  return made;
}

}  // namespace

TEST_CASE("kafka: a route is found by its name once it is added, and stays where it is") {
  Routes routes;
  CHECK(routes.find("orders") == nullptr);
  Route& orders = routes.add({"orders", 12, 3, 5ms}, "like");
  CHECK(orders.plan.name == "orders");
  CHECK(orders.plan.partitions == 12);
  CHECK(orders.plan.replicas == 3);
  CHECK(orders.plan.retention == 5ms);
  CHECK(orders.like == "like");
  CHECK(orders.state == Route::State::unknown);
  CHECK(orders.ask_again == Instant::min());
  CHECK(orders.waiting.empty());
  for (int i = 0; i < 100; ++i) (void)routes.add({"many" + std::to_string(i), 4, -1, {}}, {});
  CHECK(routes.find("orders") == &orders);
  CHECK(routes.find("order") == nullptr);
  CHECK(routes.find("orders2") == nullptr);
}

TEST_CASE("kafka: a route that is added again is the one that was there, with what waits in it") {
  Routes routes;
  Route& first = routes.add({"orders", 12, 3, {}}, {});
  first.waiting.push_back({1, record("a")});
  Route& second = routes.add({"orders", 4, -1, {}}, "other");
  CHECK(&first == &second);
  CHECK(second.plan.partitions == 12);
  CHECK(numbers(second) == "1");
}

TEST_CASE("kafka: every route is seen once") {
  Routes routes;
  std::vector<std::string> seen;
  const auto look = [&](Route& route) { seen.push_back(route.plan.name); };
  routes.for_all(look);
  CHECK(seen.empty());
  for (const char* name : {"b", "a", "c", "a"}) (void)routes.add({name, 4, -1, {}}, {});
  routes.for_all(look);
  CHECK(seen == std::vector<std::string>{"a", "b", "c"});
}

TEST_CASE("kafka: what has to go again goes to its place") {
  Route route;
  for (const std::uint64_t number : {10u, 20u, 30u}) route.waiting.push_back({number, record("")});
  route.wait_again({20 + 5, record("mine"), true});
  CHECK(numbers(route) == "10 20 25 30");
  CHECK(route.waiting[2].record.payload == "mine");
  CHECK(route.waiting[2].doubtful);
  CHECK_FALSE(route.waiting[1].doubtful);
  route.wait_again({5, record("")});
  route.wait_again({40, record("")});
  CHECK(numbers(route) == "5 10 20 25 30 40");
}

TEST_CASE("kafka: whatever comes back in whichever order waits in the order of its numbers") {
  std::mt19937_64 random{8};
  for (int round = 0; round < 50; ++round) {
    std::vector<std::uint64_t> order(200);
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::shuffle(order.begin(), order.end(), random);
    Route route;
    for (const std::uint64_t number : order) {
      route.wait_again({number, record(std::to_string(number))});
    }
    REQUIRE(route.waiting.size() == order.size());
    for (std::size_t i = 0; i < order.size(); ++i) {
      if (route.waiting[i].number != i) FAIL("round " << round);
      if (route.waiting[i].record.payload != std::to_string(i)) FAIL("payload, round " << round);
    }
  }
}
