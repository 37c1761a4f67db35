// expect: this is no effect of an inbox. Write a callable omnibus::Result<>\(sqlite3\*, const Event&\)
// SPDX-License-Identifier: MIT
#include <omnibus/omnibus.hpp>
#include <omnibus/outbox/inbox.hpp>

#include "orders.hpp"

void use(Bus& bus, ob::SqliteKeyStore& file) {
#ifdef CORRECTED
  auto billing = bus.subscribe(
      "orders", ob::inbox(file, [](sqlite3*, const OrderPlaced&) -> ob::Result<> { return {}; }));
#else
  auto billing = bus.subscribe("orders", ob::inbox(file, [](const OrderPlaced&) -> ob::Result<> { return {}; }));
#endif
}
