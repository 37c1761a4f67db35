// SPDX-License-Identifier: MIT
#include <omnibus/event_store/columns.hpp>

#include <string>
#include <string_view>
#include <vector>

#include "catch.hpp"

using namespace omnibus;
using namespace omnibus::event_store;

TEST_CASE("tags come out of a column as they went in, and a column that is cut is noticed") {
  const std::string bytes("\0\xff", 2);
  const std::vector<std::string_view> tags{"a", "course:17", bytes, "a"};
  std::string column = "rest of another one";
  encode_tags(tags, column);
  std::vector<std::string_view> read{"old"};
  REQUIRE(decode_tags(column, read));
  CHECK(read == tags);
  for (std::size_t size = 1; size < column.size(); ++size) {
    const bool at_a_border = size == 5 || size == 18 || size == 24;
    CHECK(decode_tags(std::string_view{column}.substr(0, size), read) == at_a_border);
  }
  encode_tags({}, column);
  CHECK(column.empty());
  CHECK(decode_tags(column, read));
  CHECK(read.empty());
  CHECK_FALSE(decode_tags("\xff\xff\xff\xff", read));
}

TEST_CASE("the layout of tags is frozen") {
  std::string column;
  const std::string_view tag = "ab";
  encode_tags({&tag, 1}, column);
  CHECK(column == std::string("\x02\0\0\0ab", 6));
}
