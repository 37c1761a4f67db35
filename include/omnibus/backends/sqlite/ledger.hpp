// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include <omnibus/backends/sqlite/file.hpp>
#include <omnibus/backends/sqlite/log.hpp>
#include <omnibus/backends/sqlite/rows.hpp>
#include <omnibus/backends/sqlite/shares.hpp>
#include <omnibus/backends/sqlite/turn.hpp>
#include <omnibus/result.hpp>

// Groups, their members and what they have done, as the thread that writes sees them. All of it happens
// inside a transaction.

namespace omnibus::sqlite {

/// Thread safety: one thread at a time. Lifetime: file and log must outlive it.
class Ledger {
 public:
  Ledger(File& file, Log& log, const Settings& settings) : file_{file}, log_{log}, settings_{settings} {}

  Result<> prepare() {
    Result<> all = file_.prepare(find_group_, "SELECT id FROM omnibus_groups WHERE topic = ?1 AND name = ?2");
    const auto also = [&](Statement& statement, std::string_view sql) {
      if (all) all = file_.prepare(statement, sql);
    };
    also(add_group_, "INSERT INTO omnibus_groups(topic, name) VALUES(?1, ?2)");
    also(add_share_, "INSERT INTO omnibus_shares VALUES(?1, ?2, ?3, ?3, 0, 0, 0)");
    also(settle_, "UPDATE omnibus_shares SET cursor = ?4, seen = ?5 WHERE grp = ?1 AND shard = ?2 AND fence = ?3");
    also(renew_,
         "UPDATE omnibus_shares SET cursor = ?4, seen = ?5, until = ?6 WHERE grp = ?1 AND shard = ?2 AND fence = ?3");
    also(give_up_,
         "UPDATE omnibus_shares SET cursor = ?4, seen = ?5, owner = 0, until = 0, fence = fence + 1"
         " WHERE grp = ?1 AND shard = ?2 AND fence = ?3");
    also(take_, "UPDATE omnibus_shares SET owner = ?3, until = ?4, fence = fence + 1 WHERE grp = ?1 AND shard = ?2");
    also(shares_, "SELECT shard, cursor, seen, owner, fence, until FROM omnibus_shares WHERE grp = ?1 ORDER BY shard");
    also(leave_one_, "INSERT OR REPLACE INTO omnibus_left VALUES(?1, ?2, ?3, ?4)");
    also(drop_one_, "DELETE FROM omnibus_left WHERE grp = ?1 AND row = ?2");
    also(live_, "INSERT OR REPLACE INTO omnibus_members VALUES(?1, ?2, ?3)");
    also(bury_, "DELETE FROM omnibus_members WHERE grp = ?1 AND until < ?2");
    also(members_, "SELECT id FROM omnibus_members WHERE grp = ?1 ORDER BY id");
    also(part_, "DELETE FROM omnibus_members WHERE grp = ?1 AND id = ?2");
    also(needed_,
         "SELECT min(cursor) FROM omnibus_shares JOIN omnibus_groups ON omnibus_groups.id = grp"
         " JOIN omnibus_topics ON omnibus_topics.id = topic WHERE first = ?1 AND shard = ?2");
    also(left_, "SELECT min(row) FROM omnibus_left WHERE grp = ?1 AND row BETWEEN ?2 AND ?3");
    also(groups_,
         "SELECT omnibus_groups.id FROM omnibus_groups JOIN omnibus_topics ON omnibus_topics.id = topic"
         " WHERE first = ?1");
    return all;
  }
  void finalize() noexcept {
    for (Statement* each : {&find_group_, &add_group_, &add_share_, &settle_, &renew_, &give_up_, &take_,
                            &shares_, &leave_one_, &drop_one_, &live_, &bury_, &members_, &part_, &needed_,
                            &left_, &groups_}) {
      each->finalize();
    }
  }

  /// Does what a consumer asks for. `now`: of the wall clock. An error is one of the file, and undoes it.
  Result<> carry_out(Turn& turn, std::int64_t now) {
    turn.taken.clear();
    turn.give_up.clear();
    Result<> done;
    if (turn.join) done = join(turn);
    for (ShareChange& each : turn.shares) {
      if (done) done = settle(turn, each, now);
    }
    if (done && turn.tend) done = tend(turn, now);
    if (done && turn.move) done = log_.move_due(now);
    if (done && turn.care) done = care(turn);
    if (done && turn.leave) {
      part_.bind(1, turn.place.group).bind(2, turn.plan->member);
      done = file_.carry_out(part_);
    }
    return done;
  }

