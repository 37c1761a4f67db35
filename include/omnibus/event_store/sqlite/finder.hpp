// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <omnibus/detail/sqlite.hpp>
#include <omnibus/event_store/checkpoint.hpp>
#include <omnibus/event_store/columns.hpp>
#include <omnibus/event_store/query.hpp>
#include <omnibus/event_store/sqlite/connection.hpp>
#include <omnibus/event_store/store.hpp>
#include <omnibus/result.hpp>

// Finds streams, and events by what a query says, for who reads and for who checks a condition.

namespace omnibus::event_store::sqlite {

/// A stream as the tables have it.
struct StreamRow {
  std::string_view name;      ///< as it was asked for
  std::int64_t id = 0;        ///< 0: there is none
  std::int64_t category = 0;
  StreamState state{};
};

/// An event's row, of which a statement shows the columns position, version, name, id, type, payload, tags,
/// metadata, time.
class EventRow {
 public:
  explicit EventRow(detail::sqlite::Statement& statement, std::vector<std::string_view>& tags) noexcept
      : row_{statement}, tags_{tags} {}

  std::int64_t position() const noexcept { return row_.number(0); }
  bool is_erased() const noexcept { return row_.is_null(4); }
  /// Views the event until the statement goes on. False: the row is damaged.
  bool read(StoredEvent& event) const {
    if (row_.is_null(2)) return false;  // its stream is not there
    event.position = static_cast<std::uint64_t>(row_.number(0));
    event.version = static_cast<std::uint64_t>(row_.number(1));
    event.stream = row_.bytes(2);
    event.id = row_.bytes(3);
    event.type = row_.bytes(4);
    event.payload = row_.bytes(5);
    const std::string_view metadata = row_.bytes(7);
    const std::int64_t time = row_.number(8);
    if (!decode_tags(row_.bytes(6), tags_) || !is_headers_block(metadata) || !is_time(time)) return false;
    event.metadata = HeadersView{metadata};
    event.tags = tags_;
    event.time = Time{std::chrono::microseconds{time}};
    return true;
  }

 private:
  /// Whether so many microseconds are a Time, which counts finer.
  static bool is_time(std::int64_t microseconds) noexcept {
    constexpr auto most = std::chrono::floor<std::chrono::microseconds>(Time::max().time_since_epoch()).count();
    return microseconds <= most && microseconds >= -most;
  }

  detail::sqlite::Statement& row_;
  std::vector<std::string_view>& tags_;
};

/// Which candidates of a query to walk along.
struct Path {
  std::optional<std::int64_t> category{};  ///< left out: of everything
  std::int64_t from = 1;
  std::int64_t head = 0;                   ///< the highest position there is
  Direction direction = Direction::forwards;
  std::size_t most = SIZE_MAX;             ///< how many to look at
};

/// Where a walk has ended.
struct Walk {
  std::int64_t next = 0;  ///< the first position that was not visited
  bool end = false;       ///< there is none
};

/// Thread safety: one thread at a time. Lifetime: goes before the connection. Errors of all: unavailable,
/// topology_mismatch.
class Finder {
 public:
  explicit Finder(Connection& connection) noexcept : connection_{connection} {}

