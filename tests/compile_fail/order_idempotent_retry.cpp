// expect: wrong order. Write handler \| transactional \| retry \| dead_letter \| idempotent
// SPDX-License-Identifier: MIT
#include <omnibus/omnibus.hpp>

#include "orders.hpp"

void use(Bus& bus, ob::MemoryKeyStore& seen) {
#ifdef CORRECTED
  auto subscription = bus.subscribe("orders", charge | ob::retry() | ob::idempotent(seen));
#else
  auto subscription = bus.subscribe("orders", charge | ob::idempotent(seen) | ob::retry());
#endif
}
