// SPDX-License-Identifier: MIT
#include <omnibus/time.hpp>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;

TEST_CASE("after is a sum that stops at the end of time") {
  const Instant moment{100s};
  CHECK(after(moment, 5s) == Instant{105s});
  CHECK(after(moment, 0s) == moment);
  CHECK(after(moment, -5s) == Instant{95s});
  CHECK(after(moment, Duration::max()) == Instant::max());
  CHECK(after(moment, Duration::max() - 100s) == Instant::max());
  CHECK(after(moment, Duration::max() - 101s) == Instant::max() - 1s);
  CHECK(after(Instant::max(), 1ns) == Instant::max());
  CHECK(after(Instant{}, Duration::max()) == Instant::max());
}
