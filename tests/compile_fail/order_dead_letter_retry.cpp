// expect: wrong order. Write handler \| transactional \| retry \| dead_letter \| idempotent
// SPDX-License-Identifier: MIT
#include <omnibus/omnibus.hpp>

#include "orders.hpp"

void use(Bus& bus) {
#ifdef CORRECTED
  auto subscription = bus.subscribe("orders", charge | ob::retry() | ob::dead_letter("dead"));
#else
  auto subscription = bus.subscribe("orders", charge | ob::dead_letter("dead") | ob::retry());
#endif
}
