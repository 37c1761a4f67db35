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
#include <omnibus/detail/sqlite_tables.hpp>
#include <omnibus/error.hpp>
#include <omnibus/result.hpp>
#include <omnibus/time.hpp>

// A file with the tables of one store: opened when it is needed, of a version, written in transactions.

namespace omnibus::detail::sqlite {

/// An SQLite file with a write-ahead log, in which what was committed is on the disk (synchronous=FULL), unless the
/// settings of its tables say otherwise.
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
  /// Carries out `work()`, which only reads, without a transaction of its own. Otherwise as `transact`.
  template <class Work>
  Result<> look(Work work) {
    Result<> looked = open();
    if (looked) looked = work();
    if (!looked) close();
    return looked;
  }

  /// For what happens within a transaction.
  Statement& operator[](std::size_t index) noexcept { return statements_[index]; }
  Result<> run(const char* sql) { return check(database_.run(sql)); }
  /// What is wrong since the last step.
  Error problem() const { return sqlite::problem(database_, path_); }
  Error damaged(std::string what) const { return sqlite::damaged(path_, std::move(what)); }
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
    if (opened) opened = run(tables_.settings);
    if (opened) opened = make_tables();
    for (std::size_t i = 0; opened && i < Statements; ++i) {
      opened = check(statements_[i].prepare(database_, sql_[i]));
    }
    return opened;
  }

  Result<> make_tables() {
    if (has_tables(database_.get(), tables_)) return {};  // most of the time, and without a lock
    Result<> made = run("BEGIN IMMEDIATE");  // another process may make them at the same time
    if (made) made = sqlite::make_tables(database_.get(), path_, tables_);
    if (made) made = run("COMMIT");
    if (!made) (void)database_.run("ROLLBACK");
    return made;
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
