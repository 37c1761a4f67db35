// SPDX-License-Identifier: MIT
#include "archetype.hpp"

#include "catch.hpp"
#include "orders.hpp"

TEST_CASE("a bus needs no more of a backend than the concept says") {
  ob::EventBus<Archetype> bus{{.group = {"billing"}}};
  std::string charged;
  std::string buried;
  const auto charge_once = [&](const OrderPlaced& order) -> ob::Result<> {
    if (order.id == "bad") return ob::permanent("no such account");
    charged += order.id;
    return {};
  };
  const auto bury = [&](const ob::Delivery& delivery) {
    buried = delivery.payload();
    bus.stop();
  };
  auto orders = bus.subscribe("orders", charge_once | ob::retry({.attempts = 2}) |
                                            ob::dead_letter("orders.dead"));

  bus.publish("orders", OrderPlaced{"o-1"}).value();
  bus.publish_async("orders", OrderPlaced{"o-2"}, [](ob::Result<ob::Receipt>) {});
  bus.publish("orders", OrderPlaced{"bad"}).value();
  auto dead = bus.subscribe("orders.dead", bury);
  bus.run().value();

  CHECK(charged == "o-1o-2");
  CHECK(buried == "bad");
  CHECK(orders.stats().handled == 2);
  CHECK(dead.stats().handled == 1);
}
