// SPDX-License-Identifier: MIT
// Events are your own structs. Each has a Codec that names it on the wire, and one subscription has
// a handler for each of them.
#include <iostream>
#include <omnibus/codec/json.hpp>
#include <omnibus/omnibus.hpp>
#include <string>

namespace ob = omnibus;

struct OrderPlaced {
  std::string order;
  std::string customer;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(OrderPlaced, order, customer)

struct OrderPaid {
  std::string order;
  double amount = 0;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(OrderPaid, order, amount)

template <>
struct omnibus::Codec<OrderPlaced> : omnibus::JsonCodec<OrderPlaced> {
  static constexpr std::string_view type = "order.placed";
  static std::string_view key(const OrderPlaced& event) { return event.order; }
};
template <>
struct omnibus::Codec<OrderPaid> : omnibus::JsonCodec<OrderPaid> {
  static constexpr std::string_view type = "order.paid";
  static std::string_view key(const OrderPaid& event) { return event.order; }
};

int main() {
  ob::EventBus<ob::Memory> bus{{.group = "ledger"}};

  const auto placed = [](const OrderPlaced& event) {
    std::cout << event.customer << " placed " << event.order << '\n';
  };
  const auto paid = [&bus](const OrderPaid& event, const ob::Delivery& delivery) {
    std::cout << event.order << " is paid: " << event.amount << ", sent as " << delivery.payload()
              << '\n';
    bus.stop();
  };
  auto ledger = bus.subscribe("orders", ob::handlers(placed, paid));

  bus.publish("orders", OrderPlaced{.order = "o-17", .customer = "Ada"}).value();
  bus.publish("orders", OrderPaid{.order = "o-17", .amount = 42.5}).value();
  bus.run().value();
}
