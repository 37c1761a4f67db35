// expect: this event has no codec. Write template <> struct omnibus::Codec<Event>
// SPDX-License-Identifier: MIT
#include <omnibus/omnibus.hpp>

#include "orders.hpp"

#ifdef CORRECTED
void use(Bus& bus, std::span<const OrderPlaced> events) {
#else
void use(Bus& bus, std::span<const Uncoded> events) {
#endif
  (void)bus.publish_batch("orders", events);
}
