// expect: transactional\(\) does not go with idempotent\(\), whose key would be completed before
// SPDX-License-Identifier: MIT
#include <omnibus/omnibus.hpp>

#include "archetype.hpp"
#include "orders.hpp"

struct Transacting : Archetype {
  using Archetype::Archetype;
  static constexpr ob::Capabilities capabilities{.name = "transacting", .transactions = true};
};

void use(ob::EventBus<Transacting>& bus, ob::MemoryKeyStore& seen) {
#ifdef CORRECTED
  auto subscription = bus.subscribe("orders", charge | ob::transactional() | ob::retry());
  (void)seen;
#else
  auto subscription = bus.subscribe("orders", charge | ob::transactional() | ob::idempotent(seen));
#endif
}
