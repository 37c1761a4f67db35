// SPDX-License-Identifier: MIT
#include <omnibus/backends/redis/entry.hpp>

#include <string>
#include <vector>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::redis;
using namespace omnibus::unit;

namespace {

const ForeignFields plain{};

void fill(Entry& entry, const std::vector<std::string_view>& parts,
          const ForeignFields& foreign = plain) {
  entry.begin({1500, 2});
  for (const std::string_view each : parts) REQUIRE(entry.add(each, foreign, 1 << 20));
  entry.finish();
}

}  // namespace

TEST_CASE("redis: what omnibus wrote comes back as it was") {
  Entry entry;
  fill(entry, {"omnibus", "1 77 3 9", "id", "m-1", "type", "t", "key", "k", "h.a", "1", "h.", "2",
               "h.a", std::string_view{"\0x", 2}, "payload", std::string_view{"p\0q", 3}});
  const MessageView& message = entry.message();
  CHECK(message.id == "m-1");
  CHECK(message.type == "t");
  CHECK(message.key == "k");
  CHECK(message.payload == "p\0q"sv);
  CHECK(message.time == Time{77ns});
  CHECK(message.sequence == Sequence{3, 9});
  std::string headers;
  for (const Header each : message.headers) {
    headers.append(each.name).append("=").append(each.value).append(";");
  }
  CHECK(headers == "a=1;=2;a=\0x;"s);
}

TEST_CASE("redis: entries of others are raw deliveries, with their fields as headers") {
  Entry entry;
  fill(entry, {"sensor", "7", "payload", "21.5", "payload", "again", "id", "x"});
  CHECK(entry.message().id == "1500-2");  // the same whenever it comes
  CHECK(entry.message().time == Time{1500ms});
  CHECK(entry.message().payload == "21.5");
  CHECK(entry.message().type.empty());
  CHECK(entry.message().key.empty());
  CHECK(entry.message().headers.get("sensor") == "7");
  CHECK(entry.message().headers.get("payload") == "again");
  CHECK(entry.message().headers.get("id") == "x");
  fill(entry, {"sensor", "7", "data", "21.5"}, {"data", "sensor"});
  CHECK(entry.message().payload == "21.5");
  CHECK(entry.message().key == "7");
  CHECK(entry.message().headers.empty());
}

TEST_CASE("redis: what only looks like ours is somebody else's") {
  Entry entry;
  fill(entry, {"omnibus", "hello", "payload", "p"});
  CHECK(entry.message().headers.get("omnibus") == "hello");
  CHECK(entry.message().id == "1500-2");
  fill(entry, {"payload", "p", "omnibus", "1 77"});
  CHECK(entry.message().headers.get("omnibus") == "1 77");
  fill(entry, {"omnibus", "1 77", "strange", "s"});  // ours, from a later version
  CHECK(entry.message().headers.get("strange") == "s");
  CHECK(entry.message().id.empty());
  fill(entry, {});
  CHECK(entry.message().payload.empty());
}

TEST_CASE("redis: an entry is bounded") {
  Entry entry;
  entry.begin({1, 1});
  CHECK(entry.add("a", plain, 10));
  CHECK(entry.add("123", plain, 10));
  CHECK_FALSE(entry.add("1234567890", plain, 10));
  entry.begin({2, 0});
  CHECK(entry.add("123456789", plain, 16));
  CHECK_FALSE(entry.add("12345678", plain, 16));
}
