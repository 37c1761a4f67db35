// expect: check (it|the Result) or call .value\(\)
// SPDX-License-Identifier: MIT
#include <omnibus/omnibus.hpp>

#include "orders.hpp"

void use(Bus& bus) {
#ifdef CORRECTED
  bus.publish("orders", OrderPlaced{}).value();
#else
  bus.publish("orders", OrderPlaced{});
#endif
}
