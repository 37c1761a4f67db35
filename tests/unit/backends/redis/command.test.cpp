// SPDX-License-Identifier: MIT
#include <omnibus/backends/redis/command.hpp>

#include <cstdint>
#include <string>

#include "catch.hpp"

using namespace omnibus::redis;
using namespace std::string_literals;

TEST_CASE("redis: a command is an array of bulk strings") {
  std::string out = "before";
  append_command(out, "XACK", std::string{"key"}, std::string_view{"a\r\n\0b", 5}, -12,
                 UINT64_MAX, "");
  CHECK(out == "before*6\r\n$4\r\nXACK\r\n$3\r\nkey\r\n$5\r\na\r\n\0b\r\n"
               "$3\r\n-12\r\n$20\r\n18446744073709551615\r\n$0\r\n\r\n"s);
}

TEST_CASE("redis: a command may be put together") {
  std::string whole, parts;
  append_command(whole, "DEL", "a", 7);
  begin_command(parts, 3);
  append_argument(parts, "DEL");
  append_argument(parts, "a");
  append_argument(parts, 7);
  CHECK(parts == whole);
}
