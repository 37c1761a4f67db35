// SPDX-License-Identifier: MIT
#include <omnibus/backends/redis/keys.hpp>

#include "catch.hpp"

using namespace omnibus;
using namespace omnibus::redis;

TEST_CASE("redis: names of keys") {
  const TopicKeys keys = TopicKeys::of_topic("orders", 2);
  CHECK(keys.streams == std::vector<std::string>{"{orders}:0", "{orders}:1"});
  CHECK(keys.shards == "{orders}:shards");
  CHECK(keys.delayed == "{orders}:delayed");
  CHECK(keys.bodies == "{orders}:delayed:bodies");
  CHECK(keys.owners("g") == "{orders}:owners:g");
  CHECK(keys.members("g") == "{orders}:members:g");
  CHECK(keys.later(1, "g") == "{orders}:1:later:g");
}

TEST_CASE("redis: a stream of somebody else keeps its name") {
  const TopicKeys plain = TopicKeys::of_stream("their:stream");
  CHECK(plain.streams == std::vector<std::string>{"their:stream"});
  CHECK(plain.shards.empty());
  CHECK(plain.owners("g") == "{their:stream}:owners:g");
  CHECK(TopicKeys::of_stream("a{tag}b").owners("g") == "a{tag}b:owners:g");  // in the same slot
}

TEST_CASE("redis: the shard of a key is frozen") {
  const auto shard = [](std::string_view key, std::string_view id) {
    MessageView message;
    message.key = key;
    message.id = id;
    return shard_of(message, 4);
  };
  // The same as on RabbitMQ: detail::hash64 is held to known values by its own test.
  for (const char* key : {"o-17", "key-0", "x"}) {
    CHECK(shard(key, "any") == static_cast<std::int32_t>(omnibus::detail::hash64(key) % 4));
  }
  CHECK(shard("", "id-1") == static_cast<std::int32_t>(omnibus::detail::hash64("id-1") % 4));
}
