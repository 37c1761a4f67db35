// expect: (deleted function|omnibus: the store is a temporary)
// SPDX-License-Identifier: MIT
#include <omnibus/omnibus.hpp>

#include "orders.hpp"

void use(Bus& bus) {
#ifdef CORRECTED
  ob::MemoryKeyStore seen;
  auto subscription = bus.subscribe("orders", charge | ob::idempotent(seen));
#else
  auto subscription = bus.subscribe("orders", charge | ob::idempotent(ob::MemoryKeyStore{}));
#endif
}
