// SPDX-License-Identifier: MIT
#pragma once

#include <omnibus/detail/sqlite_tables.hpp>

// What an outbox is in a file.

namespace omnibus::outbox {

/// SQLite lets one transaction write at a time, and AUTOINCREMENT never gives a position out again: positions grow in
/// the order in which transactions commit, also those of several processes. Who has read up to a position will find
/// nothing new below it, so that no message is stepped over.
/// A relay's connection does not wait for the disk: a mark that power failure takes away means that a message is sent
/// again. What waits in the outbox is as durable as the transactions of those who add.
inline constexpr detail::sqlite::Tables tables{
    "outbox", "outbox", 1,
    "INSERT OR IGNORE INTO omnibus_meta VALUES('outbox.fence', 0), ('outbox.until', 0);"
    "CREATE TABLE IF NOT EXISTS omnibus_outbox(position INTEGER PRIMARY KEY AUTOINCREMENT, time INTEGER NOT NULL,"
    " epoch INTEGER NOT NULL, number INTEGER NOT NULL, topic BLOB NOT NULL, key BLOB NOT NULL, id BLOB NOT NULL,"
    " type BLOB NOT NULL, headers BLOB NOT NULL, payload BLOB NOT NULL)",
    nullptr, "PRAGMA synchronous=NORMAL"};

}  // namespace omnibus::outbox
