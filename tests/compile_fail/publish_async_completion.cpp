// expect: this is no completion of publish_async. Write a callable
// SPDX-License-Identifier: MIT
#include <omnibus/omnibus.hpp>

#include "orders.hpp"

void use(Bus& bus) {
#ifdef CORRECTED
  bus.publish_async("orders", OrderPlaced{}, [](ob::Result<ob::Receipt>) {});
#else
  bus.publish_async("orders", OrderPlaced{}, [](std::string_view) {});
#endif
}
