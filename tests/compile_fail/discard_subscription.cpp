// expect: delivery stops when the Subscription is destroyed; keep it
// SPDX-License-Identifier: MIT
#include <omnibus/omnibus.hpp>

#include "orders.hpp"

void use(Bus& bus) {
#ifdef CORRECTED
  auto subscription = bus.subscribe("orders", charge);
#else
  bus.subscribe("orders", charge);
#endif
}
