// SPDX-License-Identifier: MIT
#include <omnibus/detail/printable.hpp>

#include "catch.hpp"

using omnibus::detail::printable;

TEST_CASE("text from outside is one line, without what a terminal obeys, and has a bound") {
  CHECK(printable("a\r\nb\x1b[31m\x7f") == "a??b?[31m?");
  CHECK(printable(std::string_view{"a\0b", 3}) == "a?b");
  CHECK(printable("Grüße") == "Grüße");
  CHECK(printable(std::string(5000, 'x')).size() == 255);
}
