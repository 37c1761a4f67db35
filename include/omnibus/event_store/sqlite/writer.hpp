// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <omnibus/detail/unique_function.hpp>
#include <omnibus/event_store/decide.hpp>
#include <omnibus/event_store/sqlite/finder.hpp>
#include <omnibus/handler.hpp>

// The connection that writes. What many callers want is one transaction: each is decided on its own, against what
// stands there by then, so that one caller's conflict is nobody else's.

namespace omnibus::event_store::sqlite {

/// Thread safety: one thread at a time. What its functions return concerns the file, and with it all who
/// share the transaction: it is then undone. What concerns a caller alone is its `answer`.
/// Errors of all: those of opening; of `commit` also outcome_unknown.
class Writer {
 public:
  using Parts = std::span<const StreamAppend>;
  using Effect = detail::UniqueFunction<Result<>(sqlite3*)>;

  bool is_open() const noexcept { return connection_.database.is_open(); }
  Result<> open(const SqliteEventStoreOptions& options) {
    if (Result<> opened = connection_.open(options); !opened) return opened;
    sqlite3_wal_hook(connection_.database.get(), &Writer::note_log, this);
    if (Result<> prepared = finder_.prepare(); !prepared) return prepared;
    return connection_.prepare({
        {begin_, "BEGIN IMMEDIATE"},
        {commit_, "COMMIT"},
        {known_, "SELECT s.name, e.version, e.position, e.fingerprint FROM omnibus_events e"
                 " LEFT JOIN omnibus_streams s ON s.id = e.stream WHERE e.id = ?1"},
        {add_category_, "INSERT INTO omnibus_categories(name) VALUES(?1)"},
        {add_stream_, "INSERT INTO omnibus_streams(name, category, kind, first, deleted_until)"
                      " VALUES(?1, ?2, ?3, ?4, ?5)"},
        {set_stream_, "UPDATE omnibus_streams SET kind = ?2, first = ?3, deleted_until = ?4 WHERE id = ?1"},
        {add_event_, "INSERT INTO omnibus_events(position, stream, version, category, id, fingerprint, time, type,"
                     " tags, metadata, payload) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"},
        {add_tag_, "INSERT OR IGNORE INTO omnibus_event_tags(tag, position) VALUES(?1, ?2)"},
        {tags_of_, "SELECT position, tags FROM omnibus_events WHERE stream = ?1 AND version >= ?2 AND version < ?3"
                   " AND length(tags) > 0"},
        {drop_tag_, "DELETE FROM omnibus_event_tags WHERE tag = ?1 AND position = ?2"},
        {erase_, "UPDATE omnibus_events SET time = NULL, type = NULL, tags = NULL, metadata = NULL, payload = NULL"
                 " WHERE stream = ?1 AND version >= ?2 AND version < ?3"},
        {save_snapshot_, "INSERT INTO omnibus_snapshots(stream, schema, version, state) VALUES(?1, ?2, ?3, ?4)"
                         " ON CONFLICT(stream, schema) DO UPDATE SET version = excluded.version,"
                         " state = excluded.state WHERE excluded.version >= version"},
        {drop_snapshot_, "DELETE FROM omnibus_snapshots WHERE stream = ?1 AND schema = ?2"},
        {drop_snapshots_, "DELETE FROM omnibus_snapshots WHERE stream = ?1"},
        {save_checkpoint_, "INSERT OR REPLACE INTO omnibus_checkpoints(follower, position, event) VALUES(?1, ?2, ?3)"},
    });
  }

  // ── the transaction ────────────────────────────────────────────────────────────────────────────

  Result<> begin() {
    if (Result<> begun = run(begin_); !begun) return begun;
    Result<std::int64_t> head = finder_.head();
    if (!head) return std::move(head.error());
    head_ = *head;
    return {};
  }
  Result<> commit() {
    Result<> done = run(commit_);
    if (done) return done;
    // Locked or full, nothing of it counts. Otherwise it may be on the disk, and be found there after a crash.
    const int code = sqlite3_extended_errcode(connection_.database.get()) & 0xff;
    if (code == SQLITE_BUSY || code == SQLITE_FULL) return done;
    done.error().code = Errc::outcome_unknown;
    done.error().retryable = true;
    return done;
  }

