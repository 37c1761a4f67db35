// SPDX-License-Identifier: MIT
#include <omnibus/outbox/engine.hpp>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "unit/outbox/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;

namespace {

using Ids = std::vector<std::string>;
using Engine = outbox::Engine<FakeBus>;

/// A shop, a bus and relays on virtual time.
struct Fixture {
  TemporaryFolder folder;
  VirtualClock clock;
  Shop shop{folder.file()};
  FakeBus bus;

  OutboxRelayOptions options() {
    return {.path = folder.file(),
            .lease = 10s,
            .mark_every = 0s,
            .backoff = {.initial = 100ms, .max = 1s, .factor = 2.0, .jitter = false},
            .busy_timeout = 1s,
            .clock = &clock};
  }
  std::unique_ptr<Engine> engine() { return std::make_unique<Engine>(bus, options()); }
  Ids step(Engine& engine) {
    while (engine.step()) {
    }
    return bus.take_ids();
  }
  static Error unknown() { return Error::make(Errc::outcome_unknown, "publish", "lost"); }
  static Error rejected() { return Error::make(Errc::too_large, "publish", "the broker takes less"); }
};

}  // namespace

TEST_CASE("relay: what was committed is published in order of each key, and leaves when it is confirmed") {
  Fixture f;
  const auto engine = f.engine();
  CHECK(f.step(*engine).empty());
  f.shop.add({{"a", 1}, {"b", 1}, {"a", 2}, {"a", 3}});
  CHECK(f.step(*engine) == Ids{"a-1", "b-1"});
  CHECK(f.bus.sent[0].topic == "orders");
  CHECK(f.bus.sent[0].message.payload == "1");
  CHECK(f.bus.sent[0].message.type == "placed");
  CHECK(f.shop.count() == 4);
  f.bus.end("a-1");
  CHECK(f.step(*engine) == Ids{"a-2"});
  CHECK(f.shop.count() == 3);
  f.bus.end("b-1");
  f.bus.end("a-2");
  CHECK(f.step(*engine) == Ids{"a-3"});
  f.bus.end("a-3");
  CHECK(f.step(*engine).empty());
  CHECK(f.shop.count() == 0);
  CHECK(engine->health().relayed == 4);
  CHECK(engine->health().active);
  CHECK(engine->health().ok);
}

TEST_CASE("relay: killed with messages on their way, the next one sends them again with their ids, in order") {
  Fixture f;
  f.shop.add({{"a", 1}, {"a", 2}, {"b", 1}});
  auto engine = f.engine();
  CHECK(f.step(*engine) == Ids{"a-1", "b-1"});
  f.bus.end_all();  // the broker has them, and nobody has marked them
  engine = f.engine();
  CHECK(f.step(*engine).empty());  // the lease of the one before lasts
  CHECK_FALSE(engine->health().active);
  f.clock.advance(10s);
  CHECK(f.step(*engine) == Ids{"a-1", "b-1"});
  f.bus.end("a-1");
  CHECK(f.step(*engine) == Ids{"a-2"});
}

TEST_CASE("relay: killed after it has marked, the next one goes on behind") {
  Fixture f;
  f.shop.add({{"a", 1}, {"a", 2}});
  auto engine = f.engine();
  CHECK(f.step(*engine) == Ids{"a-1"});
  f.bus.end("a-1");
  CHECK(f.step(*engine) == Ids{"a-2"});
  CHECK(f.shop.count() == 1);
  engine = f.engine();
  f.clock.advance(10s);
  CHECK(f.step(*engine) == Ids{"a-2"});
}

TEST_CASE("relay: stopped, it marks what was on its way, and the next one goes on at once") {
  Fixture f;
  f.shop.add({{"a", 1}, {"a", 2}, {"b", 1}});
  auto engine = f.engine();
  CHECK(f.step(*engine) == Ids{"a-1", "b-1"});
  f.bus.end_all();
  CHECK(engine->finish(std::chrono::steady_clock::now() + patience));
  CHECK(f.bus.take_ids().empty());  // a-2 is not begun
  CHECK(f.shop.count() == 1);
  engine = f.engine();
  CHECK(f.step(*engine) == Ids{"a-2"});
  const auto late = engine->finish(std::chrono::steady_clock::now());
  REQUIRE_FALSE(late);
  CHECK(late.error().code == Errc::timed_out);
  engine = f.engine();
  CHECK(f.step(*engine) == Ids{"a-2"});
}

