// SPDX-License-Identifier: MIT
#include <omnibus/detail/percent.hpp>

#include "catch.hpp"

using omnibus::detail::percent_decode;

TEST_CASE("percent: bytes come back, and what is malformed or zero is refused") {
  std::string out;
  REQUIRE(percent_decode("a%2fb%2F%25%c3%A4", out));
  CHECK(out == "a/b/%\xc3\xa4");
  for (const char* bad : {"%", "%2", "%2g", "%00", "a%-1", "% 1"}) {
    INFO(bad);
    CHECK_FALSE(percent_decode(bad, out));
  }
  CHECK_FALSE(percent_decode({"a\0b", 3}, out));
}
