// SPDX-License-Identifier: MIT
#include <omnibus/backends/redis/turn.hpp>

#include <string>

#include "catch.hpp"
#include "tools.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::redis;
using namespace omnibus::unit;

namespace {

struct Bench final : Arrivals, TurnEvents {
  Group group{TopicKeys::of_topic("t", 2), "g", "O", "M", {"0", "$"}, 10s};
  std::vector<Shard> shards;
  HeldPool pool;
  Gatherer gatherer{pool, *this, {}, 1000};
  Turn turn{group, shards, gatherer, *this};
  std::string out;
  std::string told;

  Bench() {
    shards.emplace_back("{t}:0", "L0");
    shards.emplace_back("{t}:1", "L1");
    for (Shard& each : shards) {
      each.take("1:me");
      each.recovered();
    }
  }
  std::string sent() { return commands_of(std::exchange(out, {})); }
  std::string heard(std::string_view replies) {
    reply(turn, replies);
    return std::exchange(told, {});
  }
  void tell(const std::string& text) { told.append(told.empty() ? "" : ", ").append(text); }
  static std::string list(const std::vector<std::string>& texts) {
    std::string text;
    for (const auto& each : texts) text.append(" [").append(each).append("]");
    return text;
  }

  std::int64_t shard_of(std::string_view stream) const noexcept override {
    return stream == "{t}:0" ? 0 : stream == "{t}:1" ? 1 : -1;
  }
  void arrived(Held& held) override {
    tell("entry " + std::string{held.entry.message().payload} + " x" +
         std::to_string(held.attempts));
    pool.give_back(held);
  }
  void gone(std::size_t, Position) override { tell("gone"); }
  void too_large(std::size_t, Position) override { tell("large"); }
  void joined(std::int64_t n, std::int64_t made) override {
    tell("joined " + std::to_string(n) + " " + std::to_string(made));
  }
  void tended(std::size_t share, const std::vector<std::string>& owners) override {
    tell("tended " + std::to_string(share) + list(owners));
  }
  void watched(const std::vector<std::string>& owners) override { tell("watched" + list(owners)); }
  void executed(bool well) override { tell(well ? "executed" : "aborted"); }
  void recovered(std::size_t shard, const Recovered& result) override {
    tell("recovered " + std::to_string(shard) + (result.ours ? " ours " : " lost ") + result.stop +
         "|" + result.last + "|" + std::to_string(result.due) + "|" + std::to_string(result.gone));
  }
  void took_again(std::size_t shard, const Recovered& result) override {
    tell("again " + std::to_string(shard) + " " + std::to_string(result.due));
  }
  void postponed(std::size_t shard, std::int64_t due) override {
    tell("postponed " + std::to_string(shard) + " " + std::to_string(due));
  }
  void gave(std::size_t shard) override { tell("gave " + std::to_string(shard)); }
  void looked(std::size_t shard, std::int64_t removed, std::int64_t unread) override {
    tell("looked " + std::to_string(shard) + " " + std::to_string(removed) + " " +
         std::to_string(unread));
  }
  void moved(std::int64_t due) override { tell("moved " + std::to_string(due)); }
  void refused(std::int64_t shard, const Error& problem) override {
    tell("refused " + std::to_string(shard) + " " + std::string{to_string(problem.code)});
  }
};

}  // namespace

TEST_CASE("redis: joining and tending") {
  Bench bench;
  bench.turn.join(bench.out, "me", "before");
  bench.turn.tend(bench.out, "me", true);
  bench.turn.watch(bench.out);
  CHECK(bench.sent() ==
        "EVAL ... 5 O M {t}:shards {t}:0 {t}:1 2 g me before 0 $\n"
        "EVAL ... 2 O M me 10000 2 1\n"
        "WATCH O\nHMGET O 0 1\n");
  CHECK_FALSE(bench.turn.over());
  CHECK(bench.heard("*2\r\n:2\r\n:1\r\n*4\r\n:1\r\n:2\r\n$4\r\n7:me\r\n$0\r\n\r\n+OK\r\n*2\r\n$4\r\n7:me\r\n$-1\r\n") ==
        "joined 2 1, tended 2 [7:me] [], watched [7:me] []");
  CHECK(bench.turn.over());
}

