// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <omnibus/event_store/event.hpp>
#include <omnibus/event_store/query.hpp>
#include <omnibus/result.hpp>
#include <omnibus/time.hpp>

// What an event store must offer, on one screen; the suite says whether a store is right. A store is one order:
// positions, ids and conditions are of all of it, so what can only order a part of its data (a hash slot, a
// shard) is a store for each part. Whoever follows a store relies on one promise above all: once a position was
// read, no event appears at or below it.

namespace omnibus {

/// What a store can do. What it can't does not compile: the functions aren't there.
struct EventStoreCapabilities {
  std::string_view name;         ///< "memory", "sqlite", "redis"
  bool durable = false;          ///< what was appended survives the death of the process
  bool shared = false;           ///< several processes can use one store
  bool conditions = false;       ///< appends can rest on a query: `append_if`
  bool snapshots = false;        ///< it keeps snapshots: `save_snapshot`, `load_snapshot`
  bool checkpoints = false;      ///< it keeps checkpoints of followers: `save_checkpoint`, `load_checkpoint`
};

/// What a stream has to be like for an append.
struct ExpectedVersion {
  enum class Kind : std::uint8_t {
    any,     ///< as it may be: for events that rest on nothing
    none,    ///< there is no such stream, or it was deleted
    exists,  ///< it is there
    exact,   ///< its last event has this version; 0: it never had one
  };
  Kind kind = Kind::any;
  std::uint64_t version = 0;

