// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>

#include <omnibus/detail/sqlite.hpp>
#include <omnibus/detail/sqlite_errors.hpp>
#include <omnibus/detail/sqlite_log.hpp>
#include <omnibus/durability.hpp>
#include <omnibus/error.hpp>
#include <omnibus/result.hpp>
#include <omnibus/time.hpp>

// The file: how it is opened, what stands in it, and what its failures mean.

namespace omnibus::sqlite {

using detail::sqlite::Database;
using detail::sqlite::Statement;
using detail::sqlite::Use;

/// What a buses' processes must agree on, and what each of them chooses.
struct Settings {
  std::string path;
  Durability durability = Durability::power_loss;
  std::int32_t shards = 8;        ///< of topics that are new
  std::int64_t lease_us = 0;
  Duration look_every{};
  bool trim = false;
  std::uint64_t shard_bound = 0;
  std::size_t publish_window = 0;
  std::size_t publish_window_bytes = 0;
  std::int64_t max_pages = 0;     ///< 0: as many as the disk has
};

/// True when others are writing: it passes.
inline bool is_busy(int code) noexcept {
  return (code & 0xff) == SQLITE_BUSY || (code & 0xff) == SQLITE_LOCKED;
}

/// An open file with the tables of the bus. Thread safety: one thread at a time.
class File {
 public:
  static constexpr std::int64_t version = 1;

  /// Opens the file, and makes it and its tables where there are none.
  /// Errors: unavailable, access_denied, topology_mismatch; unsupported, where it cannot have a write-ahead log.
  Result<> open(const Settings& settings) {
    path_ = settings.path;
    code_ = SQLITE_OK;
    constexpr std::chrono::milliseconds patience{200};  // whoever opens tries again
    Result<> opened = check(database_.open(path_, patience));
    if (opened) opened = omnibus::detail::sqlite::keep_log(database_, path_);
    flushes_ = false;
    can_flush_ = settings.durability == Durability::power_loss;
    if (opened) opened = run("PRAGMA synchronous=NORMAL");
    if (opened) opened = run("PRAGMA wal_autocheckpoint=4000");
    if (opened && settings.max_pages > 0) {
      opened = run(("PRAGMA max_page_count=" + std::to_string(settings.max_pages)).c_str());
    }
    if (opened) opened = make_tables();
    if (!opened) database_.close();
    return opened;
  }
  /// After its statements are finalized.
  void close() noexcept { database_.close(); }
  bool is_open() const noexcept { return database_.is_open(); }
  const Database& database() const noexcept { return database_; }
  /// What the last failure was; SQLITE_OK where it was none of SQLite's.
  int code() const noexcept { return code_; }
  void clear_code() noexcept { code_ = SQLITE_OK; }

  /// Asked again and again while others write; stops waiting when it says 0.
  void on_busy(int (*handler)(void*, int), void* context) noexcept {
    sqlite3_busy_handler(database_.get(), handler, context);
  }

