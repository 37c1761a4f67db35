// SPDX-License-Identifier: MIT
#include <omnibus/backends/redis/unfinished.hpp>

#include <string>
#include <string_view>
#include <vector>

#include "catch.hpp"

using namespace omnibus;
using namespace omnibus::redis;

namespace {

void group(Unfinished& unfinished, const std::vector<std::string_view>& fields) {
  unfinished.group_part({Part::Kind::array, 1, 0, {}, static_cast<std::int64_t>(fields.size())});
  for (std::size_t i = 0; i < fields.size(); ++i) {
    unfinished.group_part({Part::Kind::text, 2, i, fields[i], 0});
  }
}
void pending(Unfinished& unfinished, std::string_view id) {
  unfinished.pending_part({Part::Kind::array, 1, 0, {}, 4});
  unfinished.pending_part({Part::Kind::text, 2, 0, id, 0});
  unfinished.pending_part({Part::Kind::text, 2, 1, "9-9", 0});  // the consumer, whatever its name
  unfinished.pending_part({Part::Kind::integer, 2, 2, {}, 17});
}

}  // namespace

TEST_CASE("redis: what a group has not finished is what is pending, and what it has not seen") {
  Unfinished unfinished{"letters"};
  CHECK(unfinished.next() == "-");
  group(unfinished, {"name", "others", "last-delivered-id", "9-0"});
  group(unfinished, {"name", "letters", "consumers", "1", "last-delivered-id", "5-0"});
  group(unfinished, {"name", "more", "last-delivered-id", "7-0"});
  pending(unfinished, "2-0");
  pending(unfinished, "4-1");
  CHECK_FALSE(unfinished.more());
  CHECK(unfinished.contains({2, 0}));
  CHECK(unfinished.contains({4, 1}));
  CHECK(unfinished.contains({5, 1}));
  CHECK_FALSE(unfinished.contains({1, 0}));
  CHECK_FALSE(unfinished.contains({3, 0}));
  CHECK_FALSE(unfinished.contains({4, 0}));
  CHECK_FALSE(unfinished.contains({5, 0}));
  unfinished.begin();
  CHECK(unfinished.contains({1, 0}));
}

TEST_CASE("redis: without the group nothing is finished") {
  Unfinished unfinished{"letters"};
  group(unfinished, {"name", "others", "last-delivered-id", "9-0"});
  CHECK(unfinished.contains({1, 0}));
}

TEST_CASE("redis: pending entries are asked for page by page") {
  Unfinished unfinished{"letters"};
  for (std::size_t i = 1; i <= Unfinished::page; ++i) pending(unfinished, std::to_string(i) + "-0");
  CHECK(unfinished.more());
  CHECK_FALSE(unfinished.more());  // the next page was empty
  CHECK(unfinished.next() == "(10000-0");
  pending(unfinished, "10001-0");
  CHECK_FALSE(unfinished.more());
}
