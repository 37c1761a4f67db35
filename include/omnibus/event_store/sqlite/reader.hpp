// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <omnibus/event_store/sqlite/finder.hpp>

// A connection that reads. Each read sees one moment of the file, and holds nobody up.

namespace omnibus::event_store::sqlite {

/// Thread safety: one thread at a time. Errors of all: those of opening.
class Reader {
 public:
  Result<> open(const SqliteEventStoreOptions& options) {
    if (Result<> opened = connection_.open(options); !opened) return opened;
    if (Result<> prepared = finder_.prepare(); !prepared) return prepared;
    return connection_.prepare({
        {begin_, "BEGIN"},
        {end_, "COMMIT"},
        {streams_[0], "SELECT position, version, ?4, id, type, payload, tags, metadata, time FROM omnibus_events"
                      " WHERE stream = ?1 AND version BETWEEN ?2 AND ?3 ORDER BY version"},
        {streams_[1], "SELECT position, version, ?4, id, type, payload, tags, metadata, time FROM omnibus_events"
                      " WHERE stream = ?1 AND version BETWEEN ?2 AND ?3 ORDER BY version DESC"},
        {snapshot_, "SELECT version, state FROM omnibus_snapshots WHERE stream = ?1 AND schema = ?2"},
    });
  }

  Result<std::int64_t> head() { return finder_.head(); }

  Result<StreamRead> read_stream(std::string_view name, const ReadRange& range, EventPage& page) {
    Moment moment{*this};
    const Result<StreamRow> found = finder_.stream(name);
    if (!found) return found.error();
    if (found->id == 0) return StreamRead{{}, 1, true};
    const StreamState& state = found->state;
    const bool forwards = range.direction == Direction::forwards;
    std::uint64_t at = forwards ? std::max(range.from.value_or(1), state.first)
                                : std::min(range.from.value_or(UINT64_MAX), state.version);
    const auto is_inside = [&] { return at >= state.first && at <= state.version; };
    if (!is_inside()) return StreamRead{state, at, true};
    const detail::sqlite::Use rows{streams_[forwards ? 0 : 1]};
    rows->bind(1, found->id).bind(2, signed_of(forwards ? at : state.first));
    rows->bind(3, signed_of(forwards ? state.version : at)).bind(4, name);
    for (; is_inside() && has_room(page, range); forwards ? ++at : --at) {
      const int code = rows->step();
      if (code != SQLITE_ROW && code != SQLITE_DONE) return connection_.problem();
      StoredEvent event;
      const EventRow row{*rows.operator->(), finder_.tags};
      if (code == SQLITE_DONE || row.is_erased() || !row.read(event) || event.version != at) {
        return connection_.damaged("version " + std::to_string(at) + " of stream " + std::string{name} +
                                   " is not there or not whole");
      }
      page.add(event);
    }
    return StreamRead{state, at, !is_inside()};
  }

  Result<StoreRead> read(const std::string_view* name, const EventQuery& query, const ReadRange& range,
                         EventPage& page) {
    Moment moment{*this};
    const Result<std::int64_t> highest = finder_.head();
    if (!highest) return highest.error();
    const auto head = static_cast<std::uint64_t>(*highest);
    const bool forwards = range.direction == Direction::forwards;
    const std::uint64_t from = forwards ? std::max<std::uint64_t>(range.from.value_or(1), 1)
                                        : std::min(range.from.value_or(head), head);
    const StoreRead all{forwards ? std::max(from, head + 1) : 0, head, true};
    if (from == 0 || from > head) return all;
    std::optional<std::int64_t> category;
    if (name != nullptr) {
      const Result<std::int64_t> found = finder_.category(*name);
      if (!found) return found.error();
      if (*found == 0) return all;
      category = *found;
    }
    std::optional<Error> damage;
    const auto add = [&](const EventRow& row) {
      if (!has_room(page, range)) return false;
      if (row.is_erased()) return true;
      StoredEvent event;
      if (!row.read(event)) {
        damage = connection_.damaged("the event at position " + std::to_string(row.position()) + " is not whole");
        return false;
      }
      if (matches(query, event.type, event.tags)) page.add(event);
      return true;
    };
    const Path path{category, signed_of(from), *highest, range.direction, most_looked_at};
    const Result<Walk> walk = finder_.walk(query, path, add);
    if (damage) return std::move(*damage);
    if (!walk) return walk.error();
    if (walk->end) return all;
    return StoreRead{static_cast<std::uint64_t>(walk->next), head, false};
  }

  Result<std::optional<Placed>> locate(std::string_view id) { return finder_.locate(id); }
  Result<Checkpoint> load_checkpoint(std::string_view follower) { return finder_.checkpoint(follower); }

  Result<std::optional<Snapshot>> load_snapshot(std::string_view name, std::string_view schema) {
    Moment moment{*this};
    const Result<StreamRow> found = finder_.stream(name);
    if (!found) return found.error();
    const detail::sqlite::Use look{snapshot_};
    switch (look->bind(1, found->id).bind(2, schema).step()) {
      case SQLITE_DONE: return std::optional<Snapshot>{};
      case SQLITE_ROW: break;
      default: return connection_.problem();
    }
    Snapshot snapshot{static_cast<std::uint64_t>(look->number(0)), std::string{look->bytes(1)}};
    if (!is_usable_snapshot(found->state, snapshot.version)) return std::optional<Snapshot>{};
    return std::optional{std::move(snapshot)};
  }

  /// Moves what the log holds into the file, as far as no reader needs it where it is. `start_over`: waits a
  /// moment for readers, so that the log can begin anew.
  void checkpoint(bool start_over) noexcept {
    connection_.database.be_patient_for(a_moment);
    (void)sqlite3_wal_checkpoint_v2(connection_.database.get(), nullptr,
                                    start_over ? SQLITE_CHECKPOINT_RESTART : SQLITE_CHECKPOINT_PASSIVE, nullptr,
                                    nullptr);
    connection_.database.be_patient_for(connection_.patience);
  }

 private:
  /// A read of few among many comes in parts, so that the log need not wait for it.
  static constexpr std::size_t most_looked_at = 65'536;
  static constexpr std::chrono::milliseconds a_moment{20};

  /// All that is read while it lasts is of one moment.
  class Moment {
   public:
    explicit Moment(Reader& reader) noexcept : end_{reader.end_} {
      const detail::sqlite::Use begin{reader.begin_};
      (void)begin->step();
    }
    ~Moment() {
      const detail::sqlite::Use end{end_};
      (void)end->step();
    }
    Moment(const Moment&) = delete;

   private:
    detail::sqlite::Statement& end_;
  };

  static bool has_room(const EventPage& page, const ReadRange& range) noexcept {
    return page.size() < range.limit && (page.empty() || page.bytes() < range.max_bytes);
  }
  static std::int64_t signed_of(std::uint64_t number) noexcept { return static_cast<std::int64_t>(number); }

  Connection connection_;
  Finder finder_{connection_};
  detail::sqlite::Statement begin_, end_, streams_[2], snapshot_;
};

}  // namespace omnibus::event_store::sqlite
