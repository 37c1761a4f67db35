// expect: (deleted|no known conversion|could not convert|no matching)
// SPDX-License-Identifier: MIT
#include <omnibus/omnibus.hpp>

#include "orders.hpp"

void use(Bus& bus) {
#ifdef CORRECTED
  ob::MemoryParkedStore store;
  auto subscription = bus.subscribe("orders", charge, {.order = ob::parked, .parked_in = store});
#else
  auto subscription =
      bus.subscribe("orders", charge, {.order = ob::parked, .parked_in = ob::MemoryParkedStore{}});
#endif
}
