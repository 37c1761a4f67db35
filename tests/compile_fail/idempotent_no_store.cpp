// expect: this is no key store. Write one with claim, complete, release and max_result
// SPDX-License-Identifier: MIT
#include <omnibus/omnibus.hpp>

#include "orders.hpp"

void use(Bus& bus) {
#ifdef CORRECTED
  ob::MemoryKeyStore seen;
#else
  std::string seen;
#endif
  auto subscription = bus.subscribe("orders", charge | ob::idempotent(seen));
}
