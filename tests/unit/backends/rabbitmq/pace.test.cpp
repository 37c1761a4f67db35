// SPDX-License-Identifier: MIT
#include <omnibus/backends/rabbitmq/pace.hpp>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::rabbitmq;
using namespace omnibus::unit;

namespace {

/// A pace, and messages on their way. Time stands still unless a test moves it.
struct Bench {
  Outbox box{64, 1 << 20};
  Route route{"orders"};
  Pace pace;
  Instant now{1000s};

  void write() {
    Outbox::Slot& slot = box.next_free();
    slot.route = &route;
    slot.done = [](const Result<Receipt>&) {};
    slot.tag = 0;
    slot.ever_written = slot.ended = slot.overtaken = slot.refused = false;
    box.push();
    REQUIRE(box.to_write() != nullptr);
    box.written();
  }
  void note() { pace.note(box, now); }
  /// Writes one message, whose confirm takes so long. Returns the turn that is kept from then on.
  Duration turn_after(Duration confirm) {
    write();
    note();
    now += confirm;
    box.confirmed(box.last_written(), true, true, now);
    note();
    return pace.turn();
  }
};

}  // namespace

TEST_CASE("rabbitmq: the loop turns a few times for each confirm") {
  for (const Duration confirm : {Duration{2ms}, Duration{8ms}, Duration{30ms}}) {
    const Duration turn = Bench{}.turn_after(confirm);
    CHECK(turn * 4 <= confirm);
    CHECK(turn * 16 >= confirm);
  }
}

TEST_CASE("rabbitmq: however long a confirm takes, the loop turns every 0.2 to 5 ms") {
  CHECK(Pace{}.turn() == 200us);
  CHECK(Bench{}.turn_after(0s) == 200us);
  CHECK(Bench{}.turn_after(1h) == 5ms);
}

TEST_CASE("rabbitmq: the pace follows confirms that get slower or faster") {
  Bench bench;
  const Duration slow = bench.turn_after(30ms);
  CHECK(bench.turn_after(4ms) < slow);
  CHECK(bench.turn_after(30ms) == slow);
}

TEST_CASE("rabbitmq: one message is timed until its confirm, whatever is written meanwhile") {
  Bench bench;
  bench.write();
  bench.note();
  for (int i = 0; i < 8; ++i) {
    bench.now += 1ms;
    bench.write();
    bench.note();
    CHECK(bench.pace.turn() == 200us);  // nothing is known yet
  }
  bench.box.confirmed(1, false, true, bench.now);
  bench.note();
  CHECK(bench.pace.turn() == Bench{}.turn_after(8ms));
}

TEST_CASE("rabbitmq: what was being timed is forgotten with its channel") {
  Bench bench;
  for (int i = 0; i < 5; ++i) bench.write();
  bench.note();
  bench.now += 1h;
  bench.pace.restart();
  bench.box.restart();
  REQUIRE(bench.box.to_write() != nullptr);
  bench.box.written();  // tags count from 1 again
  bench.note();
  bench.now += 8ms;
  bench.box.confirmed(1, false, true, bench.now);
  bench.note();
  CHECK(bench.pace.turn() == Bench{}.turn_after(8ms));
}

TEST_CASE("rabbitmq: after few messages nothing lingers, after many at most a millisecond") {
  CHECK(linger_after(0) == 0s);
  CHECK(linger_after(1) == 0s);
  CHECK(linger_after(8) > 0s);
  for (std::size_t messages = 1; messages < 2000; ++messages) {
    CHECK(linger_after(messages) >= linger_after(messages - 1));
  }
  CHECK(linger_after(2000) == 1ms);
}
