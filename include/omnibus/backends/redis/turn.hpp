// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <omnibus/backends/redis/command.hpp>
#include <omnibus/backends/redis/delays.hpp>
#include <omnibus/backends/redis/errors.hpp>
#include <omnibus/backends/redis/gatherer.hpp>
#include <omnibus/backends/redis/group.hpp>
#include <omnibus/backends/redis/reader.hpp>
#include <omnibus/backends/redis/scripts.hpp>
#include <omnibus/backends/redis/shard.hpp>
#include <omnibus/backends/redis/stream_id.hpp>
#include <omnibus/backends/redis/turn_events.hpp>

// What a member of a group asks of the server, and what is answered. A turn is a few commands that are
// sent at once; the next turn follows when all of them are answered. No I/O.
//
// Reading and acknowledging is fenced without a script, which would have to convert every entry: each turn
// ends with WATCH and a look at the owners, and the next one begins with a transaction, which the server
// carries out only if nobody has touched the owners since (redis.io/docs/interact/transactions).

namespace omnibus::redis {

/// Thread safety: one thread at a time.
class Turn final : public Replies {
 public:
  Turn(const Group& group, std::vector<Shard>& shards, Gatherer& gatherer, TurnEvents& events)
      : group_{group}, shards_{shards}, gatherer_{gatherer}, events_{events} {}

  /// True when everything is answered.
  bool over() const noexcept { return awaited_.empty(); }
  /// The connection is gone.
  void reset() {
    awaited_.clear();
    queued_problem_.reset();
    taking_ = 0;
  }

  // ── what is asked ──────────────────────────────────────────────────────────────────────────────

  void join(std::string& out, std::string_view member, std::string_view previous) {
    const std::size_t streams = group_.keys.streams.size();
    begin_command(out, 3 + 3 + streams + 4 + streams);
    append_script(out, scripts::join, 3 + streams);
    append_argument(out, group_.owners);
    append_argument(out, group_.members);
    append_argument(out, group_.keys.shards.empty() ? group_.owners : group_.keys.shards);
    for (const std::string& stream : group_.keys.streams) append_argument(out, stream);
    if (group_.keys.shards.empty()) {
      append_argument(out, "");
    } else {
      append_argument(out, streams);
    }
    append_argument(out, group_.name);
    append_argument(out, member);
    append_argument(out, previous);
    for (const std::string& start : group_.starts) append_argument(out, start);
    awaited_.push_back({Kind::join});
  }

  void tend(std::string& out, std::string_view member, bool take) {
    const auto ms = std::chrono::ceil<std::chrono::milliseconds>(group_.lease).count();
    append_command(out, "EVAL", scripts::tend, 2, group_.owners, group_.members, member, ms,
                   shards_.size(), take ? 1 : 0);
    awaited_.push_back({Kind::tend});
  }
  void leave(std::string& out, std::string_view member) {
    append_command(out, "ZREM", group_.members, member);
    awaited_.push_back({Kind::nothing});
  }

  void watch(std::string& out) {
    append_command(out, "WATCH", group_.owners);
    begin_command(out, 2 + shards_.size());
    append_argument(out, "HMGET");
    append_argument(out, group_.owners);
    for (std::size_t i = 0; i < shards_.size(); ++i) append_argument(out, i);
    awaited_.push_back({Kind::nothing});
    awaited_.push_back({Kind::watch});
  }

  /// Acknowledges what is done, and reads new entries of these shards, `count` of each at most. `look`:
  /// and looks before what has been dropped unread.
  void transact(std::string& out, const std::vector<std::size_t>& reading, std::size_t count,
                bool look = false) {
    append_command(out, "MULTI");
    awaited_.push_back({Kind::nothing});
    std::size_t commands = 0;
    for (Shard& shard : shards_) {
      if (!shard.ours() || shard.done.empty()) continue;
      shard.acking.swap(shard.done);
      begin_command(out, 3 + shard.acking.size());
      append_argument(out, "XACK");
      append_argument(out, shard.stream);
      append_argument(out, group_.name);
      for (const Position id : shard.acking) append_argument(out, std::string_view{IdText{id}});
      ++commands;
    }
    look_at_ = commands;
    looking_.clear();
    if (look) {
      for (const std::size_t each : reading) append_look(out, each);
      looking_ = reading;
      commands += reading.size();
    }
    if (!reading.empty()) {
      begin_command(out, 7 + 2 * reading.size());
      append_argument(out, "XREADGROUP");
      append_argument(out, "GROUP");
      append_argument(out, group_.name);
      append_argument(out, Group::consumer);
      append_argument(out, "COUNT");
      append_argument(out, count);
      append_argument(out, "STREAMS");
      for (const std::size_t each : reading) append_argument(out, shards_[each].stream);
      for (std::size_t i = 0; i < reading.size(); ++i) append_argument(out, ">");
      ++commands;
    }
    for (std::size_t i = 0; i < commands; ++i) awaited_.push_back({Kind::queued});
    append_command(out, "EXEC");
    awaited_.push_back({Kind::exec, 0, reading.empty() ? commands : commands - 1});
  }

