// expect: a handler returns nothing or omnibus::Result<>
// SPDX-License-Identifier: MIT
#include <omnibus/omnibus.hpp>

#include "orders.hpp"

#ifdef CORRECTED
void handle(const OrderPlaced&) {}
#else
bool handle(const OrderPlaced&) { return true; }
#endif

void use(Bus& bus) { auto subscription = bus.subscribe("orders", handle); }
