// SPDX-License-Identifier: MIT
#include <cstdio>
#include <omnibus/codec/json.hpp>
#include <omnibus/omnibus.hpp>

namespace ob = omnibus;
using namespace std::chrono_literals;
using Bus = ob::EventBus<ob::Memory>;  // the one line that names a broker

struct OrderPlaced {
  std::string id;
  double total;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(OrderPlaced, id, total)

template <>
struct omnibus::Codec<OrderPlaced> : omnibus::JsonCodec<OrderPlaced> {
  static constexpr std::string_view type = "order.placed";
  static std::string_view key(const OrderPlaced& order) { return order.id; }
};

int main() {
  Bus bus{{.group = "billing"}};
  ob::MemoryKeyStore seen;

  auto reliable = ob::retry({.attempts = 5, .initial = 100ms})  // try again, backing off
                  | ob::dead_letter("orders.dlq")               // park what still fails
                  | ob::idempotent(seen);                       // and never do it twice

  auto charge = [&bus](const OrderPlaced& order) {
    std::printf("charging %s: %.2f\n", order.id.c_str(), order.total);
    bus.stop();
  };
  auto billing = bus.subscribe("orders", charge | reliable);
  bus.publish("orders", OrderPlaced{.id = "o-17", .total = 42.0}).value();
  bus.run().value();  // until stop()
}
