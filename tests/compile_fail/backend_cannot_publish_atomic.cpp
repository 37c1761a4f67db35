// expect: this backend cannot publish several messages as one. Write publish_all, or choose a backend
// SPDX-License-Identifier: MIT
#include <omnibus/omnibus.hpp>

#include "archetype.hpp"
#include "orders.hpp"

void use(ob::EventBus<Archetype>& bus) {
  ob::MessageBatch batch;
  batch.add("orders", OrderPlaced{}).value();
#ifdef CORRECTED
  bus.publish_all(batch).value();
#else
  bus.publish_atomic(batch).value();
#endif
}