  /// Does the same with a script for each shard.
  void take(std::string& out, const std::vector<std::size_t>& reading, std::size_t count) {
    for (std::size_t i = 0; i < shards_.size(); ++i) {
      Shard& shard = shards_[i];
      bool reads = false;
      for (const std::size_t each : reading) reads |= each == i;
      if (!shard.ours() || (!reads && shard.done.empty())) continue;
      shard.acking.swap(shard.done);
      begin_command(out, 3 + 2 + 5 + shard.acking.size());
      append_script(out, scripts::take, 2);
      append_shard(out, i, false);
      append_argument(out, reads ? count : 0);
      for (const Position id : shard.acking) append_argument(out, std::string_view{IdText{id}});
      awaited_.push_back({Kind::take, i});
      ++taking_;
    }
  }

  /// Reads what is pending, `count` entries at most.
  void recover(std::string& out, std::size_t index, std::size_t count) {
    Shard& shard = shards_[index];
    begin_command(out, 3 + 3 + 6 + shard.hostile.size());
    append_script(out, scripts::recover, 3);
    append_shard(out, index, true);
    append_argument(out, shard.recover_after);
    append_argument(out, count);
    for (const Position id : shard.hostile) append_argument(out, std::string_view{IdText{id}});
    awaited_.push_back({Kind::recover, index, shard.hostile.size()});
  }

  /// Takes what is due again.
  void again(std::string& out, std::size_t index, std::size_t count) {
    begin_command(out, 3 + 3 + 5);
    append_script(out, scripts::again, 3);
    append_shard(out, index, true);
    append_argument(out, count);
    awaited_.push_back({Kind::again, index});
  }

  /// Says when what was put off is to be delivered again.
  void postpone(std::string& out, std::size_t index) {
    Shard& shard = shards_[index];
    shard.latering.swap(shard.later);
    begin_command(out, 3 + 3 + 4 + 3 * shard.latering.size());
    append_script(out, scripts::later, 3);
    append_shard(out, index, true);
    for (const Shard::Again& each : shard.latering) {
      append_argument(out, std::string_view{IdText{each.id}});
      const Duration delay = each.delay > Duration::zero() ? each.delay : Duration::zero();
      append_argument(out, std::chrono::ceil<std::chrono::microseconds>(delay).count());
      append_argument(out, each.attempts);
    }
    awaited_.push_back({Kind::postpone, index});
  }

  /// Gives a shard up, with the last word on its entries.
  void give(std::string& out, std::size_t index) {
    Shard& shard = shards_[index];
    shard.acknowledged(false);
    begin_command(out, 3 + 2 + 5 + shard.done.size() + 2 * shard.returned.size());
    append_script(out, scripts::give, 2);
    append_shard(out, index, false);
    append_argument(out, shard.done.size());
    for (const Position id : shard.done) append_argument(out, std::string_view{IdText{id}});
    for (const Shard::Again& each : shard.returned) {
      append_argument(out, std::string_view{IdText{each.id}});
      append_argument(out, each.attempts);
    }
    awaited_.push_back({Kind::give, index});
    shard.give();
  }

  /// Looks what has been dropped unread, and, if it is to, removes what every group has finished.
  void look(std::string& out, std::size_t index, bool trim) {
    if (trim) {
      append_command(out, "EVAL", scripts::trim, 2, group_.owners, shards_[index].stream, index,
                     shards_[index].owner());
      awaited_.push_back({Kind::nothing});
    }
    append_look(out, index);
    awaited_.push_back({Kind::look, index});
  }

  /// Moves delayed messages of the topic that are due.
  void move(std::string& out) {
    append_move(out, group_.keys);
    awaited_.push_back({Kind::move});
  }

  void ping(std::string& out) {
    append_command(out, "PING");
    awaited_.push_back({Kind::nothing});
  }

  // ── what is answered ───────────────────────────────────────────────────────────────────────────

  void part(const Part& part) noexcept override {
    if (awaited_.empty()) return;
    const Awaited& awaited = awaited_.front();
    if (part.kind == Part::Kind::error) return refuse(awaited, part);
    switch (awaited.kind) {
      case Kind::nothing:
      case Kind::queued: return;
      case Kind::join:
        // A number alone is another one than ours.
        if (part.kind == Part::Kind::integer) (part.index == 0 ? joined_ : made_) = part.number;
        return;
      case Kind::move: return events_.moved(part.number);
      case Kind::give: return;
      case Kind::look:
        if (part.depth == 1) looked(awaited.shard, part);
        return;
      case Kind::postpone:
        shards_[awaited.shard].postponed(true);
        if (part.kind == Part::Kind::integer) events_.postponed(awaited.shard, part.number);
        return;
      case Kind::tend:
        if (part.depth == 1 && part.index == 1) share_ = static_cast<std::size_t>(part.number);
        if (part.depth == 1 && part.index >= 2) owners_.emplace_back(part.text);
        return;
      case Kind::watch:
        if (part.depth == 1) owners_.emplace_back(part.text);
        return;
      case Kind::exec:
        if (part.depth == 0) executed_ = part.kind == Part::Kind::array;
        // The last answer within is that of XREADGROUP: an array of streams, at depth 1.
        if (part.depth == 1) reading_ = part.index == awaited.number;
        if (part.depth == 1) looking_at_ = part.index - look_at_;
        if (part.depth > 1 && reading_) {
          gatherer_.streams_part(part, 1);
        } else if (part.depth == 2 && looking_at_ < looking_.size()) {
          looked(looking_[looking_at_], part);
        }
        return;
      case Kind::take:
      case Kind::recover:
      case Kind::again: return recover_part(awaited, part);
    }
  }

