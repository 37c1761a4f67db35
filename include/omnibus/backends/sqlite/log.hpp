// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <omnibus/backends/sqlite/file.hpp>
#include <omnibus/backends/sqlite/outbox.hpp>
#include <omnibus/backends/sqlite/rows.hpp>
#include <omnibus/message.hpp>
#include <omnibus/result.hpp>

// Topics and their messages, as the thread that writes sees them. All of it happens inside a transaction.

namespace omnibus::sqlite {

/// Thread safety: one thread at a time. Lifetime: the file must outlive it.
class Log {
 public:
  explicit Log(File& file) : file_{file} {}

  Result<> prepare() {
    Result<> all = file_.prepare(find_topic_, "SELECT first, shards, id FROM omnibus_topics WHERE name = ?1");
    const auto also = [&](Statement& statement, std::string_view sql) {
      if (all) all = file_.prepare(statement, sql);
    };
    also(add_topic_,
         "INSERT INTO omnibus_topics(name, first, shards)"
         " SELECT ?1, coalesce(max(first + shards), 0), ?2 FROM omnibus_topics");
    also(last_, "SELECT row FROM omnibus_messages WHERE row BETWEEN ?1 AND ?2 ORDER BY row DESC LIMIT 1");
    also(first_, "SELECT row FROM omnibus_messages WHERE row BETWEEN ?1 AND ?2 ORDER BY row LIMIT 1");
    also(since_, "SELECT row FROM omnibus_messages WHERE row BETWEEN ?1 AND ?2 AND time >= ?3 ORDER BY row LIMIT 1");
    also(insert_, "INSERT INTO omnibus_messages VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)");
    also(delay_,
         "INSERT INTO omnibus_later(time, epoch, number, id, type, key, headers, payload, due, partition)"
         " VALUES(?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)");
    also(due_, "SELECT row, partition FROM omnibus_later WHERE due <= ?1 ORDER BY due, row LIMIT 500");
    also(move_,
         "INSERT INTO omnibus_messages SELECT ?1, time, epoch, number, id, type, key, headers, payload"
         " FROM omnibus_later WHERE row = ?2");
    also(forget_later_, "DELETE FROM omnibus_later WHERE row = ?1");
    also(remove_,
         "DELETE FROM omnibus_messages WHERE row IN"
         " (SELECT row FROM omnibus_messages WHERE row BETWEEN ?1 AND ?2 ORDER BY row LIMIT 2000)");
    return all;
  }
  void finalize() noexcept {
    for (Statement* each : {&find_topic_, &add_topic_, &last_, &first_, &since_, &insert_, &delay_, &due_,
                            &move_, &forget_later_, &remove_}) {
      each->finalize();
    }
  }

  /// A transaction begins: what was counted may have changed.
  void begin() noexcept { ++transaction_; }
  /// A transaction was undone, or this is another file: what was known of topics may be wrong.
  void forget() noexcept { ++life_; }

  /// Finds the topic, and makes it where there is none. Errors: of the file; rejected, when it is full of
  /// partitions.
  Result<> find(Route& route, std::int32_t shards, std::int64_t* id = nullptr) {
    for (int attempt = 0; attempt < 2; ++attempt) {
      {
        const Use find{find_topic_};
        const int code = find->bind(1, route.topic).step();
        if (code == SQLITE_ROW) {
          route.first = find->number(0);
          route.shards = static_cast<std::int32_t>(find->number(1));
          if (id != nullptr) *id = find->number(2);
          route.known_in = life_;
          route.next.assign(static_cast<std::size_t>(route.shards), 0);
          route.numbered_in = transaction_;
          break;
        }
        if (code != SQLITE_DONE) return file_.check(code);
      }
      add_topic_.bind(1, route.topic).bind(2, std::int64_t{shards});
      if (Result<> added = file_.carry_out(add_topic_); !added) return added;
    }
    if (route.first + route.shards > most_partitions) {
      return Error::make(Errc::rejected, "make topic " + route.topic, "the file has too many topics");
    }
    return {};
  }

