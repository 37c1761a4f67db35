// SPDX-License-Identifier: MIT
#pragma once

#include <sqlite3.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

#include <omnibus/error.hpp>
#include <omnibus/result.hpp>

#include "history.hpp"

// Effects stand in a table, each as the line of the history that tells of it. They are written in the
// transaction that completes the key of their message, so that a killed process leaves both or neither.

namespace campaign {

/// Adds an effect. To be called inside the transaction.
inline omnibus::Result<> write_effect(sqlite3* database, const std::string& line) {
  sqlite3_stmt* raw = nullptr;
  const char* sql = "INSERT INTO effects(line) VALUES (?)";
  int code = sqlite3_prepare_v2(database, sql, -1, &raw, nullptr);
  const std::unique_ptr<sqlite3_stmt, decltype(&sqlite3_finalize)> statement{raw, sqlite3_finalize};
  if (code == SQLITE_OK) {
    sqlite3_bind_text(raw, 1, line.data(), static_cast<int>(line.size()), SQLITE_STATIC);
    code = sqlite3_step(raw);
  }
  if (code == SQLITE_DONE) return {};
  return omnibus::retryable(std::string{"write an effect: "} + sqlite3_errmsg(database));
}

/// The file with the table. Errors: std::runtime_error.
class EffectsFile {
 public:
  explicit EffectsFile(const std::string& path) {
    sqlite3* raw = nullptr;
    const int code = sqlite3_open(path.c_str(), &raw);
    database_.reset(raw);
    sqlite3_busy_timeout(raw, 10'000);
    if (code != SQLITE_OK) fail();
    execute("PRAGMA journal_mode=WAL", nullptr);
    execute("CREATE TABLE IF NOT EXISTS effects(line TEXT NOT NULL)", nullptr);
  }

  /// Adds one on its own.
  omnibus::Result<> write(const std::string& line) { return write_effect(database_.get(), line); }
  /// All of them, one after the other.
  std::string lines() {
    std::string all;
    execute("SELECT line FROM effects ORDER BY rowid", &all);
    return all;
  }

 private:
  static int append(void* all, int, char** fields, char**) {
    static_cast<std::string*>(all)->append(fields[0]);
    return 0;
  }
  void execute(const char* sql, std::string* rows) {
    if (sqlite3_exec(database_.get(), sql, rows ? append : nullptr, rows, nullptr) != SQLITE_OK) fail();
  }
  [[noreturn]] void fail() const {
    throw std::runtime_error{std::string{"effects: "} + sqlite3_errmsg(database_.get())};
  }

  std::unique_ptr<sqlite3, decltype(&sqlite3_close)> database_{nullptr, sqlite3_close};
};

}  // namespace campaign
