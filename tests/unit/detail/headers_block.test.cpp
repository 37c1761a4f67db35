// SPDX-License-Identifier: MIT
#include <omnibus/detail/headers_block.hpp>

#include <omnibus/headers.hpp>

#include <cstddef>
#include <string>
#include <string_view>

#include "catch.hpp"

using namespace omnibus;

TEST_CASE("a block of headers is one as a whole alone") {
  const Headers headers{{"trace", "1"}, {"empty", ""}};
  const std::string_view block = headers.view().block();
  CHECK(detail::is_headers_block(""));
  CHECK(detail::is_headers_block(block));
  for (std::size_t size = 1; size < block.size(); ++size) {
    CHECK(detail::is_headers_block(block.substr(0, size)) == (size == 14));
  }
  CHECK_FALSE(detail::is_headers_block(std::string(8, '\xff')));
}
