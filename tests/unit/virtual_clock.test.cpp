// SPDX-License-Identifier: MIT
#include <omnibus/virtual_clock.hpp>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;

TEST_CASE("a virtual clock moves when it is told to, both its times together") {
  VirtualClock clock{Time{1000s}};
  CHECK(clock.wall() == Time{1000s});
  const Instant before = clock.now();
  CHECK(clock.now() == before);
  clock.advance(5min);
  CHECK(clock.now() - before == 5min);
  CHECK(clock.wall() == Time{1300s});
  CHECK(clock.by_hand());
  CHECK_FALSE(SystemClock{}.by_hand());
}

TEST_CASE("a jump wakes those who listen, after the time has changed, until they are forgotten") {
  VirtualClock clock;
  std::vector<Instant> woken;
  const std::uint64_t first = clock.on_jump([&] { woken.push_back(clock.now()); });
  const std::uint64_t second = clock.on_jump([&] { woken.push_back(clock.now()); });
  CHECK(first != second);
  const Instant start = clock.now();
  clock.advance(1s);
  CHECK(woken == std::vector{start + 1s, start + 1s});
  clock.forget(first);
  clock.advance(1s);
  CHECK(woken.size() == 3);
  clock.forget(second);
  clock.forget(second);
  clock.advance(1s);
  CHECK(woken.size() == 3);
}

TEST_CASE("a clock driven by hand knows who is awake, and when the first of those asleep has something to do") {
  VirtualClock clock;
  const Instant start = clock.now();
  CHECK(clock.sleepers() == VirtualClock::Sleepers{0, Instant::max(), 0});
  clock.wakes(Instant::max());  // two are new
  clock.wakes(Instant::max());
  CHECK(clock.sleepers() == VirtualClock::Sleepers{2, Instant::max(), 2});
  clock.sleeps(start + 2s);
  clock.sleeps(start + 1s);
  CHECK(clock.sleepers() == VirtualClock::Sleepers{0, start + 1s, 2});
  clock.wakes(start + 1s);
  CHECK(clock.sleepers() == VirtualClock::Sleepers{1, start + 2s, 3});
  clock.sleeps(start + 2s);  // at the same moment as the other
  clock.wakes(start + 2s);
  CHECK(clock.sleepers() == VirtualClock::Sleepers{1, start + 2s, 4});
  clock.sleeps(Instant::max());  // ends
  clock.wakes(start + 2s);
  clock.sleeps(Instant::max());
  CHECK(clock.sleepers() == VirtualClock::Sleepers{0, Instant::max(), 5});
}
