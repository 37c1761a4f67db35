// expect: this is no stage. Write a callable omnibus::Result<>\(omnibus::Next next
// SPDX-License-Identifier: MIT
#include <omnibus/omnibus.hpp>

#include "orders.hpp"

void use(Bus& bus) {
#ifdef CORRECTED
  const auto log = [](ob::Next next, ob::Delivery& delivery) { return next(delivery); };
#else
  const auto log = [](ob::Delivery&) {};
#endif
  auto subscription = bus.subscribe("orders", charge | ob::retry() | log);
}
