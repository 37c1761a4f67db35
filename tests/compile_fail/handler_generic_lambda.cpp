// expect: the handler's event type cannot be deduced. Write a function or lambda with one call
// SPDX-License-Identifier: MIT
#include <omnibus/omnibus.hpp>

#include "orders.hpp"

void use(Bus& bus) {
#ifdef CORRECTED
  auto subscription = bus.subscribe("orders", [](const OrderPlaced&) {});
#else
  auto subscription = bus.subscribe("orders", [](const auto&) {});
#endif
}