  Result<> prepare() {
    return connection_.prepare({
        {head_, "SELECT max(position) FROM omnibus_events"},
        {stream_, "SELECT id, category, kind, first, deleted_until,"
                  " (SELECT max(version) FROM omnibus_events WHERE stream = s.id)"
                  " FROM omnibus_streams s WHERE name = ?1"},
        {locate_, "SELECT version, position FROM omnibus_events WHERE id = ?1"},
        {checkpoint_, "SELECT position, event FROM omnibus_checkpoints WHERE follower = ?1"},
        {category_, "SELECT id FROM omnibus_categories WHERE name = ?1"},
        {at_, "SELECT e.position, e.version, s.name, e.id, e.type, e.payload, e.tags, e.metadata, e.time"
              " FROM omnibus_events e LEFT JOIN omnibus_streams s ON s.id = e.stream WHERE e.position = ?1"},
        {scans_[0], "SELECT e.position, e.version, s.name, e.id, e.type, e.payload, e.tags, e.metadata, e.time"
                    " FROM omnibus_events e LEFT JOIN omnibus_streams s ON s.id = e.stream"
                    " WHERE e.position >= ?1 ORDER BY e.position"},
        {scans_[1], "SELECT e.position, e.version, s.name, e.id, e.type, e.payload, e.tags, e.metadata, e.time"
                    " FROM omnibus_events e LEFT JOIN omnibus_streams s ON s.id = e.stream"
                    " WHERE e.position <= ?1 ORDER BY e.position DESC"},
        {category_scans_[0],
         "SELECT e.position, e.version, s.name, e.id, e.type, e.payload, e.tags, e.metadata, e.time"
         " FROM omnibus_events e LEFT JOIN omnibus_streams s ON s.id = e.stream"
         " WHERE e.category = ?2 AND e.position >= ?1 ORDER BY e.position"},
        {category_scans_[1],
         "SELECT e.position, e.version, s.name, e.id, e.type, e.payload, e.tags, e.metadata, e.time"
         " FROM omnibus_events e LEFT JOIN omnibus_streams s ON s.id = e.stream"
         " WHERE e.category = ?2 AND e.position <= ?1 ORDER BY e.position DESC"},
        {tag_leaps_[0], "SELECT position FROM omnibus_event_tags WHERE tag = ?2 AND position >= ?1"
                        " ORDER BY position LIMIT 1"},
        {tag_leaps_[1], "SELECT position FROM omnibus_event_tags WHERE tag = ?2 AND position <= ?1"
                        " ORDER BY position DESC LIMIT 1"},
        {category_leaps_[0], "SELECT position FROM omnibus_events WHERE category = ?2 AND position >= ?1"
                             " ORDER BY position LIMIT 1"},
        {category_leaps_[1], "SELECT position FROM omnibus_events WHERE category = ?2 AND position <= ?1"
                             " ORDER BY position DESC LIMIT 1"},
    });
  }

  /// The highest position, 0 without events.
  Result<std::int64_t> head() {
    const detail::sqlite::Use look{head_};
    if (look->step() != SQLITE_ROW) return connection_.problem();
    return look->number(0);
  }
  Result<StreamRow> stream(std::string_view name) {
    const detail::sqlite::Use look{stream_};
    StreamRow row{name};
    switch (look->bind(1, name).step()) {
      case SQLITE_DONE: return row;
      case SQLITE_ROW: break;
      default: return connection_.problem();
    }
    row.id = look->number(0);
    row.category = look->number(1);
    row.state = {static_cast<StreamState::Kind>(look->number(2)), static_cast<std::uint64_t>(look->number(5)),
                 static_cast<std::uint64_t>(look->number(3)), static_cast<std::uint64_t>(look->number(4))};
    return row;
  }
  /// Where the event of this id stands.
  Result<std::optional<Placed>> locate(std::string_view id) {
    const detail::sqlite::Use look{locate_};
    switch (look->bind(1, id).step()) {
      case SQLITE_DONE: return std::optional<Placed>{};
      case SQLITE_ROW:
        return std::optional{Placed{static_cast<std::uint64_t>(look->number(0)),
                                    static_cast<std::uint64_t>(look->number(1))}};
      default: return connection_.problem();
    }
  }
  Result<Checkpoint> checkpoint(std::string_view follower) {
    const detail::sqlite::Use look{checkpoint_};
    switch (look->bind(1, follower).step()) {
      case SQLITE_DONE: return Checkpoint{};
      case SQLITE_ROW:
        return Checkpoint{static_cast<std::uint64_t>(look->number(0)), std::string{look->bytes(1)}};
      default: return connection_.problem();
    }
  }
  /// The id of a category, 0 without one.
  Result<std::int64_t> category(std::string_view name) {
    const detail::sqlite::Use look{category_};
    switch (look->bind(1, name).step()) {
      case SQLITE_ROW: return look->number(0);
      case SQLITE_DONE: return std::int64_t{0};
      default: return connection_.problem();
    }
  }

  /// Visits, by position, all events that the query may match and some others, until `visit(row)` returns false or
  /// enough were looked at. Complexity: where each filter has tags, of the rarest of them; else of the events there
  /// are, or are in the category.
  template <class Visit>
  Result<Walk> walk(const EventQuery& query, const Path& path, Visit visit) {
    bool by_tags = !query.any_of.empty();
    for (const EventFilter& each : query.any_of) by_tags = by_tags && !each.tags.empty();
    backwards_ = path.direction == Direction::backwards;
    looks_left_ = path.most;
    return by_tags ? leap(query, path, visit) : scan(path, visit);
  }

  /// What rows lay their tags out in.
  std::vector<std::string_view> tags;

