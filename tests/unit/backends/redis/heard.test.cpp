// SPDX-License-Identifier: MIT
#include <omnibus/backends/redis/heard.hpp>

#include <string>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::redis;
using namespace omnibus::unit;

TEST_CASE("redis: what came over a channel, ours and that of others") {
  Heard heard;
  Message message = message_of("m-1", "k", "ours", "t");
  message.headers = {{"trace", "4bf9"}};
  message.time = Time{5s};
  std::string bytes;
  append_frame(bytes, message.view());
  heard.take("news", bytes, Time{9s});
  bytes.assign(bytes.size(), 'x');  // it has its own
  CHECK(heard.topic() == "news");
  CHECK(heard.message().id == "m-1");
  CHECK(heard.message().payload == "ours");
  CHECK(heard.message().headers.get("trace") == "4bf9");
  CHECK(heard.message().time == Time{5s});

  heard.release();
  heard.take("other", "theirs", Time{9s});
  CHECK(heard.topic() == "other");
  CHECK(heard.message().id.empty());
  CHECK(heard.message().type.empty());
  CHECK(heard.message().key.empty());
  CHECK(heard.message().headers.empty());
  CHECK(heard.message().payload == "theirs");
  CHECK(heard.message().time == Time{9s});
}
