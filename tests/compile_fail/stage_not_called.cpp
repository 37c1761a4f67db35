// expect: this is no stage. Write a callable omnibus::Result<>\(omnibus::Next next
// SPDX-License-Identifier: MIT
#include <omnibus/omnibus.hpp>

#include "orders.hpp"

void use(Bus& bus) {
#ifdef CORRECTED
  auto subscription = bus.subscribe("orders", charge | ob::retry() | ob::dead_letter("dead"));
#else
  auto subscription = bus.subscribe("orders", charge | ob::retry() | ob::dead_letter);
#endif
}
