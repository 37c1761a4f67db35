// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <omnibus/detail/sqlite.hpp>
#include <omnibus/detail/sqlite_errors.hpp>
#include <omnibus/error.hpp>
#include <omnibus/result.hpp>

// The tables of a store in an SQLite file: of a version, made where they are not there.

namespace omnibus::detail::sqlite {

/// What a store keeps in a file. Views of literals.
struct Tables {
  std::string_view name;   ///< of its version, in the table omnibus_meta
  std::string_view words;  ///< what they are, for errors
  std::int64_t version;
  const char* create;      ///< statements that make them where they are not there
  const char* upgrade = nullptr;  ///< and that make them of those of the version before; nullptr: none do
  const char* settings = "PRAGMA synchronous=FULL";  ///< of a connection that is opened
};

/// Whether they are there, of this version. False when in doubt.
inline bool has_tables(sqlite3* connection, const Tables& tables) {
  Statement look;
  if (look.prepare(connection, "SELECT value FROM omnibus_meta WHERE name = '" + std::string{tables.name} + ".version'") !=
      SQLITE_OK) {
    return false;
  }
  return look.step() == SQLITE_ROW && look.number(0) == tables.version;
}

/// Makes them in the transaction that is open on this connection to the file at `path`.
/// Errors: topology_mismatch, when they are of another version; what SQLite says.
inline Result<> make_tables(sqlite3* connection, const std::string& path, const Tables& tables) {
  const auto run = [&](const std::string& sql) -> Result<> {
    if (sqlite3_exec(connection, sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK) return {};
    return problem(connection, path);
  };
  const std::string name = std::string{tables.name} + ".version";
  const std::string version = std::to_string(tables.version);
  Result<> made = run("CREATE TABLE IF NOT EXISTS omnibus_meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL)"
                      " WITHOUT ROWID");
  if (made) made = run("INSERT OR IGNORE INTO omnibus_meta VALUES('" + name + "', " + version + ")");
  if (!made) return made;
  std::int64_t found = 0;
  {
    Statement look;
    if (look.prepare(connection, "SELECT value FROM omnibus_meta WHERE name = '" + name + "'") != SQLITE_OK ||
        look.step() != SQLITE_ROW) {
      return problem(connection, path);
    }
    found = look.number(0);
  }
  if (found == tables.version - 1 && tables.upgrade != nullptr) {
    made = run(tables.upgrade);
    if (made) made = run("UPDATE omnibus_meta SET value = " + version + " WHERE name = '" + name + "'");
    if (!made) return made;
  } else if (found != tables.version) {
    return Error::make(Errc::topology_mismatch, "open " + path,
                       "its " + std::string{tables.words} + " are of version " + std::to_string(found) +
                           ", and this program knows version " + version);
  }
  return run(tables.create);
}

}  // namespace omnibus::detail::sqlite