  /// Whether what is committed from now on is on the disk when COMMIT returns. Outside of transactions.
  Result<> flush_commits(bool flush) {
    flush &= can_flush_;
    if (flush == flushes_) return {};
    flushes_ = flush;
    return run(flush ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL");
  }
  Result<> run(const char* sql) { return check(database_.run(sql)); }
  Result<> prepare(Statement& statement, std::string_view sql) {
    return check(statement.prepare(database_, sql));
  }
  Result<> check(int code) {
    if (code == SQLITE_OK || code == SQLITE_DONE || code == SQLITE_ROW) return {};
    code_ = code;
    return omnibus::detail::sqlite::problem(database_, path_, code);
  }
  Error damaged(std::string what) const { return omnibus::detail::sqlite::damaged(path_, std::move(what)); }
  /// Of a statement that returns nothing.
  Result<> carry_out(Statement& statement) {
    Result<> done = check(statement.step());
    statement.reset();
    return done;
  }
  /// How many rows the last statement has changed.
  int changes() const noexcept { return sqlite3_changes(database_.get()); }

 private:
  Result<> make_tables() {
    Statement look;
    std::int64_t found = 0;
    // Most open a file that has its tables: they need not wait for those who write.
    if (look.prepare(database_, "SELECT value FROM omnibus_meta WHERE name = 'bus.version'") == SQLITE_OK) {
      if (look.step() == SQLITE_ROW) found = look.number(0);
      look.finalize();
    }
    if (found == version) return {};
    if (found != 0) {
      return Error::make(Errc::topology_mismatch, "open " + path_,
                         "its topics are of version " + std::to_string(found) +
                             ", and this program knows version " + std::to_string(version));
    }
    Result<> made = run("BEGIN IMMEDIATE");
    if (made) made = run(schema);
    if (made) made = run("COMMIT");
    if (!made) (void)database_.run("ROLLBACK");
    return made;
  }

  static constexpr const char* schema =
      "CREATE TABLE IF NOT EXISTS omnibus_meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
      "INSERT OR IGNORE INTO omnibus_meta VALUES('bus.version', 1);"
      "CREATE TABLE IF NOT EXISTS omnibus_topics(id INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE,"
      " first INTEGER NOT NULL, shards INTEGER NOT NULL);"
      "CREATE TABLE IF NOT EXISTS omnibus_messages(row INTEGER PRIMARY KEY, time INTEGER NOT NULL,"
      " epoch INTEGER NOT NULL, number INTEGER NOT NULL, id BLOB NOT NULL, type BLOB NOT NULL,"
      " key BLOB NOT NULL, headers BLOB NOT NULL, payload BLOB NOT NULL);"
      "CREATE TABLE IF NOT EXISTS omnibus_later(row INTEGER PRIMARY KEY, due INTEGER NOT NULL,"
      " partition INTEGER NOT NULL, time INTEGER NOT NULL, epoch INTEGER NOT NULL, number INTEGER NOT NULL,"
      " id BLOB NOT NULL, type BLOB NOT NULL, key BLOB NOT NULL, headers BLOB NOT NULL,"
      " payload BLOB NOT NULL);"
      "CREATE INDEX IF NOT EXISTS omnibus_later_due ON omnibus_later(due, row);"
      "CREATE TABLE IF NOT EXISTS omnibus_groups(id INTEGER PRIMARY KEY, topic INTEGER NOT NULL,"
      " name BLOB NOT NULL, UNIQUE(topic, name));"
      // Who is there, and until when it counts without a sign of life.
      "CREATE TABLE IF NOT EXISTS omnibus_members(grp INTEGER NOT NULL, id INTEGER NOT NULL,"
      " until INTEGER NOT NULL, PRIMARY KEY(grp, id)) WITHOUT ROWID;"
      // Of each shard of a group: everything before the cursor is done, but what is left; some of what is
      // before `seen` was handed to a handler.
      "CREATE TABLE IF NOT EXISTS omnibus_shares(grp INTEGER NOT NULL, shard INTEGER NOT NULL,"
      " cursor INTEGER NOT NULL, seen INTEGER NOT NULL, owner INTEGER NOT NULL, fence INTEGER NOT NULL,"
      " until INTEGER NOT NULL, PRIMARY KEY(grp, shard)) WITHOUT ROWID;"
      // What waits for its time, or for its turn behind what is done.
      "CREATE TABLE IF NOT EXISTS omnibus_left(grp INTEGER NOT NULL, row INTEGER NOT NULL,"
      " due INTEGER NOT NULL, attempts INTEGER NOT NULL, PRIMARY KEY(grp, row)) WITHOUT ROWID";

  std::string path_;
  Database database_;
  bool can_flush_ = true;
  bool flushes_ = false;
  int code_ = SQLITE_OK;
};

}  // namespace omnibus::sqlite