 private:
  // ── joining ────────────────────────────────────────────────────────────────────────────────────

  Result<> join(Turn& turn) {
    const Plan& plan = *turn.plan;
    Route route{plan.topic};
    std::int64_t topic = 0;
    if (Result<> found = log_.find(route, settings_.shards, &topic); !found) return found;
    turn.place = {route.first, route.shards, 0};
    turn.start_lost = false;
    if (!plan.group.empty()) {
      if (Result<> found = find_group(topic, plan.group, turn.place.group); !found) return found;
    }
    if (plan.reads_only) return begin_reader(turn);
    if (turn.place.group != 0) return {};
    add_group_.bind(1, topic).bind(2, plan.group);
    if (Result<> added = file_.carry_out(add_group_); !added) return added;
    turn.place.group = sqlite3_last_insert_rowid(file_.database().get());
    for (std::int32_t shard = 0; shard < route.shards; ++shard) {
      std::uint64_t position = 0;
      if (Result<> known = start_of(turn, shard, position); !known) return known;
      add_share_.bind(1, turn.place.group).bind(2, std::int64_t{shard}).bind(3, static_cast<std::int64_t>(position));
      if (Result<> added = file_.carry_out(add_share_); !added) return added;
    }
    return {};
  }

  /// A reader of its own begins where it says, one who looks at a group where that is.
  Result<> begin_reader(Turn& turn) {
    if (turn.place.group != 0) return read_shares(turn.place.group, turn.taken);
    for (std::int32_t shard = 0; shard < turn.place.shards; ++shard) {
      ShareRow& row = turn.taken.emplace_back();
      row.shard = shard;
      if (Result<> known = start_of(turn, shard, row.cursor); !known) return known;
      row.seen = row.cursor;
    }
    return {};
  }

  Result<> find_group(std::int64_t topic, std::string_view name, std::int64_t& id) {
    const Use find{find_group_};
    const int code = find->bind(1, topic).bind(2, name).step();
    if (code == SQLITE_ROW) id = find->number(0);
    return file_.check(code);
  }

  Result<> start_of(Turn& turn, std::int32_t shard, std::uint64_t& position) {
    const Start& start = turn.plan->start;
    const std::int64_t partition = turn.place.first + shard;
    if (start.from == Start::From::latest) return log_.end_of(partition, position);
    if (start.from == Start::From::time) return log_.since(partition, start.time, position);
    Result<> first = log_.begin_of(partition, position);
    if (!first || start.from == Start::From::earliest) return first;
    for (const Start::At& at : start.positions) {
      if (at.partition != shard) continue;
      turn.start_lost |= at.position.major < position;
      if (at.position.major > position) position = at.position.major;
    }
    return {};
  }

  // ── what is done ───────────────────────────────────────────────────────────────────────────────

  Result<> settle(const Turn& turn, ShareChange& change, std::int64_t now) {
    Statement& statement = change.give_up ? give_up_ : turn.tend ? renew_ : settle_;
    statement.bind(1, turn.place.group)
        .bind(2, std::int64_t{change.shard})
        .bind(3, change.fence)
        .bind(4, static_cast<std::int64_t>(change.cursor))
        .bind(5, static_cast<std::int64_t>(change.seen));
    if (!change.give_up && turn.tend) statement.bind(6, now + settings_.lease_us);
    if (Result<> settled = file_.carry_out(statement); !settled) return settled;
    change.lost = file_.changes() == 0;
    if (change.lost) return {};
    for (const LeftChange& each : change.left) {
      const std::int64_t row = row_of(turn.place.first + change.shard, each.position);
      Statement& left = each.gone ? drop_one_ : leave_one_;
      left.bind(1, turn.place.group).bind(2, row);
      if (!each.gone) left.bind(3, each.due).bind(4, std::int64_t{each.attempts});
      if (Result<> noted = file_.carry_out(left); !noted) return noted;
    }
    return {};
  }

  // ── who owns what ──────────────────────────────────────────────────────────────────────────────

