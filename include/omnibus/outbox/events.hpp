// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include <omnibus/event_store/event.hpp>
#include <omnibus/message.hpp>
#include <omnibus/outbox/sqlite.hpp>
#include <omnibus/result.hpp>

// From an event store to an outbox, and from there to a broker.

namespace omnibus {

/// A message on its way into an outbox.
struct OutboxMessage {
  std::string topic;
  Message message;  ///< without an id, it gets that of its event; without a time, likewise
};

/// What a Projection of a SqliteEventStore applies, so that its events are published: puts the message that `make`
/// makes of each event, or none, into the outbox of the store's file, in the transaction that moves the checkpoint.
///
///     ob::Projection published{store, {.name = "published"}, ob::to_outbox([](const ob::StoredEvent& event) {
///       return std::optional{ob::OutboxMessage{"orders", ...}};
///     })};
///     ob::OutboxRelay relay{bus, {.path = "events.db"}};
///
/// Delivery: each event comes into the outbox exactly once, and from there at least once, with the event's id.
/// Order: of one key, that of the events' positions. Errors: those of SqliteOutbox and of `make`; the projection stops
/// in front of the event then.
template <class Make>
auto to_outbox(Make make) {
  constexpr bool good = std::is_invocable_r_v<std::optional<OutboxMessage>, Make&, const StoredEvent&>;
  static_assert(good,
                "omnibus: this makes no messages. Write a callable std::optional<omnibus::OutboxMessage>(const "
                "omnibus::StoredEvent& event)");
  if constexpr (good) {
    return [make = std::move(make)](const StoredEvent& event, sqlite3* transaction) mutable -> Result<> {
      std::optional<OutboxMessage> made = make(event);
      if (!made) return {};
      if (made->message.id.empty()) made->message.id = event.id;
      if (made->message.time == Time{}) made->message.time = event.time;
      return SqliteOutbox{transaction}.add(made->topic, made->message);
    };
  } else {
    return [](const StoredEvent&, sqlite3*) -> Result<> { return {}; };
  }
}

}  // namespace omnibus
