// expect: the handler's event has no codec. Write template <> struct omnibus::Codec<Event>
// SPDX-License-Identifier: MIT
#include <omnibus/omnibus.hpp>

#include "orders.hpp"

#ifdef CORRECTED
void handle(const OrderPlaced&) {}
#else
void handle(const Uncoded&) {}
#endif

void use(Bus& bus) { auto subscription = bus.subscribe("orders", handle); }
