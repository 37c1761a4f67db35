// expect: this is no handler of batches\. Write a callable with a parameter omnibus::Batch&
// SPDX-License-Identifier: MIT
#include <omnibus/omnibus.hpp>

#include "orders.hpp"

void use(Bus& bus) {
#ifdef CORRECTED
  auto subscription = bus.subscribe("orders", ob::in_batches([](ob::Batch&) {}));
#else
  auto subscription = bus.subscribe("orders", ob::in_batches([](const OrderPlaced&) {}));
#endif
}
