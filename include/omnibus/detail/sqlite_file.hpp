// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include <omnibus/detail/sqlite.hpp>
#include <omnibus/detail/sqlite_errors.hpp>
#include <omnibus/detail/sqlite_log.hpp>
#include <omnibus/error.hpp>
#include <omnibus/result.hpp>
#include <omnibus/time.hpp>

// A file with the tables of one store: opened when it is needed, of a version, written in transactions.

namespace omnibus::detail::sqlite {

/// What a store keeps in a file. Views of literals.
struct Tables {
  std::string_view name;   ///< of its version, in the table omnibus_meta
  std::string_view words;  ///< what they are, for errors
  std::int64_t version;
  const char* create;      ///< statements that make them where they are not there
  const char* upgrade = nullptr;  ///< and that make them of those of the version before; nullptr: none do
};

/// An SQLite file with a write-ahead log, in which what was committed is on the disk (synchronous=FULL).
/// Thread safety: one thread at a time; several processes are safe.
/// Errors of every call: unavailable, access_denied, topology_mismatch, unsupported, internal.
template <std::size_t Statements>
class File {
 public:
  using Sql = std::array<std::string_view, Statements>;

  /// Opens nothing yet. Throws std::invalid_argument, which begins with the name of the store.
  File(std::string_view store, std::string path, Duration busy_timeout, const Tables& tables, const Sql& sql)
      : path_{std::move(path)}, busy_timeout_{busy_timeout}, tables_{tables}, sql_{sql} {
    const auto require = [store](bool good, const char* what) {
      if (!good) throw std::invalid_argument{std::string{"omnibus: "}.append(store).append(": ").append(what)};
    };
    require(!path_.empty(), "path must not be empty");
    require(path_.find('\0') == std::string::npos, "path must not have a zero byte");
    require(busy_timeout_ >= Duration::zero(), "busy_timeout must not be negative");
  }

  /// Carries out `work()`, which returns a Result<>, in a transaction of its own. When that fails the file is
  /// closed, whatever is wrong, and the next transaction begins anew.
  template <class Work>
  Result<> transact(Work work) {
    Result<> written = open();
    if (written) written = run("BEGIN IMMEDIATE");
    if (written) {
      written = work();
      if (written) written = run("COMMIT");
      if (!written) (void)database_.run("ROLLBACK");
    }
    if (!written) close();
    return written;
  }

  /// For what happens within a transaction.
  Statement& operator[](std::size_t index) noexcept { return statements_[index]; }
  Result<> run(const char* sql) { return check(database_.run(sql)); }
  /// What is wrong since the last step.
  Error problem() const { return sqlite::problem(database_, path_); }
  /// How many rows the last step has changed.
  int changes() const noexcept { return sqlite3_changes(database_.get()); }
  sqlite3* connection() const noexcept { return database_.get(); }

  void close() noexcept {
    for (Statement& each : statements_) each.finalize();
    database_.close();
  }

 private:
  Result<> open() {
    if (database_.is_open()) return {};
    Result<> opened = check(
        database_.open(path_, std::chrono::duration_cast<std::chrono::milliseconds>(busy_timeout_)));
    if (opened) opened = keep_log(database_, path_);
    if (opened) opened = run("PRAGMA synchronous=FULL");
    if (opened) opened = make_tables();
    for (std::size_t i = 0; opened && i < Statements; ++i) {
      opened = check(statements_[i].prepare(database_, sql_[i]));
    }
    return opened;
  }

  Result<> make_tables() {
    // Another process may make them at the same time.
    Result<> made = run(
        "BEGIN IMMEDIATE;"
        "CREATE TABLE IF NOT EXISTS omnibus_meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID");
    if (made) made = check_version();
    if (made) made = run(tables_.create);
    if (made) made = run("COMMIT");
    if (!made) (void)database_.run("ROLLBACK");
    return made;
  }
  Result<> check_version() {
    const std::string name = std::string{tables_.name} + ".version";
    Result<> made = run(("INSERT OR IGNORE INTO omnibus_meta VALUES('" + name + "', " +
                         std::to_string(tables_.version) + ")").c_str());
    if (!made) return made;
    Statement look;
    made = check(look.prepare(database_, "SELECT value FROM omnibus_meta WHERE name = '" + name + "'"));
    if (!made) return made;
    if (look.step() != SQLITE_ROW) return problem();
    const std::int64_t found = look.number(0);
    look.finalize();
    if (found == tables_.version) return {};
    if (found == tables_.version - 1 && tables_.upgrade != nullptr) {
      made = run(tables_.upgrade);
      if (!made) return made;
      return run(("UPDATE omnibus_meta SET value = " + std::to_string(tables_.version) + " WHERE name = '" +
                  name + "'").c_str());
    }
    return Error::make(Errc::topology_mismatch, "open " + path_,
                       "its " + std::string{tables_.words} + " are of version " + std::to_string(found) +
                           ", and this program knows version " + std::to_string(tables_.version));
  }

  Result<> check(int code) const {
    if (code == SQLITE_OK) return {};
    return sqlite::problem(database_, path_, code);
  }

  const std::string path_;
  const Duration busy_timeout_;
  const Tables tables_;
  const Sql sql_;
  Database database_;  // goes after its statements
  std::array<Statement, Statements> statements_;
};

}  // namespace omnibus::detail::sqlite