  /// The highest position, of the transaction or, after it, of what was stored.
  std::uint64_t head() const noexcept { return static_cast<std::uint64_t>(head_); }
  /// Pages of the log after the last commit.
  std::uint64_t log_pages() const noexcept { return log_pages_; }
  std::uint64_t page_bytes() const noexcept { return connection_.page_bytes; }

  // ── what callers want ──────────────────────────────────────────────────────────────────────────

  Result<> append(Parts batch, const AppendCondition* condition, Time now, Result<Appended>& answer) {
    rows_.clear();
    failure_.reset();
    auto decided = decide_append(batch, condition, Facts{*this});
    if (failure_) return std::move(*failure_);
    if (!decided || *decided) {
      answer = decided ? Result<Appended>{std::move(**decided)} : Result<Appended>{std::move(decided.error())};
      return {};
    }
    Appended stored;
    for (std::size_t i = 0; i < batch.size(); ++i) {
      if (batch[i].events.empty()) continue;
      StreamRow& row = rows_[i];
      if (row.state.kind != StreamState::Kind::live) {
        row.state.kind = StreamState::Kind::live;
        if (Result<> kept = keep(row); !kept) return kept;
      }
      for (const NewEvent& event : batch[i].events) {
        if (Result<> done = store(row, event, now); !done) return done;
        stored.events.push_back({row.state.version, head()});
      }
    }
    answer = std::move(stored);
    return {};
  }

  Result<> truncate(std::string_view name, std::uint64_t before, Result<>& answer) {
    return change(name, answer, [&](const StreamState& state) { return decide_truncate(name, state, before); });
  }
  Result<> erase(std::string_view name, ExpectedVersion expected, StreamState::Kind to, Result<>& answer) {
    return change(name, answer, [&](const StreamState& state) { return decide_delete(name, state, expected, to); });
  }

  Result<> save_snapshot(std::string_view name, std::string_view schema, const Snapshot& snapshot, bool& kept) {
    Result<StreamRow> row = finder_.stream(name);
    if (!row) return std::move(row.error());
    if (!is_usable_snapshot(row->state, snapshot.version)) return {};
    const detail::sqlite::Use save{save_snapshot_};
    save->bind(1, row->id).bind(2, schema).bind(3, signed_of(snapshot.version)).bind(4, snapshot.state);
    if (save->step() != SQLITE_DONE) return connection_.problem();
    kept = sqlite3_changes(connection_.database.get()) == 1;
    return {};
  }
  Result<> drop_snapshot(std::string_view name, std::string_view schema) {
    Result<StreamRow> row = finder_.stream(name);
    if (!row) return std::move(row.error());
    const detail::sqlite::Use drop{drop_snapshot_};
    return done(drop->bind(1, row->id).bind(2, schema).step());
  }

  /// `effect`, where there is one, writes what goes with the checkpoint; when it fails, all of that is undone.
  Result<> save_checkpoint(std::string_view follower, const Checkpoint& previous, const Checkpoint& next,
                           Effect* effect, Result<>& answer) {
    Result<Checkpoint> kept = finder_.checkpoint(follower);
    if (!kept) return std::move(kept.error());
    Result<std::optional<Placed>> found = finder_.locate(next.event);
    if (!found) return std::move(found.error());
    answer = decide_save(follower, *kept, previous, next, *found);
    if (answer && effect != nullptr) {
      if (Result<> done = carry_out(*effect, answer); !done) return done;
    }
    if (!answer) return {};
    const detail::sqlite::Use save{save_checkpoint_};
    return done(save->bind(1, follower).bind(2, signed_of(next.position)).bind(3, next.event).step());
  }

 private:
  Result<> carry_out(Effect& effect, Result<>& answer) {
    const detail::sqlite::Database& file = connection_.database;
    if (Result<> begun = connection_.check(file.run("SAVEPOINT omnibus_effect")); !begun) return begun;
    answer = detail::guarded([&] { return effect(file.get()); });
    if (!answer && file.run("ROLLBACK TO omnibus_effect") != SQLITE_OK) return connection_.problem();
    return connection_.check(file.run("RELEASE omnibus_effect"));
  }

