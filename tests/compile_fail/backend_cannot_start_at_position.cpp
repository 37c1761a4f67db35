// expect: this backend has no positions to start from. Write .start = omnibus::earliest or
// SPDX-License-Identifier: MIT
#include <omnibus/omnibus.hpp>

#include "archetype.hpp"
#include "orders.hpp"

void use(ob::EventBus<Archetype>& bus) {
#ifdef CORRECTED
  auto subscription = bus.subscribe("orders", charge, {.start = ob::earliest});
#else
  auto subscription = bus.subscribe("orders", charge, {.start = ob::at(ob::Position{7})});
#endif
}