TEST_CASE("relay: one that was stalled for longer than its lease marks nothing and begins anew") {
  Fixture f;
  f.shop.add({{"a", 1}, {"a", 2}});
  const auto stalled = f.engine(), other = f.engine();
  CHECK(f.step(*stalled) == Ids{"a-1"});
  f.clock.advance(10s);
  CHECK(f.step(*other) == Ids{"a-1"});
  f.bus.end("a-1");  // of the stalled one
  CHECK(f.step(*stalled).empty());
  CHECK_FALSE(stalled->health().active);
  CHECK(f.shop.count() == 2);
  CHECK(f.step(*other).empty());  // its own a-1 is on its way still
  f.bus.end("a-1");
  CHECK(f.step(*other) == Ids{"a-2"});
  CHECK(f.shop.count() == 1);
  CHECK(other->finish(std::chrono::steady_clock::now()).error().code == Errc::timed_out);
  CHECK(f.step(*stalled) == Ids{"a-2"});  // it is its turn again
  CHECK(stalled->health().active);
}

TEST_CASE("relay: endings that come after the lease was lost count for nothing") {
  Fixture f;
  f.shop.add({{"a", 1}});
  const auto engine = f.engine(), other = f.engine();
  CHECK(f.step(*engine) == Ids{"a-1"});
  f.clock.advance(10s);
  CHECK(f.step(*other) == Ids{"a-1"});
  CHECK(f.step(*engine).empty());  // it learns of it
  f.bus.end("a-1");
  f.clock.advance(10s);
  CHECK(f.step(*engine) == Ids{"a-1"});
  CHECK(f.shop.count() == 1);
}

TEST_CASE("relay: it holds its lease on while it has nothing to do") {
  Fixture f;
  const auto engine = f.engine(), other = f.engine();
  for (int i = 0; i < 20; ++i) {
    CHECK(f.step(*engine).empty());
    CHECK(f.step(*other).empty());
    CHECK(engine->health().active);
    CHECK_FALSE(other->health().active);
    f.clock.advance(4s);
  }
}

TEST_CASE("relay: a key whose ending is unknown waits and is sent again with the same id; others go on") {
  Fixture f;
  f.shop.add({{"a", 1}, {"a", 2}, {"b", 1}, {"b", 2}});
  const auto engine = f.engine();
  CHECK(f.step(*engine) == Ids{"a-1", "b-1"});
  f.bus.end("a-1", Fixture::unknown());
  f.bus.end("b-1");
  CHECK(f.step(*engine) == Ids{"b-2"});
  f.shop.add({{"a", 3}, {"b", 3}});
  CHECK(f.step(*engine).empty());
  CHECK(engine->health().held_keys == 1);
  CHECK_FALSE(engine->health().ok);
  CHECK(engine->health().problem.find("lost") != std::string::npos);
  f.clock.advance(100ms);
  CHECK(f.step(*engine) == Ids{"a-1"});
  f.bus.end("a-1", Fixture::unknown());
  CHECK(f.step(*engine).empty());
  f.clock.advance(100ms);
  CHECK(f.step(*engine).empty());  // it waits longer
  f.clock.advance(100ms);
  CHECK(f.step(*engine) == Ids{"a-1"});
  f.bus.end("a-1");
  f.bus.end("b-2");
  CHECK(f.step(*engine) == Ids{"a-2", "b-3"});
  f.bus.end("a-2");
  CHECK(f.step(*engine) == Ids{"a-3"});
  CHECK(engine->health().ok);
  CHECK(engine->health().failed == 2);
}

