// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include <omnibus/backends/sqlite/file.hpp>
#include <omnibus/backends/sqlite/outbox.hpp>
#include <omnibus/backends/sqlite/rows.hpp>
#include <omnibus/backends/sqlite/turn.hpp>
#include <omnibus/detail/headers_block.hpp>
#include <omnibus/message.hpp>
#include <omnibus/result.hpp>

// A consumer's own connection to the file, which only reads and waits for nobody.

namespace omnibus::sqlite {

/// Thread safety: one thread at a time.
class Reading {
 public:
  ~Reading() { close(); }

  /// Opens the file, which there is. Errors: those of the file.
  Result<> open(const Settings& settings) {
    Result<> all = file_.open(settings);
    const auto also = [&](Statement& statement, std::string_view sql) {
      if (all) all = file_.prepare(statement, sql);
    };
    also(version_, "PRAGMA data_version");
    also(from_, "SELECT * FROM omnibus_messages WHERE row BETWEEN ?1 AND ?2 ORDER BY row LIMIT ?3");
    also(last_, "SELECT row FROM omnibus_messages WHERE row BETWEEN ?1 AND ?2 ORDER BY row DESC LIMIT 1");
    also(left_, "SELECT row, due, attempts FROM omnibus_left WHERE grp = ?1 AND row BETWEEN ?2 AND ?3");
    also(due_, "SELECT due FROM omnibus_later ORDER BY due LIMIT 1");
    also(members_, "SELECT count(*) FROM omnibus_members WHERE grp = ?1 AND until >= ?2");
    also(free_, "SELECT 1 FROM omnibus_shares WHERE grp = ?1 AND (owner = 0 OR until < ?2) LIMIT 1");
    if (!all) close();
    return all;
  }
  bool is_open() const noexcept { return file_.is_open(); }
  void close() noexcept {
    for (Statement* each : {&version_, &from_, &last_, &left_, &due_, &members_, &free_}) each->finalize();
    file_.close();
  }

  /// True when somebody else has written since the last time.
  Result<> look(bool& news) {
    std::int64_t version = 0;
    const Result<> known = one(version_, version);
    news = version != std::exchange(seen_version_, version);
    return known;
  }
  /// Several reads see one state of the file, and cost less.
  Result<> begin() { return file_.run("BEGIN"); }
  void end() { (void)file_.run("COMMIT"); }

  /// Reads messages of a partition from a position on: `each(position, message)`.
  template <class Each>
  Result<> from(std::int64_t partition, std::uint64_t position, std::size_t count, Each each) {
    const Use rows{from_};
    rows->bind(1, row_of(partition, position))
        .bind(2, row_of(partition, last_position))
        .bind(3, static_cast<std::int64_t>(count));
    int code = rows->step();
    for (; code == SQLITE_ROW; code = rows->step()) {
      if (!is_whole()) return damaged();
      each(position_of(rows->number(0)), message());
    }
    return file_.check(code);
  }
  /// `each(message)`, where the message is there.
  template <class Each>
  Result<> at(std::int64_t partition, std::uint64_t position, Each each) {
    const Use rows{from_};
    rows->bind(1, row_of(partition, position)).bind(2, row_of(partition, position)).bind(3, 1);
    const int code = rows->step();
    if (code == SQLITE_ROW && !is_whole()) return damaged();
    if (code == SQLITE_ROW) each(message());
    return file_.check(code);
  }

  /// The position that the next message of a partition gets.
  Result<> end_of(std::int64_t partition, std::uint64_t& end) {
    std::int64_t row = 0;
    last_.bind(1, row_of(partition, 0)).bind(2, row_of(partition, last_position));
    Result<> done = one(last_, row);
    end = position_of(row) + 1;
    return done;
  }

  /// What is left of a shard of a group: `each(position, due, attempts)`.
  template <class Each>
  Result<> left(std::int64_t group, std::int64_t partition, Each each) {
    const Use rows{left_};
    rows->bind(1, group).bind(2, row_of(partition, 0)).bind(3, row_of(partition, last_position));
    int code = rows->step();
    for (; code == SQLITE_ROW; code = rows->step()) {
      each(position_of(rows->number(0)), rows->number(1), static_cast<std::uint32_t>(rows->number(2)));
    }
    return file_.check(code);
  }

  /// When the next delayed message is due; INT64_MAX: there is none.
  Result<> next_due(std::int64_t& due) {
    due = INT64_MAX;
    return one(due_, due);
  }
  /// How many members of a group show signs of life, and whether a shard is free.
  Result<> members(std::int64_t group, std::int64_t now, std::int64_t& count, bool& any_free) {
    std::int64_t found = 0;
    members_.bind(1, group).bind(2, now);
    Result<> known = one(members_, count);
    free_.bind(1, group).bind(2, now);
    if (known) known = one(free_, found);
    any_free = found != 0;
    return known;
  }

 private:
  Result<> one(Statement& statement, std::int64_t& number) {
    const Use row{statement};
    const int code = row->step();
    if (code == SQLITE_ROW) number = row->number(0);
    return file_.check(code);
  }
  bool is_whole() const noexcept { return omnibus::detail::is_headers_block(from_.bytes(7)); }
  Error damaged() const {
    const std::int64_t row = from_.number(0);
    return file_.damaged("the headers of the message in row " + std::to_string(row) + " are damaged");
  }
  /// Lifetime: until the next step.
  MessageView message() const noexcept {
    return {from_.bytes(4),
            from_.bytes(5),
            from_.bytes(6),
            HeadersView{from_.bytes(7)},
            from_.bytes(8),
            from_ns(from_.number(1)),
            {static_cast<std::uint64_t>(from_.number(2)), static_cast<std::uint64_t>(from_.number(3))}};
  }

  File file_;
  std::int64_t seen_version_ = -1;
  Statement version_, from_, last_, left_, due_, members_, free_;
};

}  // namespace omnibus::sqlite
