// SPDX-License-Identifier: MIT
#include <omnibus/backends/redis/delays.hpp>

#include "catch.hpp"
#include "tools.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::redis;
using namespace omnibus::unit;

TEST_CASE("redis: a delayed message is held back with all there is to it") {
  Message message;
  message.id = "m";
  message.payload = "p";
  std::string out;
  const TopicKeys keys = TopicKeys::of_topic("t", 2);
  append_delayed(out, keys, 1, 9, message.view(), 1001ns);
  append_move(out, keys);
  CHECK(commands_of(out) ==
        "EVAL ... 2 {t}:delayed {t}:delayed:bodies 2 {t}:1 9 omnibus 1 0 id m payload p\n"
        "EVAL ... 4 {t}:delayed {t}:delayed:bodies {t}:0 {t}:1 100\n");
}
