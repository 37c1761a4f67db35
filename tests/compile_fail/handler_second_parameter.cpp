// expect: a handler takes an event, an event and its Delivery, or a Delivery. Write
// SPDX-License-Identifier: MIT
#include <omnibus/omnibus.hpp>

#include "orders.hpp"

#ifdef CORRECTED
void handle(const OrderPlaced&, const ob::Delivery&) {}
#else
void handle(const OrderPlaced&, int) {}
#endif

void use(Bus& bus) { auto subscription = bus.subscribe("orders", handle); }