TEST_CASE("relay: a message that is refused holds its key up until it is tried again or taken back") {
  Fixture f;
  f.shop.add({{"a", 1}, {"a", 2}, {"b", 1}});
  const auto engine = f.engine();
  CHECK(f.step(*engine) == Ids{"a-1", "b-1"});
  f.bus.end("a-1", Fixture::rejected());
  f.bus.end("b-1");
  CHECK(f.step(*engine).empty());
  auto health = engine->health();
  CHECK_FALSE(health.ok);
  CHECK(health.refused_keys == 1);
  CHECK(health.problem.find("message a-1: ") != std::string::npos);
  CHECK(health.problem.find("the broker takes less") != std::string::npos);
  for (int i = 0; i < 59; ++i) {
    f.clock.advance(1s);
    CHECK(f.step(*engine).empty());
  }
  SECTION("after a while it is tried again by itself") {
    f.clock.advance(1s);
    CHECK(f.step(*engine) == Ids{"a-1"});
  }
  SECTION("it is tried again when someone says so") {
    engine->try_again();
    CHECK(f.step(*engine) == Ids{"a-1"});
    f.bus.end("a-1");
    CHECK(f.step(*engine) == Ids{"a-2"});
    CHECK(engine->health().ok);
  }
  SECTION("taken back, it makes way for those behind") {
    CHECK(f.shop.transact([&] { return f.shop.outbox.discard("a-1").value(); }));
    engine->try_again();
    CHECK(f.step(*engine) == Ids{"a-2"});
  }
}

TEST_CASE("relay: where the options say so, a refused message stops everything until it is tried again") {
  Fixture f;
  f.shop.add({{"a", 1}, {"b", 1}, {"b", 2}});
  auto options = f.options();
  options.on_refused = OnRefused::stop;
  Engine engine{f.bus, options};
  CHECK(f.step(engine) == Ids{"a-1", "b-1"});
  f.bus.end("a-1", Fixture::rejected());
  f.bus.end("b-1");
  CHECK(f.step(engine).empty());
  f.shop.add({{"c", 1}});
  for (int i = 0; i < 30; ++i) {
    f.clock.advance(5s);
    CHECK(f.step(engine).empty());
  }
  CHECK_FALSE(engine.health().ok);
  CHECK(engine.health().active);
  CHECK(f.shop.count() == 3);  // what was confirmed is marked
  engine.try_again();
  CHECK(f.step(engine) == Ids{"a-1", "b-2", "c-1"});
}

TEST_CASE("relay: a bus that is closed stops it") {
  Fixture f;
  f.shop.add({{"a", 1}, {"b", 1}});
  const auto engine = f.engine();
  CHECK(f.step(*engine) == Ids{"a-1", "b-1"});
  f.bus.end("a-1", Error::make(Errc::closed, "publish"));
  f.clock.advance(5min);
  CHECK(f.step(*engine).empty());
  CHECK_FALSE(engine->health().ok);
}

TEST_CASE("relay: it reads no more than its window") {
  Fixture f;
  std::vector<std::pair<std::string, int>> many;
  for (int i = 0; i < 100; ++i) many.emplace_back("key-" + std::to_string(i), 1);
  f.shop.add(many);
  auto options = f.options();
  SECTION("of messages") { options.window = 8; }
  SECTION("of bytes") { options.window_bytes = 8; }
  Engine engine{f.bus, options};
  Ids all;
  for (int i = 0; i < 1000 && all.size() < 100; ++i) {
    const Ids some = f.step(engine);
    CHECK(some.size() <= 8);
    all.insert(all.end(), some.begin(), some.end());
    f.bus.end_all();
  }
  CHECK(all.size() == 100);
  CHECK(f.step(engine).empty());
  CHECK(f.shop.count() == 0);
}

TEST_CASE("relay: a key with more waiting than the window does not hold up others while it is on hold") {
  Fixture f;
  auto options = f.options();
  options.window = 4;
  Engine engine{f.bus, options};
  f.shop.add({{"a", 1}});
  CHECK(f.step(engine) == Ids{"a-1"});
  f.bus.end("a-1", Fixture::rejected());
  (void)f.step(engine);
  std::vector<std::pair<std::string, int>> many;
  for (int i = 2; i < 100; ++i) many.emplace_back("a", i);
  many.emplace_back("b", 1);
  f.shop.add(many);
  CHECK(f.step(engine) == Ids{"b-1"});
}

