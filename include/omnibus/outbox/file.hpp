// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <omnibus/detail/headers_block.hpp>
#include <omnibus/detail/sqlite.hpp>
#include <omnibus/detail/sqlite_file.hpp>
#include <omnibus/message.hpp>
#include <omnibus/outbox/tables.hpp>
#include <omnibus/result.hpp>
#include <omnibus/time.hpp>

// What a relay does in the file of an outbox: hold the lease, read, and take out what was confirmed.

namespace omnibus::outbox {

/// A message of the outbox. Lifetime: of the visit.
struct Stored {
  std::int64_t position;  ///< from 1
  std::string_view topic;
  MessageView message;
};

/// Whose turn it is to relay. Times are milliseconds of the wall clock of the machine.
struct Lease {
  std::int64_t fence = 0;  ///< tells this holder from those before
  std::int64_t until = 0;
};

/// What waits in an outbox.
struct Backlog {
  std::uint64_t pending = 0;
  Time oldest{};  ///< when the first of it was added; Time{}: nothing waits
};

/// Thread safety: one thread at a time; several processes are safe. Errors of every call: unavailable, access_denied,
/// topology_mismatch, internal.
class File {
 public:
  /// Opens nothing yet. Throws std::invalid_argument.
  File(std::string path, Duration busy_timeout)
      : file_{"OutboxRelay", std::move(path), busy_timeout, tables, sql} {}

  /// Takes the lease when nobody holds it at `now`. A fence of 0: someone does, until then.
  Result<Lease> acquire(std::int64_t now, std::int64_t until) {
    Lease held;
    const Result<> looked = file_.look([&] { return find(held); });  // most of the time, and without a lock
    if (!looked) return looked.error();
    if (held.until > now) return Lease{0, held.until};
    Lease mine;
    const Result<> done = file_.transact([&]() -> Result<> {
      if (Result<> found = find(held); !found) return found;
      if (held.until > now) return {};
      mine = {held.fence + 1, until};
      const detail::sqlite::Use take{file_[take_lease]};
      return ended(take->bind(1, mine.fence).bind(2, until).step());
    });
    if (!done) return done.error();
    return mine.fence != 0 ? mine : Lease{0, held.until};
  }

  /// Takes messages out of the outbox and holds the lease on, in one transaction. Errors: rejected, when another one
  /// has taken the lease since: nothing is done then. `confirmed` is put in order.
  Result<> mark(std::int64_t fence, std::int64_t until, std::span<std::int64_t> confirmed) {
    std::sort(confirmed.begin(), confirmed.end());
    return file_.transact([&]() -> Result<> {
      {
        const detail::sqlite::Use renew{file_[renew_lease]};
        if (Result<> renewed = ended(renew->bind(1, fence).bind(2, until).step()); !renewed) return renewed;
      }
      if (file_.changes() != 1) {
        return Error::make(Errc::rejected, "mark what was relayed", "another relay has taken over");
      }
      for (std::size_t first = 0; first < confirmed.size();) {
        std::size_t last = first;
        while (last + 1 < confirmed.size() && confirmed[last + 1] == confirmed[last] + 1) ++last;
        const detail::sqlite::Use remove{file_[remove_range]};
        if (Result<> removed = ended(remove->bind(1, confirmed[first]).bind(2, confirmed[last]).step()); !removed) {
          return removed;
        }
        first = last + 1;
      }
      return {};
    });
  }
  /// Gives the lease back, so that the next one need not wait.
  Result<> release(std::int64_t fence) { return mark(fence, 0, {}); }

