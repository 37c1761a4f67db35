// SPDX-License-Identifier: MIT
#include <omnibus/detail/pace.hpp>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;
using detail::linger_after, detail::Pace;

namespace {

/// A pace, and messages on their way. Time stands still unless a test moves it.
struct Bench {
  struct Box {
    std::uint64_t written = 0;
    std::uint64_t confirmed = 0;
    std::uint64_t last_written() const noexcept { return written; }
    bool is_confirmed(std::uint64_t number) const noexcept { return number <= confirmed; }
  };
  Box box;
  Pace pace;
  Instant now{1000s};

  void note() { pace.note(box, now); }
  /// Writes one message, whose confirm takes so long. Returns the turn that is kept from then on.
  Duration turn_after(Duration confirm) {
    ++box.written;
    note();
    now += confirm;
    box.confirmed = box.written;
    note();
    return pace.turn();
  }
};

}  // namespace

TEST_CASE("the loop turns a few times for each confirm") {
  for (const Duration confirm : {Duration{2ms}, Duration{8ms}, Duration{30ms}}) {
    const Duration turn = Bench{}.turn_after(confirm);
    CHECK(turn * 4 <= confirm);
    CHECK(turn * 16 >= confirm);
  }
}

TEST_CASE("however long a confirm takes, the loop turns every 0.2 to 5 ms") {
  CHECK(Pace{}.turn() == 200us);
  CHECK(Bench{}.turn_after(0s) == 200us);
  CHECK(Bench{}.turn_after(1h) == 5ms);
}

TEST_CASE("the pace follows confirms that get slower or faster") {
  Bench bench;
  const Duration slow = bench.turn_after(30ms);
  CHECK(bench.turn_after(4ms) < slow);
  CHECK(bench.turn_after(30ms) == slow);
}

TEST_CASE("one message is timed until its confirm, whatever is written meanwhile") {
  Bench bench;
  ++bench.box.written;
  bench.note();
  for (int i = 0; i < 8; ++i) {
    bench.now += 1ms;
    ++bench.box.written;
    bench.note();
    CHECK(bench.pace.turn() == 200us);  // nothing is known yet
  }
  bench.box.confirmed = 1;
  bench.note();
  CHECK(bench.pace.turn() == Bench{}.turn_after(8ms));
}

TEST_CASE("what was being timed is forgotten with its connection") {
  Bench bench;
  bench.box.written = 5;
  bench.note();
  bench.now += 1h;
  bench.pace.restart();
  bench.box.written = 1;  // numbers count from 1 again
  bench.note();
  bench.now += 8ms;
  bench.box.confirmed = 1;
  bench.note();
  CHECK(bench.pace.turn() == Bench{}.turn_after(8ms));
}

TEST_CASE("after few messages nothing lingers, after many at most 1.5 ms") {
  CHECK(linger_after(0) == 0s);
  CHECK(linger_after(1) == 0s);
  CHECK(linger_after(8) > 0s);
  for (std::size_t messages = 1; messages < 2000; ++messages) {
    CHECK(linger_after(messages) >= linger_after(messages - 1));
  }
  CHECK(linger_after(2000) == 1500us);
}