  Result<> tend(Turn& turn, std::int64_t now) {
    const std::int64_t self = turn.plan->member;
    const std::int64_t until = now + settings_.lease_us;
    live_.bind(1, turn.place.group).bind(2, self).bind(3, until);
    Result<> done = file_.carry_out(live_);
    bury_.bind(1, turn.place.group).bind(2, now);
    if (done) done = file_.carry_out(bury_);
    std::size_t rank = 0;
    if (done) done = count_members(turn, rank);
    rows_.clear();
    if (done) done = read_shares(turn.place.group, rows_);
    if (!done) return done;
    for (ShareRow& row : rows_) {
      if (row.owner == self && !holds(turn, row)) row.owner = 0;  // it does not know of it any more
    }
    const std::size_t share = fair_share(rows_.size(), static_cast<std::size_t>(turn.members), rank);
    Claims claims = claims_of(self, rows_, share, now);
    for (const std::size_t index : claims.take) {
      ShareRow row = rows_[index];
      take_.bind(1, turn.place.group).bind(2, std::int64_t{row.shard}).bind(3, self).bind(4, until);
      if (done = file_.carry_out(take_); !done) return done;
      ++row.fence;
      turn.taken.push_back(row);
    }
    turn.give_up.swap(claims.give_up);
    turn.waits = claims.waits;
    return {};
  }

  static bool holds(const Turn& turn, const ShareRow& row) {
    for (const ShareChange& each : turn.shares) {
      if (each.shard == row.shard) return each.fence == row.fence;
    }
    return false;
  }

  Result<> count_members(Turn& turn, std::size_t& rank) {
    const Use members{members_};
    members->bind(1, turn.place.group);
    turn.members = 0;
    int code = members->step();
    for (; code == SQLITE_ROW; code = members->step()) {
      if (members->number(0) == turn.plan->member) rank = static_cast<std::size_t>(turn.members);
      ++turn.members;
    }
    return file_.check(code);
  }

  Result<> read_shares(std::int64_t group, std::vector<ShareRow>& rows) {
    const Use shares{shares_};
    shares->bind(1, group);
    int code = shares->step();
    for (; code == SQLITE_ROW; code = shares->step()) {
      rows.push_back({static_cast<std::int32_t>(shares->number(0)), static_cast<std::uint64_t>(shares->number(1)),
                      static_cast<std::uint64_t>(shares->number(2)), shares->number(3), shares->number(4),
                      shares->number(5)});
    }
    return file_.check(code);
  }

  // ── what may go ────────────────────────────────────────────────────────────────────────────────

  Result<> care(const Turn& turn) {
    for (const ShareChange& each : turn.shares) {
      const std::int64_t partition = turn.place.first + each.shard;
      std::uint64_t needed = 0;
      if (settings_.trim) {
        if (Result<> known = needed_of(turn.place, each.shard, needed); !known) return known;
      }
      std::uint64_t end = 0;
      if (Result<> known = log_.end_of(partition, end); !known) return known;
      const std::uint64_t bound = settings_.shard_bound;
      if (bound > 0 && end > bound && end - bound > needed) needed = end - bound;
      if (needed < 2) continue;
      if (Result<> removed = log_.remove_before(partition, needed); !removed) return removed;
    }
    return {};
  }

  /// The first position that some group has not finished.
  Result<> needed_of(const Place& place, std::int32_t shard, std::uint64_t& needed) {
    {
      const Use lowest{needed_};
      if (const int code = lowest->bind(1, place.first).bind(2, std::int64_t{shard}).step(); code != SQLITE_ROW) {
        return file_.check(code);
      }
      needed = static_cast<std::uint64_t>(lowest->number(0));
    }
    const Use groups{groups_};
    groups->bind(1, place.first);
    int code = groups->step();
    for (; code == SQLITE_ROW; code = groups->step()) {
      const Use left{left_};
      left->bind(1, groups->number(0))
          .bind(2, row_of(place.first + shard, 0))
          .bind(3, row_of(place.first + shard, last_position));
      if (const int found = left->step(); found != SQLITE_ROW) return file_.check(found);
      const std::uint64_t position = position_of(left->number(0));
      if (left->number(0) != 0 && position < needed) needed = position;
    }
    return file_.check(code);
  }

  File& file_;
  Log& log_;
  const Settings& settings_;
  std::vector<ShareRow> rows_;
  Statement find_group_, add_group_, add_share_, settle_, renew_, give_up_, take_, shares_, leave_one_, drop_one_,
      live_, bury_, members_, part_, needed_, left_, groups_;
};

}  // namespace omnibus::sqlite
