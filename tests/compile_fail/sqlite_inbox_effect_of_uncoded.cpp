// expect: this is no effect of an inbox. .* with a codec for the event
// SPDX-License-Identifier: MIT
#include <omnibus/omnibus.hpp>
#include <omnibus/outbox/inbox.hpp>

#include "orders.hpp"

#ifdef CORRECTED
using Event = OrderPlaced;
#else
using Event = Uncoded;
#endif

void use(Bus& bus, ob::SqliteKeyStore& file) {
  auto billing =
      bus.subscribe("orders", ob::inbox(file, [](sqlite3*, const Event&) -> ob::Result<> { return {}; }));
}
