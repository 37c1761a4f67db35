// SPDX-License-Identifier: MIT
#pragma once

#include <sqlite3.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

// SQLite's handles with owners. Codes are SQLite's own, extended ones.

namespace omnibus::detail::sqlite {

struct CloseDatabase {
  void operator()(sqlite3* database) const noexcept { sqlite3_close_v2(database); }
};
struct FinalizeStatement {
  void operator()(sqlite3_stmt* statement) const noexcept { sqlite3_finalize(statement); }
};

/// An open file. Thread safety: one thread at a time.
class Database {
 public:
  using Milliseconds = std::chrono::milliseconds;

  Database() = default;
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  /// Opens or makes the file. Returns SQLITE_OK, or why not. Waits for other processes for `patience`.
  int open(const std::string& path, Milliseconds patience) {
    sqlite3* opened = nullptr;
    const int code = sqlite3_open_v2(path.c_str(), &opened,
                                     SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
    database_.reset(opened);
    if (code != SQLITE_OK || opened == nullptr) return code;
    sqlite3_extended_result_codes(opened, 1);
    patience_ = patience;
    sqlite3_busy_handler(opened, &Database::wait, this);
    return SQLITE_OK;
  }
  /// How long to wait for other processes from now on.
  void be_patient_for(Milliseconds patience) noexcept { patience_ = patience; }
  /// Calls `step` until it returns something else than that others are busy, for as long as patience lasts: for what
  /// SQLite refuses at once, without its handler. Returns what `step` has returned last.
  template <class Step>
  int repeat_while_busy(Step step) const {
    const auto end = std::chrono::steady_clock::now() + patience_;
    for (;;) {
      const int code = step();
      if ((code & 0xff) != SQLITE_BUSY || std::chrono::steady_clock::now() >= end) return code;
      std::this_thread::sleep_for(pause);
    }
  }
  void close() noexcept { database_.reset(); }
  bool is_open() const noexcept { return database_ != nullptr; }

  /// Runs statements that return nothing.
  int run(const char* sql) const noexcept { return sqlite3_exec(database_.get(), sql, nullptr, nullptr, nullptr); }
  /// What SQLite says of the last failure.
  std::string problem() const { return database_ ? sqlite3_errmsg(database_.get()) : "out of memory"; }
  sqlite3* get() const noexcept { return database_.get(); }

 private:
  /// SQLite's own handler waits longer and longer, up to 100 ms: one process then finds the lock taken again and
  /// again by another that writes all the time.
  static int wait(void* self, int tries) {
    auto& database = *static_cast<Database*>(self);
    if (tries == 0) database.waited_ = {};
    if (database.waited_ >= database.patience_) return 0;
    const auto before = std::chrono::steady_clock::now();
    std::this_thread::sleep_for(pause);
    database.waited_ += std::chrono::steady_clock::now() - before;
    return 1;
  }

  static constexpr std::chrono::microseconds pause{100};

  Milliseconds patience_{};
  std::chrono::nanoseconds waited_{};  ///< by the call at hand, apart from what it does
  std::unique_ptr<sqlite3, CloseDatabase> database_;
};

/// A prepared statement. Text that is bound has to live until the next `reset`.
/// Lifetime: goes before its database.
class Statement {
 public:
  int prepare(const Database& database, std::string_view sql) { return prepare(database.get(), sql); }
  int prepare(sqlite3* connection, std::string_view sql) {
    sqlite3_stmt* prepared = nullptr;
    const int code = sqlite3_prepare_v3(connection, sql.data(), static_cast<int>(sql.size()),
                                        SQLITE_PREPARE_PERSISTENT, &prepared, nullptr);
    statement_.reset(prepared);
    return code;
  }
  void finalize() noexcept { statement_.reset(); }
  bool is_prepared() const noexcept { return statement_ != nullptr; }

  Statement& bind(int index, std::string_view text) noexcept {
    // Without a pointer it would be NULL.
    sqlite3_bind_blob64(statement_.get(), index, text.empty() ? "" : text.data(), text.size(), SQLITE_STATIC);
    return *this;
  }
  Statement& bind(int index, std::int64_t number) noexcept {
    sqlite3_bind_int64(statement_.get(), index, number);
    return *this;
  }
  /// SQLITE_ROW, SQLITE_DONE, or what is wrong.
  int step() noexcept { return sqlite3_step(statement_.get()); }
  void reset() noexcept { sqlite3_reset(statement_.get()); }

  bool is_null(int column) const noexcept {
    return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL;
  }
  std::int64_t number(int column) const noexcept { return sqlite3_column_int64(statement_.get(), column); }
  std::string_view bytes(int column) const noexcept {
    const void* data = sqlite3_column_blob(statement_.get(), column);
    const auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), column));
    return data != nullptr ? std::string_view{static_cast<const char*>(data), size} : std::string_view{};
  }

 private:
  std::unique_ptr<sqlite3_stmt, FinalizeStatement> statement_;
};

/// Resets a statement at the end of its use.
class Use {
 public:
  explicit Use(Statement& statement) noexcept : statement_{statement} {}
  ~Use() { statement_.reset(); }
  Use(const Use&) = delete;
  Statement* operator->() const noexcept { return &statement_; }

 private:
  Statement& statement_;
};

}  // namespace omnibus::detail::sqlite