  /// What `decide_append` asks. What it can't find out is `failure_`, and ends the transaction.
  struct Facts {
    Writer& writer;

    std::optional<KnownEvent> find(std::string_view id) const {
      const detail::sqlite::Use look{writer.known_};
      const int code = look->bind(1, id).step();
      if (code == SQLITE_DONE || writer.failure_) return std::nullopt;
      if (code != SQLITE_ROW) return writer.failed(writer.connection_.problem());
      KnownEvent known;
      const std::string_view fingerprint = look->bytes(3);
      if (look->is_null(0) || fingerprint.size() != sizeof known.fingerprint) {
        return writer.failed(writer.connection_.damaged("event " + std::string{id} + " is not whole"));
      }
      writer.known_stream_ = look->bytes(0);
      known.stream = writer.known_stream_;
      known.placed = {static_cast<std::uint64_t>(look->number(1)), static_cast<std::uint64_t>(look->number(2))};
      std::memcpy(&known.fingerprint, fingerprint.data(), sizeof known.fingerprint);
      return known;
    }
    StreamState state(std::string_view stream) const {
      Result<StreamRow> row = writer.finder_.stream(stream);
      if (!row) return writer.failed(std::move(row.error())), StreamState{};
      return writer.rows_.emplace_back(*row).state;
    }
    std::optional<std::uint64_t> match(const EventQuery& query, std::uint64_t after) const {
      if (writer.failure_ || after >= writer.head()) return std::nullopt;
      std::optional<std::uint64_t> found;
      const auto look = [&](const EventRow& row) {
        if (row.is_erased()) return true;
        StoredEvent event;
        if (!row.read(event)) {
          (void)writer.failed(writer.connection_.damaged("the event at position " + std::to_string(row.position()) +
                                                         " is not whole"));
        } else if (matches(query, event.type, event.tags)) {
          found = event.position;
        }
        return !found && !writer.failure_;
      };
      Result<Walk> walk = writer.finder_.walk(query, {.from = signed_of(after) + 1, .head = writer.head_}, look);
      if (!walk) (void)writer.failed(std::move(walk.error()));
      return found;
    }
  };
  std::nullopt_t failed(Error why) {
    if (!failure_) failure_ = std::move(why);
    return std::nullopt;
  }

  Result<> store(StreamRow& row, const NewEvent& event, Time now) {
    const Hash fingerprint = fingerprint_of(event);
    const Time time = std::chrono::floor<std::chrono::microseconds>(event.time == Time{} ? now : event.time);
    encode_tags(event.tags, tags_);
    {
      const detail::sqlite::Use add{add_event_};
      add->bind(1, ++head_).bind(2, row.id).bind(3, signed_of(++row.state.version)).bind(4, row.category);
      add->bind(5, event.id).bind(6, fingerprint.bytes());
      add->bind(7, std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count());
      add->bind(8, event.type).bind(9, tags_).bind(10, event.metadata.block()).bind(11, event.payload);
      if (add->step() != SQLITE_DONE) return connection_.problem();
    }
    for (const std::string_view tag : event.tags) {
      const detail::sqlite::Use add{add_tag_};
      if (add->bind(1, tag).bind(2, head_).step() != SQLITE_DONE) return connection_.problem();
    }
    return {};
  }

