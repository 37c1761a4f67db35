// SPDX-License-Identifier: MIT
#include <omnibus/backends/redis/stream_id.hpp>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::redis;
using namespace omnibus::unit;

TEST_CASE("redis: ids of entries are positions") {
  for (const Position id : {Position{}, Position{1526919030474, 55}, Position{UINT64_MAX, UINT64_MAX}}) {
    Position back{7, 7};
    const IdText text{id};
    REQUIRE(parse_id(text, back));
    CHECK(back == id);
  }
  CHECK(std::string_view{IdText{Position{12, 3}}} == "12-3");
  Position id{};
  for (const char* bad : {"", "-", "1", "1-", "-1", "1-2-3", "1 -2", "a-b", "18446744073709551616-0"}) {
    INFO(bad);
    CHECK_FALSE(parse_id(bad, id));
  }
}

TEST_CASE("redis: the id before") {
  CHECK(id_before({5, 3}) == Position{5, 2});
  CHECK(id_before({5, 0}) == Position{4, UINT64_MAX});
  CHECK(id_before({}) == Position{});
}

TEST_CASE("redis: ids and times") {
  CHECK(id_at(Time{1500us}) == Position{1, 0});
  CHECK(id_at(Time{-5s}) == Position{});
  CHECK(time_of({1500, 9}) == Time{1500ms});
  CHECK(time_of({UINT64_MAX, 0}) > time_of({1'700'000'000'000, 0}));  // made up, and bounded
}