  /// Stores a message. `now`: of the wall clock.
  Result<> store(Route& route, const MessageView& message, Duration delay, std::int32_t shards,
                 std::int64_t now, Receipt& receipt) {
    if (route.known_in != life_) {
      if (Result<> found = find(route, shards); !found) return found;
    }
    const std::int32_t shard = shard_of(message, route.shards);
    receipt = {shard, {}};
    if (delay > Duration::zero()) {
      bind(delay_, message).bind(10, now + to_us(delay)).bind(11, route.first + shard);
      return file_.carry_out(delay_);
    }
    if (route.numbered_in != transaction_) {
      route.next.assign(static_cast<std::size_t>(route.shards), 0);
      route.numbered_in = transaction_;
    }
    std::uint64_t& next = route.next[static_cast<std::size_t>(shard)];
    if (next == 0) {
      if (Result<> counted = end_of(route.first + shard, next); !counted) return counted;
    }
    bind(insert_, message).bind(1, row_of(route.first + shard, next));
    if (Result<> stored = file_.carry_out(insert_); !stored) return stored;
    receipt.position = {next++, 0};
    return {};
  }

  /// Moves what is due into the log, some of it at once.
  Result<> move_due(std::int64_t now) {
    moving_.clear();
    {
      const Use due{due_};
      due->bind(1, now);
      int code = due->step();
      for (; code == SQLITE_ROW; code = due->step()) moving_.push_back({due->number(0), due->number(1)});
      if (code != SQLITE_DONE) return file_.check(code);
    }
    for (const Moving& each : moving_) {
      std::uint64_t next = 0;
      if (Result<> counted = end_of(each.partition, next); !counted) return counted;
      move_.bind(1, row_of(each.partition, next)).bind(2, each.row);
      if (Result<> moved = file_.carry_out(move_); !moved) return moved;
      forget_later_.bind(1, each.row);
      if (Result<> gone = file_.carry_out(forget_later_); !gone) return gone;
    }
    return {};
  }

  /// The position that the next message of a partition gets.
  Result<> end_of(std::int64_t partition, std::uint64_t& end) { return row(last_, partition, end, 1); }
  /// The first position that is kept; the end where none is.
  Result<> begin_of(std::int64_t partition, std::uint64_t& begin) { return row(first_, partition, begin, 0); }
  /// The first position of this time or later; the end where there is none. Complexity: linear.
  Result<> since(std::int64_t partition, Time time, std::uint64_t& position) {
    {
      const Use since{since_};
      const int code =
          since->bind(1, row_of(partition, 0)).bind(2, row_of(partition, last_position)).bind(3, to_ns(time)).step();
      if (code == SQLITE_ROW) return position = position_of(since->number(0)), Result<>{};
      if (code != SQLITE_DONE) return file_.check(code);
    }
    return end_of(partition, position);
  }
  /// Removes some of what is before this position; the last message stays, so that no position is used twice.
  Result<> remove_before(std::int64_t partition, std::uint64_t position) {
    std::uint64_t end = 0;
    if (Result<> counted = end_of(partition, end); !counted) return counted;
    if (position >= end) position = end - 1;
    if (position < 2) return {};
    remove_.bind(1, row_of(partition, 0)).bind(2, row_of(partition, position - 1));
    return file_.carry_out(remove_);
  }

 private:
  struct Moving {
    std::int64_t row = 0;
    std::int64_t partition = 0;
  };

  static Statement& bind(Statement& statement, const MessageView& message) {
    return statement.bind(2, to_ns(message.time))
        .bind(3, static_cast<std::int64_t>(message.sequence.epoch))
        .bind(4, static_cast<std::int64_t>(message.sequence.number))
        .bind(5, message.id)
        .bind(6, message.type)
        .bind(7, message.key)
        .bind(8, message.headers.block())
        .bind(9, message.payload);
  }

  Result<> row(Statement& statement, std::int64_t partition, std::uint64_t& position, std::uint64_t more) {
    const Use find{statement};
    const int code = find->bind(1, row_of(partition, 0)).bind(2, row_of(partition, last_position)).step();
    position = code == SQLITE_ROW ? position_of(find->number(0)) + more : 1;
    return file_.check(code);
  }

  File& file_;
  std::uint64_t life_ = 1;
  std::uint64_t transaction_ = 0;
  std::vector<Moving> moving_;
  Statement find_topic_, add_topic_, last_, first_, since_, insert_, delay_, due_, move_, forget_later_, remove_;
};

}  // namespace omnibus::sqlite
