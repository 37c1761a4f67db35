// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <utility>

#include <omnibus/detail/sqlite.hpp>
#include <omnibus/error.hpp>

// What is wrong with an SQLite file, in the words of omnibus.

namespace omnibus::detail::sqlite {

/// What a code of SQLite's means to who uses a file.
inline Errc errc_of(int code) noexcept {
  switch (code & 0xff) {
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH: return Errc::access_denied;
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
    case SQLITE_ERROR:
    case SQLITE_SCHEMA: return Errc::topology_mismatch;
    case SQLITE_TOOBIG: return Errc::too_large;
    case SQLITE_MISUSE:
    case SQLITE_CONSTRAINT: return Errc::internal;
    default: return Errc::unavailable;
  }
}

/// The error for a call that has returned this code.
inline Error problem(const Database& database, const std::string& path, int code) {
  std::string why = database.problem();
  why.append(" (").append(sqlite3_errstr(code)).append(")");
  return Error::make(errc_of(code), "use " + path, std::move(why));
}
/// The error for the call that has failed last.
inline Error problem(const Database& database, const std::string& path) {
  return problem(database, path, sqlite3_extended_errcode(database.get()));
}
/// Likewise, on a connection that someone else owns.
inline Error problem(sqlite3* connection, const std::string& path) {
  const int code = sqlite3_extended_errcode(connection);
  std::string why = sqlite3_errmsg(connection);
  why.append(" (").append(sqlite3_errstr(code)).append(")");
  return Error::make(errc_of(code), "use " + path, std::move(why));
}

/// The error for a file whose tables are whole for SQLite and wrong all the same.
inline Error damaged(const std::string& path, std::string what) {
  return Error::make(Errc::topology_mismatch, "use " + path, std::move(what));
}

}  // namespace omnibus::detail::sqlite
