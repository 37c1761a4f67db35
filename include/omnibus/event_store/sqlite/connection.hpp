// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include <omnibus/clock.hpp>
#include <omnibus/detail/sqlite.hpp>
#include <omnibus/detail/sqlite_errors.hpp>
#include <omnibus/detail/sqlite_log.hpp>
#include <omnibus/durability.hpp>
#include <omnibus/event_store/decide.hpp>
#include <omnibus/result.hpp>
#include <omnibus/time.hpp>

// A file of events: how it is opened, and the tables that it has.

namespace omnibus {

/// Where an SqliteEventStore keeps its events, and how safely.
struct SqliteEventStoreOptions {
  std::string path;                                 ///< of the file; it may have tables of yours as well
  Durability durability = Durability::power_loss;
  std::uint64_t max_bytes = 0;                      ///< of the file, beside its log; 0: as the disk has room
  Duration busy_timeout = std::chrono::seconds{5};  ///< while another process writes
  Duration look_every = std::chrono::milliseconds{10};  ///< how soon a follower sees another process's appends
  event_store::Limits limits{};
  const Clock* clock = nullptr;                     ///< nullptr: the machine's
};

namespace event_store::sqlite {

/// A connection to a file of events. Thread safety: one thread at a time.
class Connection {
 public:
  /// Opens the file, and makes what it lacks. Errors: unavailable, access_denied, topology_mismatch,
  /// unsupported.
  Result<> open(const SqliteEventStoreOptions& options) {
    path_ = options.path;
    patience = std::chrono::duration_cast<std::chrono::milliseconds>(options.busy_timeout);
    Result<> opened = check(database.open(path_, patience));
    if (opened) opened = prepare_file();
    if (opened) opened = set(options);
    if (!opened) database.close();
    return opened;
  }

  Result<> check(int code) const {
    if (code == SQLITE_OK) return {};
    return detail::sqlite::problem(database, path_, code);
  }
  Error problem() const { return detail::sqlite::problem(database, path_); }
  Error damaged(std::string what) const { return detail::sqlite::damaged(path_, std::move(what)); }
  Result<> prepare(std::initializer_list<std::pair<detail::sqlite::Statement&, std::string_view>> all) const {
    for (const auto& [statement, sql] : all) {
      if (Result<> prepared = check(statement.prepare(database, sql)); !prepared) return prepared;
    }
    return {};
  }

  detail::sqlite::Database database;
  std::chrono::milliseconds patience{};  ///< with others who write, once it is open
  std::uint64_t page_bytes = 0;          ///< likewise

 private:
  static constexpr std::int64_t version = 1;
  static constexpr std::int64_t missing = -1;

  Result<> prepare_file() {
    Result<std::int64_t> found = find_version();
    if (!found) return std::move(found.error());
    if (*found == version) return {};
    if (*found != missing) {
      return damaged("its events are of version " + std::to_string(*found) + ", and this program knows version " +
                     std::to_string(version));
    }
    if (Result<> kept = detail::sqlite::keep_log(database, path_); !kept) return kept;
    if (Result<> begun = check(database.run("BEGIN IMMEDIATE")); !begun) return begun;
    Result<> made = make_tables();
    if (made) made = check(database.run("COMMIT"));
    if (!made) (void)database.run("ROLLBACK");
    return made;
  }
  Result<> make_tables() const {
    if (Result<> made = check(database.run(meta)); !made) return made;
    Result<std::int64_t> found = find_version();  // another process may have been first
    if (!found) return std::move(found.error());
    if (*found == version) return check(database.run(tables));
    return damaged("its table omnibus_meta is another program's or of another version");
  }

  /// Which version the tables have.
  Result<std::int64_t> find_version() const {
    detail::sqlite::Statement look;
    const int code = look.prepare(database, "SELECT value FROM omnibus_meta WHERE name = 'events.version'");
    if (code == SQLITE_ERROR) return missing;  // there is no such table
    if (code != SQLITE_OK) return problem();
    switch (look.step()) {
      case SQLITE_ROW: return look.number(0);
      case SQLITE_DONE: return missing;
      default: return problem();
    }
  }

  Result<> set(const SqliteEventStoreOptions& options) {
    if (Result<> kept = detail::sqlite::keep_log(database, path_); !kept) return kept;
    const bool full = options.durability == Durability::power_loss;
    if (Result<> done = check(database.run(full ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL")); !done) {
      return done;
    }
    // What is erased is overwritten, and the log gives back what it took when it was long.
    if (Result<> done = check(database.run("PRAGMA secure_delete=ON; PRAGMA cache_size=-16000;"
                                           "PRAGMA journal_size_limit=67108864")); !done) {
      return done;
    }
    detail::sqlite::Statement look;
    if (Result<> done = check(look.prepare(database, "PRAGMA page_size")); !done) return done;
    if (look.step() != SQLITE_ROW) return problem();
    page_bytes = static_cast<std::uint64_t>(look.number(0));
    if (options.max_bytes == 0) return {};
    const std::string limit = "PRAGMA max_page_count=" + std::to_string(options.max_bytes / page_bytes + 1);
    return check(database.run(limit.c_str()));
  }

  static constexpr const char* meta =
      "CREATE TABLE IF NOT EXISTS omnibus_meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
      "INSERT OR IGNORE INTO omnibus_meta VALUES('events.version', 1)";
  /// Rows of events are never deleted: erased, they keep their place, their id and what tells whether it is sent
  /// again, so that positions and versions have no gaps, and none is given out twice.
  static constexpr const char* tables =
      "CREATE TABLE IF NOT EXISTS omnibus_categories(id INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE);"
      "CREATE TABLE IF NOT EXISTS omnibus_streams(id INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE,"
      " category INTEGER NOT NULL, kind INTEGER NOT NULL, first INTEGER NOT NULL, deleted_until INTEGER NOT NULL);"
      "CREATE TABLE IF NOT EXISTS omnibus_events(position INTEGER PRIMARY KEY, stream INTEGER NOT NULL,"
      " version INTEGER NOT NULL, category INTEGER NOT NULL, id BLOB NOT NULL UNIQUE, fingerprint BLOB NOT NULL,"
      " time INTEGER, type BLOB, tags BLOB, metadata BLOB, payload BLOB, UNIQUE(stream, version));"
      "CREATE INDEX IF NOT EXISTS omnibus_events_category ON omnibus_events(category);"
      "CREATE TABLE IF NOT EXISTS omnibus_event_tags(tag BLOB NOT NULL, position INTEGER NOT NULL,"
      " PRIMARY KEY(tag, position)) WITHOUT ROWID;"
      "CREATE TABLE IF NOT EXISTS omnibus_snapshots(id INTEGER PRIMARY KEY, stream INTEGER NOT NULL,"
      " schema BLOB NOT NULL, version INTEGER NOT NULL, state BLOB NOT NULL, UNIQUE(stream, schema));"
      "CREATE TABLE IF NOT EXISTS omnibus_checkpoints(follower BLOB PRIMARY KEY, position INTEGER NOT NULL,"
      " event BLOB NOT NULL) WITHOUT ROWID";

  std::string path_;
};

}  // namespace event_store::sqlite
}  // namespace omnibus
