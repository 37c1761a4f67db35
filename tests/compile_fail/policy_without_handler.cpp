// expect: this is a policy without a handler. Write handler \| policy
// SPDX-License-Identifier: MIT
#include <omnibus/omnibus.hpp>

#include "orders.hpp"

void use(Bus& bus) {
  const auto reliable = ob::retry() | ob::dead_letter("dead");
#ifdef CORRECTED
  auto subscription = bus.subscribe("orders", charge | reliable);
#else
  auto subscription = bus.subscribe("orders", reliable);
#endif
}