  void complete() noexcept override {
    if (awaited_.empty()) return;
    const Awaited awaited = awaited_.front();
    awaited_.pop_front();
    if (awaited.kind == Kind::take) return taken(shards_[awaited.shard]);
    if (std::exchange(refused_, false)) {
      owners_.clear();
      return;
    }
    switch (awaited.kind) {
      case Kind::join: events_.joined(joined_, made_); return;
      case Kind::tend: events_.tended(share_, std::exchange(owners_, {})); return;
      case Kind::watch: events_.watched(std::exchange(owners_, {})); return;
      case Kind::exec:
        for (Shard& shard : shards_) shard.acknowledged(executed_);
        events_.executed(executed_);
        return;
      case Kind::recover:
        shards_[awaited.shard].forget_hostile(awaited.number);
        events_.recovered(awaited.shard, std::exchange(result_, {}));
        return;
      case Kind::again: events_.took_again(awaited.shard, std::exchange(result_, {})); return;
      case Kind::give: events_.gave(awaited.shard); return;
      default: return;
    }
  }

 private:
  enum class Kind : std::uint8_t {
    nothing,
    queued,  ///< for a transaction
    take,
    join,
    tend,
    watch,
    exec,
    recover,
    again,
    postpone,
    give,
    move,
    look,
  };
  struct Awaited {
    Kind kind;
    std::size_t shard = 0;
    /// Of exec: the index of the answer to XREADGROUP, if there is one. Of recover: how many hostile
    /// entries are given up.
    std::size_t number = 0;
  };

  /// Whose the shard is now, WATCH says.
  void taken(Shard& shard) {
    shard.acknowledged(!std::exchange(refused_, false) && std::exchange(result_, {}).ours);
    if (--taking_ == 0) events_.executed(true);
  }

  void append_shard(std::string& out, std::size_t index, bool later) {
    const Shard& shard = shards_[index];
    append_argument(out, group_.owners);
    append_argument(out, shard.stream);
    if (later) append_argument(out, shard.later_key());
    append_argument(out, index);
    append_argument(out, shard.owner());
    append_argument(out, group_.name);
    append_argument(out, Group::consumer);
  }

  void append_look(std::string& out, std::size_t index) const {
    append_command(out, "EVAL", scripts::look, 1, shards_[index].stream, group_.name);
  }
  void looked(std::size_t shard, const Part& part) {
    if (part.index == 0) removed_ = part.number;
    if (part.index == 1) events_.looked(shard, removed_, part.number);
  }

  void recover_part(const Awaited& awaited, const Part& part) {
    if (part.depth == 0) {
      result_.ours = part.kind == Part::Kind::array;
    } else if (part.depth == 1 && part.index < 4) {
      result_.note(part);
    } else {
      gatherer_.entry_part(part, awaited.shard);
    }
  }

  void refuse(const Awaited& awaited, const Part& part) {
    if (awaited.kind == Kind::queued) {  // for it the transaction is refused
      if (!queued_problem_) queued_problem_ = server_error(part.text, "");
      return;
    }
    const bool of_shard = awaited.kind == Kind::take || awaited.kind == Kind::recover ||
                          awaited.kind == Kind::again || awaited.kind == Kind::postpone ||
                          awaited.kind == Kind::give;
    if (awaited.kind == Kind::postpone) shards_[awaited.shard].postponed(false);
    Error problem = server_error(part.text, "");
    if (awaited.kind == Kind::exec && part.depth == 0) {
      executed_ = false;
      if (queued_problem_) problem = *std::exchange(queued_problem_, {});
    } else if (part.depth == 0) {
      refused_ = true;
    }
    events_.refused(of_shard ? static_cast<std::int64_t>(awaited.shard) : -1, problem);
  }

  const Group& group_;
  std::vector<Shard>& shards_;
  Gatherer& gatherer_;
  TurnEvents& events_;
  std::deque<Awaited> awaited_;
  std::int64_t joined_ = 0;  // how many shards the topic has
  std::int64_t made_ = 0;    // and for how many of them there was no group
  std::size_t share_ = 0;
  std::vector<std::string> owners_;
  TurnEvents::Recovered result_;
  std::int64_t removed_ = 0;
  std::size_t looking_at_ = 0;
  std::size_t look_at_ = 0;           // of exec: the index of the first look
  std::vector<std::size_t> looking_;  // and at which shards
  std::optional<Error> queued_problem_;
  std::size_t taking_ = 0;  // shards
  bool executed_ = false;
  bool reading_ = false;
  bool refused_ = false;
};

}  // namespace omnibus::redis
