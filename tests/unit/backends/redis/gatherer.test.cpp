// SPDX-License-Identifier: MIT
#include <omnibus/backends/redis/gatherer.hpp>

#include <string>

#include "catch.hpp"
#include "tools.hpp"

using namespace omnibus;
using namespace omnibus::redis;
using namespace omnibus::unit;

namespace {

/// Writes down what comes, and feeds replies to a gatherer.
struct Bench final : Arrivals, Replies {
  HeldPool pool;
  Gatherer gatherer{pool, *this, {}, 100};
  std::string text;
  bool script = false;

  std::int64_t shard_of(std::string_view stream) const noexcept override {
    return stream == "s0" ? 0 : stream == "s1" ? 1 : -1;
  }
  void arrived(Held& held) override {
    note(held.shard, held.entry.id(), held.entry.message().payload);
    if (held.attempts > 0) text.append("x").append(std::to_string(held.attempts)).append(" ");
    pool.give_back(held);
  }
  void gone(std::size_t shard, Position id) override { note(shard, id, "gone"); }
  void too_large(std::size_t shard, Position id) override { note(shard, id, "large"); }
  void note(std::size_t shard, Position id, std::string_view what) {
    text.append(std::to_string(shard)).append("/").append(std::string_view{IdText{id}});
    text.append("=").append(what).append(" ");
  }
  void part(const Part& part) noexcept override {
    script ? gatherer.entry_part(part, 7) : gatherer.streams_part(part, 0);
  }
  void complete() noexcept override {}
};

constexpr std::string_view entry = "*2\r\n$3\r\n5-1\r\n*2\r\n$7\r\npayload\r\n$1\r\na\r\n";

}  // namespace

TEST_CASE("redis: streams and their entries become messages") {
  Bench bench;
  const std::string one{entry};
  reply(bench, "*3\r\n*2\r\n$2\r\ns1\r\n*2\r\n" + one + one + "*2\r\n$4\r\nnone\r\n*1\r\n" + one +
                   "*2\r\n$2\r\ns0\r\n*1\r\n" + one);
  CHECK(bench.text == "1/5-1=a 1/5-1=a 0/5-1=a ");
}

TEST_CASE("redis: no news, deleted entries, entries without fields") {
  Bench bench;
  reply(bench, "*-1\r\n$-1\r\n*0\r\n");
  CHECK(bench.text.empty());
  reply(bench, "*1\r\n*2\r\n$2\r\ns0\r\n*3\r\n*2\r\n$3\r\n1-1\r\n$-1\r\n*2\r\n$3\r\n1-2\r\n*0\r\n"
               "*2\r\n$3\r\nbad\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n");
  CHECK(bench.text == "0/1-1=gone 0/1-2= ");
}

TEST_CASE("redis: what scripts return has a count") {
  Bench bench;
  bench.script = true;
  reply(bench, "*2\r\n*3\r\n$3\r\n5-1\r\n:3\r\n*2\r\n$7\r\npayload\r\n$1\r\na\r\n"
               "*3\r\n$3\r\n5-2\r\n:0\r\n$-1\r\n");
  CHECK(bench.text == "7/5-1=a x3 7/5-2=gone ");
}

TEST_CASE("redis: an entry that is too large costs this one entry") {
  Bench bench;
  const std::string large(200, 'x');
  reply(bench, "*1\r\n*2\r\n$2\r\ns0\r\n*2\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\na\r\n$200\r\n" + large +
                   "\r\n" + std::string{entry});
  CHECK(bench.text == "0/1-1=large 0/5-1=a ");
}

TEST_CASE("redis: of an entry that has come in part its id is known") {
  Bench bench;
  reply(bench, "*1\r\n*2\r\n$2\r\ns1\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\na\r\n");
  const auto partial = bench.gatherer.abandon();
  REQUIRE(partial.has_value());
  CHECK(partial->first == 1);
  CHECK(partial->second == Position{1, 1});
  CHECK_FALSE(bench.gatherer.abandon().has_value());
}
