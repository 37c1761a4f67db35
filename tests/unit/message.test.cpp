// SPDX-License-Identifier: MIT
#include <omnibus/message.hpp>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;

TEST_CASE("a message views itself, and copies what a view shows") {
  Message message = message_of("id", "key", "\0payload"s, "type");
  message.headers = {{"a", "1"}};
  message.time = Time{9s};
  message.sequence = {1, 2};
  Message copy{message.view()};
  message = {};
  CHECK(copy.id == "id");
  CHECK(copy.key == "key");
  CHECK(copy.type == "type");
  CHECK(copy.payload == "\0payload"s);
  CHECK(copy.headers.get("a") == "1");
  CHECK(copy.time == Time{9s});
  CHECK(copy.sequence == Sequence{1, 2});
}

TEST_CASE("positions are ordered by their first half, then by their second") {
  CHECK(Position{1, 9} < Position{2, 0});
  CHECK(Position{2, 0} < Position{2, 1});
  CHECK(Position{2, 1} == Position{2, 1});
}