TEST_CASE("redis: reading and acknowledging is one transaction") {
  Bench bench;
  bench.shards[1].done = {{5, 1}, {5, 2}};
  bench.turn.transact(bench.out, {0, 1}, 10);
  CHECK(bench.sent() ==
        "MULTI\nXACK {t}:1 g 5-1 5-2\n"
        "XREADGROUP GROUP g omnibus COUNT 10 STREAMS {t}:0 {t}:1 > >\nEXEC\n");
  CHECK(bench.heard("+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:2\r\n*1\r\n*2\r\n$5\r\n{t}:0\r\n*1\r\n"
                    "*2\r\n$3\r\n6-0\r\n*2\r\n$7\r\npayload\r\n$1\r\na\r\n") == "entry a x0, executed");
  CHECK(bench.shards[1].done.empty());
  CHECK(bench.shards[1].acking.empty());
}

TEST_CASE("redis: a transaction that others have spoilt acknowledges nothing") {
  Bench bench;
  bench.shards[0].done = {{5, 1}};
  bench.turn.transact(bench.out, {}, 0);
  CHECK(bench.sent() == "MULTI\nXACK {t}:0 g 5-1\nEXEC\n");
  CHECK(bench.heard("+OK\r\n+QUEUED\r\n*-1\r\n") == "aborted");
  CHECK(bench.shards[0].done == std::vector<Position>{{5, 1}});
}

TEST_CASE("redis: what was dropped unread is looked for before the read") {
  Bench bench;
  bench.shards[0].done = {{5, 1}};
  bench.turn.transact(bench.out, {1, 0}, 10, true);
  CHECK(bench.sent() ==
        "MULTI\nXACK {t}:0 g 5-1\nEVAL ... 1 {t}:1 g\nEVAL ... 1 {t}:0 g\n"
        "XREADGROUP GROUP g omnibus COUNT 10 STREAMS {t}:1 {t}:0 > >\nEXEC\n");
  CHECK(bench.heard("+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*4\r\n:1\r\n"
                    "*2\r\n:7\r\n:3\r\n*2\r\n:0\r\n:0\r\n*-1\r\n") ==
        "looked 1 7 3, looked 0 0 0, executed");
}

TEST_CASE("redis: refusals within and instead of a transaction") {
  Bench bench;
  bench.turn.transact(bench.out, {0}, 10);
  CHECK(bench.heard("+OK\r\n+QUEUED\r\n*1\r\n-NOGROUP No such key\r\n") ==
        "refused -1 not_found, executed");
  bench.shards[0].done = {{5, 1}};
  bench.turn.transact(bench.out, {0}, 10);
  CHECK(bench.heard("+OK\r\n-NOPERM no\r\n-NOPERM no\r\n-EXECABORT discarded\r\n") ==
        "refused -1 access_denied, aborted");
  CHECK(bench.shards[0].done.size() == 1);
  CHECK(bench.turn.over());
}

