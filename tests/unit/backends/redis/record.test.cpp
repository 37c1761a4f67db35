// SPDX-License-Identifier: MIT
#include <omnibus/backends/redis/record.hpp>

#include "catch.hpp"
#include "tools.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::redis;
using namespace omnibus::unit;

TEST_CASE("redis: a message is an entry that people can read") {
  Message message;
  message.id = "m-1";
  message.payload = "total 42";
  message.time = Time{1234ns};
  std::string out;
  append_xadd(out, "{t}:0", 0, message.view());
  CHECK(commands_of(out) == "XADD {t}:0 * omnibus 1 1234 id m-1 payload total 42\n");
  message.type = "placed";
  message.key = "o-17";
  message.headers = {{"trace", "4bf9"}, {"trace", ""}};
  message.sequence = {3, 9};
  out.clear();
  append_xadd(out, "{t}:0", 500, message.view());
  CHECK(commands_of(out) ==
        "XADD {t}:0 MAXLEN ~ 500 * omnibus 1 1234 3 9 id m-1 type placed key o-17 h.trace 4bf9 "
        "h.trace  payload total 42\n");
}

TEST_CASE("redis: stamps") {
  Stamp stamp;
  REQUIRE(parse_stamp("1 -5", stamp));
  CHECK(stamp.time == Time{-5ns});
  REQUIRE(parse_stamp("1 7 8 9", stamp));
  CHECK(stamp.sequence == Sequence{8, 9});
  for (const char* bad : {"", "1", "1 ", "2 7", "1 x", "1 7 8", "1 7 8 9 10", "1 7  8 9", "17 8",
                          "1 99999999999999999999"}) {
    INFO(bad);
    CHECK_FALSE(parse_stamp(bad, stamp));
  }
}