  template <class Decide>
  Result<> change(std::string_view name, Result<>& answer, Decide decide) {
    Result<StreamRow> row = finder_.stream(name);
    if (!row) return std::move(row.error());
    Result<std::optional<StreamState>> decided = decide(row->state);
    if (!decided) answer = std::move(decided.error());
    if (!decided || !*decided) return {};
    const std::uint64_t erased_from = row->state.first;
    row->state = **decided;
    if (Result<> kept = keep(*row); !kept) return kept;
    if (Result<> erased = erase(row->id, erased_from, row->state.first); !erased) return erased;
    if (row->state.kind == StreamState::Kind::live) return {};
    const detail::sqlite::Use drop{drop_snapshots_};
    return done(drop->bind(1, row->id).step());
  }
  Result<> erase(std::int64_t stream, std::uint64_t from, std::uint64_t before) {
    {
      const detail::sqlite::Use rows{tags_of_};
      int code = rows->bind(1, stream).bind(2, signed_of(from)).bind(3, signed_of(before)).step();
      for (; code == SQLITE_ROW; code = rows->step()) {
        if (!decode_tags(rows->bytes(1), finder_.tags)) return connection_.damaged("tags of an event are not whole");
        for (const std::string_view tag : finder_.tags) {
          const detail::sqlite::Use drop{drop_tag_};
          if (drop->bind(1, tag).bind(2, rows->number(0)).step() != SQLITE_DONE) return connection_.problem();
        }
      }
      if (code != SQLITE_DONE) return connection_.problem();
    }
    const detail::sqlite::Use erase{erase_};
    return done(erase->bind(1, stream).bind(2, signed_of(from)).bind(3, signed_of(before)).step());
  }

  /// Writes what a stream has become, without its version, which its events tell.
  Result<> keep(StreamRow& row) {
    const auto kind = static_cast<std::int64_t>(row.state.kind);
    const std::int64_t first = signed_of(row.state.first), deleted_until = signed_of(row.state.deleted_until);
    if (row.id != 0) {
      const detail::sqlite::Use set{set_stream_};
      return done(set->bind(1, row.id).bind(2, kind).bind(3, first).bind(4, deleted_until).step());
    }
    Result<std::int64_t> category = category_of_stream(row.name);
    if (!category) return std::move(category.error());
    row.category = *category;
    const detail::sqlite::Use add{add_stream_};
    add->bind(1, row.name).bind(2, row.category).bind(3, kind).bind(4, first).bind(5, deleted_until);
    if (add->step() != SQLITE_DONE) return connection_.problem();
    row.id = sqlite3_last_insert_rowid(connection_.database.get());
    return {};
  }
  Result<std::int64_t> category_of_stream(std::string_view stream) {
    const std::string_view name = category_of(stream);
    Result<std::int64_t> found = finder_.category(name);
    if (!found || *found != 0) return found;
    const detail::sqlite::Use add{add_category_};
    if (add->bind(1, name).step() != SQLITE_DONE) return connection_.problem();
    return sqlite3_last_insert_rowid(connection_.database.get());
  }

  /// A fingerprint as a column has it.
  struct Hash {
    detail::Hash128 value;
    char copy[sizeof value];
    std::string_view bytes() const noexcept { return {copy, sizeof copy}; }
  };
  static Hash fingerprint_of(const NewEvent& event) noexcept {
    Hash hash{fingerprint(event), {}};
    std::memcpy(hash.copy, &hash.value, sizeof hash.copy);
    return hash;
  }

  Result<> run(detail::sqlite::Statement& statement) {
    const detail::sqlite::Use once{statement};
    return done(once->step());
  }
  Result<> done(int code) const {
    if (code == SQLITE_DONE) return {};
    return connection_.problem();
  }
  static std::int64_t signed_of(std::uint64_t number) noexcept { return static_cast<std::int64_t>(number); }
  static int note_log(void* self, sqlite3*, const char*, int pages) {
    static_cast<Writer*>(self)->log_pages_ = static_cast<std::uint64_t>(pages);
    return SQLITE_OK;
  }

  Connection connection_;
  Finder finder_{connection_};
  detail::sqlite::Statement begin_, commit_, known_, add_category_, add_stream_, set_stream_, add_event_, add_tag_,
      tags_of_, drop_tag_, erase_, save_snapshot_, drop_snapshot_, drop_snapshots_, save_checkpoint_;
  std::int64_t head_ = 0;
  std::uint64_t log_pages_ = 0;
  std::vector<StreamRow> rows_;  ///< of the batch at hand, part by part
  std::optional<Error> failure_;
  std::string known_stream_, tags_;
};

}  // namespace omnibus::event_store::sqlite
