// expect: this backend cannot start at a time. Write .start = omnibus::earliest or
// SPDX-License-Identifier: MIT
#include <omnibus/omnibus.hpp>

#include "archetype.hpp"
#include "orders.hpp"

void use(ob::EventBus<Archetype>& bus) {
#ifdef CORRECTED
  auto subscription = bus.subscribe("orders", charge, {.start = ob::latest});
#else
  auto subscription = bus.subscribe("orders", charge, {.start = ob::since(ob::Time{})});
#endif
}
