// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include <omnibus/detail/sqlite.hpp>
#include <omnibus/detail/sqlite_errors.hpp>
#include <omnibus/error.hpp>
#include <omnibus/result.hpp>

namespace omnibus::detail::sqlite {

/// Has changes written to a log beside the file, so that who reads and who writes do not wait for each other.
/// Of two who do this at once with a new file, SQLite tells one that it is locked, and asks its handler nothing: that
/// one tries again. Blocks: for as long as the database's patience lasts.
/// Errors: unsupported, where SQLite does not do it; unavailable, access_denied, topology_mismatch, internal.
inline Result<> keep_log(const Database& database, const std::string& path) {
  Statement mode;
  if (const int code = mode.prepare(database, "PRAGMA journal_mode=WAL"); code != SQLITE_OK) {
    return problem(database, path, code);
  }
  const int code = database.repeat_while_busy([&] {
    mode.reset();
    return mode.step();
  });
  if (code != SQLITE_ROW) return problem(database, path, code);
  if (mode.bytes(0) == "wal") return {};
  return Error::make(Errc::unsupported, "use " + path,
                     "it cannot have a write-ahead log there: it needs a file on a local disk, and SQLite keeps its "
                     "journal in mode " + std::string{mode.bytes(0)});
}

}  // namespace omnibus::detail::sqlite
