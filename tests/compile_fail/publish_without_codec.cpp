// expect: this event has no codec. Write template <> struct omnibus::Codec<Event>
// SPDX-License-Identifier: MIT
#include <omnibus/omnibus.hpp>

#include "orders.hpp"

void use(Bus& bus) {
#ifdef CORRECTED
  bus.publish("orders", OrderPlaced{}).value();
#else
  bus.publish("orders", Uncoded{}).value();
#endif
}
