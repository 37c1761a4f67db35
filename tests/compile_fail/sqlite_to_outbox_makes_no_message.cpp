// expect: this makes no messages. Write a callable std::optional<omnibus::OutboxMessage>\(const
// SPDX-License-Identifier: MIT
#include <omnibus/event_store/projection.hpp>
#include <omnibus/event_store/sqlite.hpp>
#include <omnibus/outbox/events.hpp>

#include "orders.hpp"

void use(ob::SqliteEventStore& store) {
#ifdef CORRECTED
  auto make = [](const ob::StoredEvent&) { return std::optional{ob::OutboxMessage{}}; };
#else
  auto make = [](const ob::StoredEvent& event) { return event.type; };
#endif
  ob::Projection published{store, {.name = "published"}, ob::to_outbox(make)};
}
