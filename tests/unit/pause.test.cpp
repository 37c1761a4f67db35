// SPDX-License-Identifier: MIT
#include <omnibus/pause.hpp>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;

TEST_CASE("a pause lasts as long as the longest that was asked for, and says why while it is wrong") {
  Pause pause;
  const Instant now{1h};
  CHECK(pause.until() < now);
  CHECK_FALSE(pause.problem(now));
  const Error why = Error::make(Errc::unavailable, "claim", "the store is away");
  pause.extend(now + 2s, &why);
  pause.extend(now + 1s, nullptr);
  CHECK(pause.until() == now + 2s);
  REQUIRE(pause.problem(now + 1s));
  CHECK(pause.problem(now + 1s)->context == "the store is away");
  CHECK_FALSE(pause.problem(now + 2s));
  pause.extend(now + 9s, nullptr);  // nothing is wrong
  CHECK(pause.until() == now + 9s);
  CHECK_FALSE(pause.problem(now + 5s));
}
