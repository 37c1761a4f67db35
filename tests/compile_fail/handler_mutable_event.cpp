// expect: a handler takes an event, an event and its Delivery, or a Delivery. Write \(const Event&\)
// SPDX-License-Identifier: MIT
#include <omnibus/omnibus.hpp>

#include "orders.hpp"

#ifdef CORRECTED
void handle(OrderPlaced) {}
#else
void handle(OrderPlaced&) {}
#endif

void use(Bus& bus) { auto subscription = bus.subscribe("orders", handle); }