  /// Visits up to `limit` messages behind a position, in order, until `visit(Stored)` says false. Returns whether it
  /// came to the end.
  template <class Visit>
  Result<bool> scan(std::int64_t behind, std::size_t limit, Visit visit) {
    bool end = true;
    const Result<> scanned = file_.look([&]() -> Result<> {
      detail::sqlite::Use rows{file_[read_rows]};
      rows->bind(1, behind);
      int code = SQLITE_ROW;
      for (std::size_t count = 0; (code = rows->step()) == SQLITE_ROW; ++count) {
        if (!detail::is_headers_block(rows->bytes(8))) {
          return file_.damaged("the headers of message " + std::to_string(rows->number(0)) + " are damaged");
        }
        if (count == limit || !visit(stored(*rows.operator->()))) {
          end = false;
          return {};
        }
      }
      return ended(code);
    });
    if (!scanned) return scanned.error();
    return end;
  }

  /// Whether another connection has committed something since the last call. True when in doubt.
  Result<bool> changed() {
    std::int64_t version = 0;
    const Result<> looked = file_.look([&]() -> Result<> {
      const detail::sqlite::Use look{file_[data_version]};
      if (look->step() != SQLITE_ROW) return file_.problem();
      version = look->number(0);
      return {};
    });
    if (!looked) {
      version_ = 0;
      return looked.error();
    }
    return std::exchange(version_, version) != version;
  }

  /// Complexity: linear.
  Result<Backlog> backlog() {
    Backlog backlog;
    const Result<> counted = file_.look([&]() -> Result<> {
      const detail::sqlite::Use count{file_[count_rows]};
      if (count->step() != SQLITE_ROW) return file_.problem();
      backlog.pending = static_cast<std::uint64_t>(count->number(0));
      if (backlog.pending > 0) backlog.oldest = time_at(count->number(1));
      return {};
    });
    if (!counted) return counted.error();
    return backlog;
  }

  void close() noexcept { file_.close(); }

 private:
  enum Statement : std::size_t { find_lease, take_lease, renew_lease, remove_range, read_rows, count_rows, data_version,
                                 statements };
  using Sqlite = detail::sqlite::File<statements>;
  static constexpr Sqlite::Sql sql{
      "SELECT (SELECT value FROM omnibus_meta WHERE name = 'outbox.fence'),"
      " (SELECT value FROM omnibus_meta WHERE name = 'outbox.until')",
      "UPDATE omnibus_meta SET value = iif(name = 'outbox.fence', ?1, ?2)"
      " WHERE name IN ('outbox.fence', 'outbox.until')",
      "UPDATE omnibus_meta SET value = ?2 WHERE name = 'outbox.until'"
      " AND (SELECT value FROM omnibus_meta WHERE name = 'outbox.fence') = ?1",
      "DELETE FROM omnibus_outbox WHERE position BETWEEN ?1 AND ?2",
      "SELECT position, time, epoch, number, topic, key, id, type, headers, payload FROM omnibus_outbox"
      " WHERE position > ?1 ORDER BY position",
      "SELECT count(*), (SELECT time FROM omnibus_outbox ORDER BY position LIMIT 1) FROM omnibus_outbox",
      "PRAGMA data_version"};

  Result<> find(Lease& held) {
    const detail::sqlite::Use find{file_[find_lease]};
    if (find->step() != SQLITE_ROW) return file_.problem();
    held = {find->number(0), find->number(1)};
    return {};
  }
  static Time time_at(std::int64_t microseconds) {
    return Time{std::chrono::duration_cast<Time::duration>(std::chrono::microseconds{microseconds})};
  }
  static Stored stored(const detail::sqlite::Statement& row) {
    Stored found{row.number(0), row.bytes(4), {}};
    found.message.time = time_at(row.number(1));
    found.message.sequence = {static_cast<std::uint64_t>(row.number(2)), static_cast<std::uint64_t>(row.number(3))};
    found.message.key = row.bytes(5);
    found.message.id = row.bytes(6);
    found.message.type = row.bytes(7);
    found.message.headers = HeadersView{row.bytes(8)};
    found.message.payload = row.bytes(9);
    return found;
  }
  Result<> ended(int code) const {
    if (code == SQLITE_DONE) return {};
    return file_.problem();
  }

  Sqlite file_;
  std::int64_t version_ = 0;  ///< of the data, as it was seen last
};

}  // namespace omnibus::outbox
