// expect: check (it|the Result) or call .value\(\)
// SPDX-License-Identifier: MIT
#include <omnibus/omnibus.hpp>

#include "orders.hpp"

void use(Bus& bus) {
#ifdef CORRECTED
  bus.flush().value();
#else
  bus.flush();
#endif
}