TEST_CASE("relay: keys that fail are bounded, and the rest waits in the file") {
  Fixture f;
  auto options = f.options();
  options.window = 4;
  Engine engine{f.bus, options};
  std::vector<std::pair<std::string, int>> many;
  for (int i = 0; i < 20; ++i) many.emplace_back(std::to_string(i), 1);
  f.shop.add(many);
  std::size_t sent = 0;
  for (int i = 0; i < 10; ++i) {
    for (const auto& id : f.step(engine)) f.bus.end(id, Fixture::rejected()), ++sent;
  }
  CHECK(sent <= 8);
  CHECK(engine.health().held_keys == sent);
  for (int i = 0; i < 20; ++i) {
    engine.try_again();
    for (const auto& id : f.step(engine)) f.bus.end(id);
  }
  (void)f.step(engine);
  CHECK(f.shop.count() == 0);
}

TEST_CASE("relay: while the file cannot be used it says so, and goes on when it can") {
  Fixture f;
  f.shop.add({{"a", 1}});
  auto options = f.options();
  options.busy_timeout = 0s;
  Engine engine{f.bus, options};
  CHECK(f.shop.raw().run("BEGIN IMMEDIATE") == SQLITE_OK);
  CHECK(f.step(engine).empty());
  CHECK_FALSE(engine.health().ok);
  CHECK(engine.health().problem.find("unavailable") != std::string::npos);
  CHECK(f.shop.raw().run("COMMIT") == SQLITE_OK);
  f.clock.advance(1s);
  CHECK(f.step(engine) == Ids{"a-1"});
  CHECK(engine.health().ok);
  SECTION("a mark that could not be written is written later") {
    CHECK(f.shop.raw().run("BEGIN IMMEDIATE") == SQLITE_OK);
    f.bus.end("a-1");
    CHECK(f.step(engine).empty());
    CHECK(f.shop.raw().run("COMMIT") == SQLITE_OK);
    f.clock.advance(1s);
    CHECK(f.step(engine).empty());
    CHECK(f.shop.count() == 0);
  }
  SECTION("and a lease that could not be held on is given up") {
    CHECK(f.shop.raw().run("BEGIN IMMEDIATE") == SQLITE_OK);
    f.clock.advance(9s);
    CHECK(f.step(engine).empty());
    CHECK(engine.health().active);
    f.clock.advance(2s);
    CHECK(f.step(engine).empty());
    CHECK_FALSE(engine.health().active);
  }
}

TEST_CASE("relay: options that cannot work are refused by name") {
  Fixture f;
  const auto says = [&](auto change, std::string_view what) {
    auto options = f.options();
    change(options);
    return throws_saying<std::invalid_argument>([&] { Engine engine(f.bus, options); }, what);
  };
  CHECK(says([](auto& o) { o.path = ""; }, "path"));
  CHECK(says([](auto& o) { o.window = 0; }, "window"));
  CHECK(says([](auto& o) { o.window_bytes = 0; }, "window_bytes"));
  CHECK(says([](auto& o) { o.lease = 0s; }, "lease"));
  CHECK(says([](auto& o) { o.look_every = 0s; }, "look_every"));
  CHECK(says([](auto& o) { o.backoff.factor = 0.5; }, "backoff"));
}

TEST_CASE("relay: what an ending means") {
  using outbox::verdict, outbox::Verdict;
  CHECK(verdict(Error::make(Errc::outcome_unknown, "")) == Verdict::again);
  CHECK(verdict(Error::make(Errc::unavailable, "")) == Verdict::again);
  CHECK(verdict(Error::make(Errc::window_full, "")) == Verdict::again);
  CHECK(verdict(Error::make(Errc::rejected, "")) == Verdict::refused);
  CHECK(verdict(Error::make(Errc::too_large, "")) == Verdict::refused);
  CHECK(verdict(Error::make(Errc::closed, "")) == Verdict::over);
}
