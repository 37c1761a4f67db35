// expect: this backend has no transactions. Leave transactional\(\) out and publish in the handler, or choose
// SPDX-License-Identifier: MIT
#include <omnibus/omnibus.hpp>

#include "archetype.hpp"
#include "orders.hpp"

void use(ob::EventBus<Archetype>& bus) {
#ifdef CORRECTED
  auto subscription = bus.subscribe("orders", charge | ob::retry());
#else
  auto subscription = bus.subscribe("orders", charge | ob::transactional() | ob::retry());
#endif
}