TEST_CASE("redis: scripts do what a transaction does") {
  Bench bench;
  bench.out.clear();
  bench.shards[0].done = {{5, 1}};
  bench.shards[1].done = {{6, 1}};
  bench.turn.take(bench.out, {1}, 10);
  CHECK(bench.sent() ==
        "EVAL ... 2 O {t}:0 0 1:me g omnibus 0 5-1\n"
        "EVAL ... 2 O {t}:1 1 1:me g omnibus 10 6-1\n");
  CHECK(bench.heard("$-1\r\n") == "");  // it was not ours any more
  CHECK(bench.shards[0].done == std::vector<Position>{{5, 1}});
  CHECK(bench.heard("*5\r\n$0\r\n\r\n$0\r\n\r\n:-1\r\n:0\r\n*3\r\n$3\r\n7-0\r\n:0\r\n"
                    "*2\r\n$7\r\npayload\r\n$1\r\na\r\n") == "entry a x0, executed");
  CHECK(bench.shards[1].done.empty());
  CHECK(bench.turn.over());
  bench.turn.take(bench.out, {}, 0);
  CHECK(bench.heard("-OOM full\r\n") == "refused 0 rejected, executed");
  CHECK(bench.shards[0].done.size() == 1);
}

TEST_CASE("redis: what earlier owners left is read by a script") {
  Bench bench;
  bench.out.clear();
  bench.shards[0].recover_after = "4-0";
  bench.shards[0].hostile = {{3, 3}};
  bench.turn.recover(bench.out, 0, 20);
  CHECK(bench.sent() == "EVAL ... 3 O {t}:0 L0 0 1:me g omnibus 4-0 20 3-3\n");
  CHECK(bench.heard("*5\r\n$3\r\n9-0\r\n$3\r\n9-9\r\n:12\r\n:1\r\n"
                    "*3\r\n$3\r\n6-0\r\n:2\r\n*2\r\n$7\r\npayload\r\n$1\r\na\r\n") ==
        "entry a x2, recovered 0 ours 9-0|9-9|12|1");
  CHECK(bench.shards[0].hostile.empty());
  bench.turn.recover(bench.out, 0, 20);
  CHECK(bench.heard("$-1\r\n") == "recovered 0 lost ||-1|0");
  bench.turn.recover(bench.out, 1, 20);
  CHECK(bench.heard("-OOM no\r\n") == "refused 1 rejected");  // and it is asked for again
}

TEST_CASE("redis: later, again, and giving up") {
  Bench bench;
  bench.shards[1].later = {{{5, 1}, 3, 1500ns}, {{5, 2}, 1, -5s}};
  bench.turn.postpone(bench.out, 1);
  bench.turn.again(bench.out, 1, 8);
  bench.shards[1].done = {{7, 0}};
  bench.shards[1].returned = {{{8, 0}, 2, {}}};
  bench.turn.give(bench.out, 1);
  bench.turn.leave(bench.out, "me");
  CHECK(bench.sent() ==
        "EVAL ... 3 O {t}:1 L1 1 1:me g omnibus 5-1 2 3 5-2 0 1\n"
        "EVAL ... 3 O {t}:1 L1 1 1:me g omnibus 8\n"
        "EVAL ... 2 O {t}:1 1 1:me g omnibus 1 7-0 8-0 2\n"
        "ZREM M me\n");
  CHECK(bench.shards[1].state() == Shard::State::giving);
  CHECK(bench.heard(":700\r\n*4\r\n$0\r\n\r\n$0\r\n\r\n:-1\r\n:0\r\n:1\r\n:1\r\n") ==
        "postponed 1 700, again 1 -1, gave 1");
  bench.shards[0].later = {{{5, 1}, 3, 1s}};
  bench.turn.postpone(bench.out, 0);
  CHECK(bench.heard("-OOM no\r\n") == "refused 0 rejected");
  CHECK(bench.shards[0].later.size() == 1);
}

TEST_CASE("redis: care and delays") {
  Bench bench;
  bench.turn.look(bench.out, 0, true);
  bench.turn.move(bench.out);
  CHECK(bench.sent() ==
        "EVAL ... 2 O {t}:0 0 1:me\nEVAL ... 1 {t}:0 g\n"
        "EVAL ... 4 {t}:delayed {t}:delayed:bodies {t}:0 {t}:1 100\n");
  CHECK(bench.heard(":5\r\n*2\r\n:9\r\n:4\r\n:-1\r\n") == "looked 0 9 4, moved -1");
}
