// SPDX-License-Identifier: MIT
#include <omnibus/backends/redis/several.hpp>

#include <string>
#include <vector>

#include "catch.hpp"
#include "tools.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::redis;
using namespace omnibus::unit;

namespace {

Part id_at(std::size_t index, std::string_view text) {
  return {.kind = Part::Kind::text, .depth = 1, .index = index, .text = text};
}
const Part array{.kind = Part::Kind::array, .depth = 0};

/// Two topics, and three messages for them.
struct Bench {
  Route a{TopicKeys::of_topic("a", 2)};
  Route b{TopicKeys::of_topic("b", 1)};
  Message message;
  std::vector<Placed> all;

  Bench() {
    message.id = "m";
    message.payload = "p";
    all = {{message.view(), &b, 0}, {message.view(), &a, 1}, {message.view(), &b, 0}};
  }
};

}  // namespace

TEST_CASE("redis: several messages are one command, which names each stream once") {
  Bench bench;
  std::string out;
  append_several(out, bench.all, 9);
  CHECK(commands_of(out) ==
        "EVAL ... 2 {a}:1 {b}:0 9 2 6 omnibus 1 0 id m payload p 1 6 omnibus 1 0 id m payload p"
        " 2 6 omnibus 1 0 id m payload p\n");
}

TEST_CASE("redis: several messages have a receipt each when there is an id for each") {
  Bench bench;
  Several several{bench.all};
  CHECK(std::vector(several.routes().begin(), several.routes().end()) == std::vector{&bench.b, &bench.a});
  CHECK_FALSE(several.is_whole());
  several.note(array);
  several.note(id_at(0, "5-1"));
  several.note(id_at(1, "5-2"));
  CHECK_FALSE(several.is_whole());
  several.note(id_at(2, "nonsense"));
  CHECK_FALSE(several.is_whole());

  several.note(array);  // the reply to the same command on another connection
  for (std::size_t i = 0; i < 3; ++i) several.note(id_at(i, i == 1 ? "7-0" : "6-4"));
  several.note(id_at(3, "8-0"));  // more than was asked for harms nobody
  REQUIRE(several.is_whole());
  const auto receipts = several.receipts();
  REQUIRE(receipts.size() == 3);
  CHECK(receipts[0].partition == 0);
  CHECK(receipts[0].position == Position{6, 4});
  CHECK(receipts[1].partition == 1);
  CHECK(receipts[1].position == Position{7, 0});
}
