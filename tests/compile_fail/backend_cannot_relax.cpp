// expect: this backend cannot redeliver later. Write .order = omnibus::strict
// SPDX-License-Identifier: MIT
#include <omnibus/omnibus.hpp>

#include "archetype.hpp"
#include "orders.hpp"

void use(ob::EventBus<Archetype>& bus) {
#ifdef CORRECTED
  auto subscription = bus.subscribe("orders", charge, {.order = ob::strict});
#else
  auto subscription = bus.subscribe("orders", charge, {.order = ob::relaxed});
#endif
}