  static constexpr ExpectedVersion any() noexcept { return {}; }
  static constexpr ExpectedVersion none() noexcept { return {Kind::none, 0}; }
  static constexpr ExpectedVersion exists() noexcept { return {Kind::exists, 0}; }
  static constexpr ExpectedVersion exactly(std::uint64_t last) noexcept { return {Kind::exact, last}; }
};

/// What goes to one stream. Without events the stream is only looked at: the append rests on it.
struct StreamAppend {
  std::string_view stream;
  ExpectedVersion expected{};
  std::span<const NewEvent> events{};
};

/// Where an event came to stand.
struct Placed {
  std::uint64_t version = 0;
  std::uint64_t position = 0;
  bool operator==(const Placed&) const = default;
};

/// The good ending of an append.
struct Appended {
  enum class State : std::uint8_t {
    appended,          ///< stored now
    already_appended,  ///< the same batch was stored before, here, and nothing was done
  };
  State state = State::appended;
  std::vector<Placed> events{};  ///< one for each event, in the order of the batch
  bool operator==(const Appended&) const = default;
};

/// What a store knows of a stream. The version never goes back, not even when events are erased.
struct StreamState {
  enum class Kind : std::uint8_t {
    missing,     ///< nothing was ever appended
    live,
    deleted,     ///< its events are gone; an append begins it again, at the next version
    tombstoned,  ///< its events are gone and none will ever come
  };
  Kind kind = Kind::missing;
  std::uint64_t version = 0;        ///< of the last event
  std::uint64_t first = 1;          ///< below it, events were erased
  std::uint64_t deleted_until = 0;  ///< up to this version it was deleted; snapshots of that are none of it
  bool operator==(const StreamState&) const = default;
};

enum class Direction : std::uint8_t { forwards, backwards };

/// Which part to read: versions of a stream, or positions of a store.
struct ReadRange {
  std::optional<std::uint64_t> from{};  ///< this one included; left out: where the direction begins
  Direction direction = Direction::forwards;
  std::size_t limit = 1000;             ///< events, after filtering
  std::size_t max_bytes = 4 << 20;      ///< a page ends when it is reached; one event fits always
};

/// How far a read of a stream came.
struct StreamRead {
  StreamState stream{};
  std::uint64_t next = 0;  ///< the version to read from for what comes next
  bool end = false;        ///< nothing comes next now
};

/// How far a read of a store or category came. A page may be short, even empty, before the end.
struct StoreRead {
  std::uint64_t next = 0;  ///< the position to read from for what comes next
  std::uint64_t head = 0;  ///< the highest position that was given out when it looked, erased events included
  bool end = false;        ///< nothing comes next now
};

/// A state that was computed from a stream's events up to a version.
struct Snapshot {
  std::uint64_t version = 0;
  std::string state;
};

/// A store of events in streams. Thread safety: shared objects are safe. Blocking: as long as the storage.
/// Every operation is atomic, and what it did is seen by every read that begins after it has returned.
/// Errors of all: unavailable; of what writes also outcome_unknown: nobody can tell, so the same append is
/// to be tried again with the same ids. Nothing is stored on any error but that.
template <class S>
concept EventStore =
    requires {
      { S::capabilities } -> std::convertible_to<EventStoreCapabilities>;
    } &&
    requires(S& store, std::span<const StreamAppend> batch, std::string_view name, ExpectedVersion expected,
             const ReadRange& range, const EventQuery& query, EventPage& page, std::uint64_t number,
             Instant until) {
      // Stores all events or none, one stream behind the other, at positions above all others. Ids are looked
      // at first: a batch whose events all are stored, by stream in this order without others in between and
      // with the same type, payload and tags, is answered with `already_appended`, whatever it expects. Errors:
      // id_reused when an id is stored otherwise, stream_deleted, conflict (names all streams that are not
      // as expected), invalid_argument, too_large.
      { store.append(batch) } -> std::same_as<Result<Appended>>;
      // Fills the page with events of a stream. A stream that is not there has none, which is no error.
      { store.read_stream(name, range, page) } -> std::same_as<Result<StreamRead>>;
      // Fills the page with events that the query matches, by position.
      { store.read_all(query, range, page) } -> std::same_as<Result<StoreRead>>;
      // Likewise of the streams of a category.
      { store.read_category(name, query, range, page) } -> std::same_as<Result<StoreRead>>;
      // Where the event of this id stands or, when it was erased, stood; ids are never forgotten. This is how
      // a checkpoint learns whether the store is the one it knew.
      { store.locate(name) } -> std::same_as<Result<std::optional<Placed>>>;
      // Erases what is below the version, for ever and from every read. Errors: not_found, stream_deleted.
      { store.truncate(name, number) } -> std::same_as<Result<>>;
      // Erases all events; an append begins the stream again. Of no effect on one that was deleted.
      // Errors: conflict, not_found, stream_deleted.
      { store.soft_delete(name, expected) } -> std::same_as<Result<>>;
      // Erases all events and refuses any more, also of a stream that is not there yet. Errors: conflict.
      { store.tombstone(name, expected) } -> std::same_as<Result<>>;
      // Blocks until something may stand behind the position, or this moment has come: then false. A hint
      // for who follows; what is there, reads alone tell.
      { store.wait_beyond(number, until) } -> std::same_as<bool>;
    };

/// A store whose appends can rest on a query.
template <class S>
concept ConditionalEventStore =
    EventStore<S> && S::capabilities.conditions &&
    requires(S& store, std::span<const StreamAppend> batch, const AppendCondition& condition) {
      // As `append`; conflict also when the condition does not hold. A resend is one whatever it says.
      { store.append_if(batch, condition) } -> std::same_as<Result<Appended>>;
    };

/// A store that keeps snapshots beside the streams. They are a cache: whoever gets none reads all events.
template <class S>
concept SnapshotStore =
    EventStore<S> && S::capabilities.snapshots &&
    requires(S& store, std::string_view stream, std::string_view schema, const Snapshot& snapshot) {
      // Keeps one for each stream and schema. False: not kept, since there is a newer one or it is none of
      // this stream's as it is now.
      { store.save_snapshot(stream, schema, snapshot) } -> std::same_as<Result<bool>>;
      // Only one that all events behind its version are there for.
      { store.load_snapshot(stream, schema) } -> std::same_as<Result<std::optional<Snapshot>>>;
      { store.drop_snapshot(stream, schema) } -> std::same_as<Result<>>;
    };

/// Appends to one stream.
template <EventStore S>
Result<Appended> append(S& store, std::string_view stream, ExpectedVersion expected,
                        std::span<const NewEvent> events) {
  const StreamAppend one{stream, expected, events};
  return store.append({&one, 1});
}

}  // namespace omnibus
