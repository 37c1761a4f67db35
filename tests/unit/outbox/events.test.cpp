// SPDX-License-Identifier: MIT
#include <omnibus/outbox/events.hpp>

#include <omnibus/event_store/projection.hpp>
#include <omnibus/event_store/sqlite.hpp>
#include <omnibus/outbox/engine.hpp>

#include <string>
#include <vector>

#include "catch.hpp"
#include "unit/outbox/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;

namespace {

/// Of orders that were placed alone.
std::optional<OutboxMessage> placed_order(const StoredEvent& event) {
  if (event.type != "placed") return std::nullopt;
  OutboxMessage made{"orders", {}};
  made.message.key = event.stream;
  made.message.payload = event.payload;
  made.message.type = event.type;
  return made;
}

void append_order(SqliteEventStore& store, const std::string& stream, const std::string& id, const std::string& type) {
  const std::string text = "p " + id;
  const NewEvent event{.id = id, .type = type, .payload = text};
  (void)append(store, stream, ExpectedVersion::any(), {&event, 1}).value();
}

}  // namespace

TEST_CASE("events to outbox: each event that is wanted comes into the outbox once, with its id, and is relayed") {
  const TemporaryFolder folder;
  SqliteEventStore store{{.path = folder.file()}};
  append_order(store, "order-1", "e1", "placed");
  append_order(store, "order-2", "e2", "noted");
  append_order(store, "order-1", "e3", "placed");
  {
    Projection published{store, {.name = "published"}, to_outbox(placed_order)};
    CHECK(published.catch_up());
  }
  append_order(store, "order-2", "e4", "placed");
  Projection published{store, {.name = "published"}, to_outbox(placed_order)};
  CHECK(published.catch_up());
  CHECK(published.catch_up());
  FakeBus bus;
  outbox::Engine engine{bus, {.path = folder.file()}};
  while (engine.step()) {
  }
  CHECK(bus.take_ids() == std::vector<std::string>{"e1", "e4"});
  CHECK(bus.sent[0].message.payload == "p e1");
  CHECK(bus.sent[0].message.time != Time{});
  bus.end("e1");
  while (engine.step()) {
  }
  CHECK(bus.take_ids() == std::vector<std::string>{"e3"});
}

TEST_CASE("events to outbox: an event of which no message can be made stops the projection in front of it") {
  const TemporaryFolder folder;
  SqliteEventStore store{{.path = folder.file()}};
  append_order(store, "order-1", "e1", "placed");
  append_order(store, "order-1", "e2", "placed");
  bool sick = true;
  Projection published{store, {.name = "published"}, to_outbox([&](const StoredEvent& event) {
                         auto made = placed_order(event);
                         if (sick && event.id == "e2") made->topic = "no topic";
                         return made;
                       })};
  const auto stopped = published.catch_up();
  REQUIRE_FALSE(stopped);
  CHECK(stopped.error().code == Errc::invalid_argument);
  outbox::File file{folder.file(), 5s};
  CHECK(file.backlog().value().pending == 1);
  sick = false;
  CHECK(published.catch_up());
  CHECK(file.backlog().value().pending == 2);
}