 private:
  static constexpr std::int64_t nowhere = 0;

  template <class Visit>
  Result<Walk> scan(const Path& path, Visit& visit) {
    const detail::sqlite::Use rows{(path.category ? category_scans_ : scans_)[backwards_]};
    rows->bind(1, path.from);
    if (path.category) rows->bind(2, *path.category);
    const std::int64_t behind_last = backwards_ ? 0 : path.head + 1;
    for (std::int64_t expected = path.from;;) {
      const int code = rows->step();
      if (code == SQLITE_DONE && (path.category || expected == behind_last)) return Walk{nowhere, true};
      if (code != SQLITE_ROW && code != SQLITE_DONE) return connection_.problem();
      const EventRow row{*rows.operator->(), tags};
      if (!path.category && (code == SQLITE_DONE || row.position() != expected)) {
        return connection_.damaged("there is no event at position " + std::to_string(expected));
      }
      expected += backwards_ ? -1 : 1;
      if (looks_left_ == 0 || !visit(row)) return Walk{row.position(), false};
      --looks_left_;
    }
  }

  template <class Visit>
  Result<Walk> leap(const EventQuery& query, const Path& path, Visit& visit) {
    nearest_.assign(query.any_of.size(), Leap{path.from, false});
    for (;;) {
      const Leap* first = nullptr;
      for (std::size_t i = 0; i < nearest_.size(); ++i) {
        Leap& each = nearest_[i];
        if (each.at == nowhere) continue;
        if (!each.landed) {
          if (Result<> leapt = leap(query.any_of[i], path.category, each); !leapt) return std::move(leapt.error());
        }
        if (each.at != nowhere && (first == nullptr || is_before(each.at, first->at))) first = &each;
      }
      if (first == nullptr) return Walk{nowhere, true};
      if (looks_left_ == 0 || !first->landed) return Walk{first->at, false};
      const detail::sqlite::Use found{at_};
      const std::int64_t position = first->at;
      if (found->bind(1, position).step() != SQLITE_ROW) {
        return connection_.damaged("a tag is of an event that is not there, at position " + std::to_string(position));
      }
      if (!visit(EventRow{*found.operator->(), tags})) return Walk{position, false};
      for (Leap& each : nearest_) {
        if (each.at == position) each = {backwards_ ? position - 1 : position + 1, false};
      }
    }
  }

  /// How far a filter has come.
  struct Leap {
    std::int64_t at;  ///< no event that it means stands before it; nowhere: nor behind it
    bool landed;      ///< the event there has all tags
  };

  /// Goes on from tag to tag until all agree.
  Result<> leap(const EventFilter& filter, std::optional<std::int64_t> category, Leap& leap) {
    for (std::int64_t before = nowhere; before != leap.at;) {
      before = leap.at;
      for (const std::string& tag : filter.tags) {
        if (Result<> leapt = to_next(tag_leaps_[backwards_], leap, [&](auto& leaps) { leaps.bind(2, tag); }); !leapt) {
          return leapt;
        }
      }
      if (category) {
        Result<> leapt = to_next(category_leaps_[backwards_], leap, [&](auto& leaps) { leaps.bind(2, *category); });
        if (!leapt) return leapt;
      }
      if (leap.at == nowhere) return {};
      if (looks_left_ == 0) return {};
    }
    leap.landed = true;
    return {};
  }
  template <class Bind>
  Result<> to_next(detail::sqlite::Statement& leaps, Leap& leap, Bind bind) {
    if (leap.at == nowhere) return {};
    const detail::sqlite::Use next{leaps};
    bind(next->bind(1, leap.at));
    looks_left_ -= looks_left_ > 0 ? 1 : 0;
    switch (next->step()) {
      case SQLITE_ROW: leap.at = next->number(0); return {};
      case SQLITE_DONE: leap.at = nowhere; return {};
      default: return connection_.problem();
    }
  }
  bool is_before(std::int64_t a, std::int64_t b) const noexcept { return backwards_ ? a > b : a < b; }

  Connection& connection_;
  detail::sqlite::Statement head_, stream_, locate_, checkpoint_, category_, at_;
  detail::sqlite::Statement scans_[2], category_scans_[2], tag_leaps_[2], category_leaps_[2];  ///< the second backwards
  bool backwards_ = false;
  std::size_t looks_left_ = 0;
  std::vector<Leap> nearest_;
};

}  // namespace omnibus::event_store::sqlite
