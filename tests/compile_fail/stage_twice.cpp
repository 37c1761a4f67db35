// expect: Write handler \| transactional \| retry \| dead_letter \| idempotent, each at most once
// SPDX-License-Identifier: MIT
#include <omnibus/omnibus.hpp>

#include "orders.hpp"

void use(Bus& bus) {
#ifdef CORRECTED
  auto subscription = bus.subscribe("orders", charge | ob::retry());
#else
  auto subscription = bus.subscribe("orders", charge | ob::retry() | ob::retry());
#endif
}
