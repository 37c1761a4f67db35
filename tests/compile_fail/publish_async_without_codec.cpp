// expect: this event has no codec. Write template <> struct omnibus::Codec<Event>
// SPDX-License-Identifier: MIT
#include <omnibus/omnibus.hpp>

#include "orders.hpp"

void use(Bus& bus) {
#ifdef CORRECTED
  bus.publish_async("orders", OrderPlaced{}, [](ob::Result<ob::Receipt>) {});
#else
  bus.publish_async("orders", Uncoded{}, [](ob::Result<ob::Receipt>) {});
#endif
}
