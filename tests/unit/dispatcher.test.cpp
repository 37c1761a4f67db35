// SPDX-License-Identifier: MIT
#include <omnibus/dispatcher.hpp>
#include <omnibus/middleware/dead_letter.hpp>
#include <omnibus/middleware/retry.hpp>

#include "catch.hpp"
#include "unit/fake_consumer.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;
using Kind = Settlement::Kind;

namespace {

using Ids = std::vector<std::string>;

/// A pipeline with nothing around it.
template <class Composed>
struct Bare final : RunnablePipeline {
  explicit Bare(Composed whole) : composed{std::move(whole)} {}
  Result<> operator()(Delivery& delivery) override { return composed(delivery); }
  Result<bool> done_before(Delivery& delivery) override { return composed.done_before(delivery); }
  Composed composed;
};

/// A dispatcher between a scripted broker and a pipeline.
struct Bench {
  FakeContext context;
  FakeBroker broker{context.time};
  Watched<Ids> ran;  ///< the handled messages, in the order in which their handlers began
  std::optional<Dispatcher<FakeConsumer>> dispatcher;

  /// Starts with this handler, which is told to the broker, inside `policy`.
  template <class Handler, class Policy = Chain<>>
  void start(DispatchOptions options, Handler handler, Policy policy = {}) {
    auto composed = detail::compose(
        [this, handler = std::move(handler)](const Delivery& delivery) mutable -> Result<> {
          broker.handler(delivery, 1);
          ran.change([&](Ids& ids) { ids.emplace_back(delivery.id()); });
          struct End {
            FakeBroker& broker;
            const Delivery& delivery;
            ~End() { broker.handler(delivery, -1); }
          } end{broker, delivery};
          return handler(delivery);
        } | std::move(policy));
    dispatcher.emplace([this] { return FakeConsumer{&broker}; },
                       std::make_unique<Bare<decltype(composed)>>(std::move(composed)), context, options);
    dispatcher->start();
  }

  /// Ends it, and checks what always holds.
  void finish() {
    dispatcher->stop(1s);
    CHECK(dispatcher->state().wait_ended(std::chrono::steady_clock::now() + patience));
    dispatcher->join();
    CHECK(broker.mistakes() == Ids{});
    CHECK(broker.is_closed());
    CHECK(dispatcher->counters().in_flight.load() == 0);
  }

  bool has_run(std::size_t count) {
    return ran.wait([count](const Ids& ids) { return ids.size() >= count; });
  }
  /// How a token was settled; nothing while it was not.
  std::optional<Kind> kind_of(std::uint64_t token) {
    const auto settlement = broker.settlement(token);
    return settlement ? std::optional{settlement->kind} : std::nullopt;
  }
};

Result<> ok(const Delivery&) { return {}; }

}  // namespace

TEST_CASE("every message is handled and settled once, after its handler has ended") {
  const std::size_t concurrency = GENERATE(1u, 4u);
  Bench bench;
  bench.start({.concurrency = concurrency, .window = 50}, ok);
  for (int i = 0; i < 500; ++i) {
    bench.broker.publish(message_of(std::to_string(i), "key " + std::to_string(i % 20)));
  }
  CHECK(bench.broker.settled(500));
  bench.finish();
  for (const Settlement& each : bench.broker.settlements()) CHECK(each.kind == Kind::done);
  CHECK(bench.ran.get().size() == 500);
  CHECK(bench.broker.most_unsettled() <= 50);
  CHECK(bench.dispatcher->counters().handled.load() == 500);
  CHECK(bench.dispatcher->counters().retried.load() == 0);
  CHECK(bench.dispatcher->counters().given_back.load() == 0);
}

TEST_CASE("no more messages are taken than the window holds") {
  Bench bench;
  Gate gate;
  bench.start({.concurrency = 2, .window = 5}, [&gate](const Delivery&) -> Result<> {
    gate.pass();
    return {};
  });
  for (int i = 0; i < 20; ++i)
    bench.broker.publish(message_of(std::to_string(i), std::to_string(i)));
  CHECK(bench.broker.delivered(5));
  CHECK(bench.has_run(2));
  std::size_t room = 1;
  CHECK(bench.broker.in_poll([&room](Intake& intake) { room = intake.room(); }));
  CHECK(room == 0);
  CHECK(bench.dispatcher->counters().in_flight.load() == 5);
  gate.open();
  CHECK(bench.broker.settled(20));
  bench.finish();
  CHECK(bench.broker.most_unsettled() == 5);
}

TEST_CASE("with no room the consumer is polled on, so that its connection lives") {
  Bench bench;
  Gate gate;
  bench.start({.window = 1}, [&gate](const Delivery&) -> Result<> {
    gate.pass();
    return {};
  });
  bench.broker.publish(message_of("1", "k"));
  bench.broker.publish(message_of("2", "k"));
  CHECK(bench.has_run(1));
  int served = 0;
  for (int i = 0; i < 10; ++i) CHECK(bench.broker.in_poll([&served](Intake&) { ++served; }));
  CHECK(served == 10);
  CHECK(bench.ran.get() == Ids{"1"});
  gate.open();
  CHECK(bench.broker.settled(2));
  bench.finish();
}

TEST_CASE("messages that wait for a failing key have a window of their own") {
  Bench bench;
  std::atomic<bool> fails{true};
  bench.start({.concurrency = 2, .window = 4, .window_waiting = 10},
              [&fails](const Delivery& delivery) -> Result<> {
                if (fails && delivery.key() == "bad") return later(1h);
                return {};
              });
  for (int i = 0; i < 8; ++i) bench.broker.publish(message_of("bad" + std::to_string(i), "bad"));
  for (int i = 0; i < 50; ++i) {
    bench.broker.publish(message_of("good" + std::to_string(i), "good" + std::to_string(i % 7)));
  }
  CHECK(bench.broker.settled(50));  // twice the window and more
  CHECK(eventually([&] { return bench.dispatcher->waiting() == 8; }));

  for (int i = 8; i < 30; ++i) bench.broker.publish(message_of("bad" + std::to_string(i), "bad"));
  bench.broker.publish(message_of("good50", "good"));
  CHECK(eventually([&] { return bench.dispatcher->waiting() >= 10; }));
  std::size_t room = 1;
  CHECK(bench.broker.in_poll([&room](Intake& intake) { room = intake.room(); }));
  CHECK(room == 0);
  CHECK(bench.broker.settlements().size() == 50);
  CHECK(bench.broker.most_unsettled() <= 14);

  fails = false;
  bench.context.time.advance(1h);
  CHECK(bench.broker.settled(81));
  bench.finish();
}

TEST_CASE("no more is taken once the bytes of the window are full, and one message always fits") {
  Bench bench;
  Gate gate;
  bench.start({.concurrency = 1, .window = 100, .window_bytes = 1000},
              [&gate](const Delivery&) -> Result<> {
                gate.pass();
                return {};
              });
  bench.broker.publish(message_of("0", "k", std::string(5000, 'x')));
  for (int i = 1; i < 10; ++i)
    bench.broker.publish(message_of(std::to_string(i), "k", std::string(400, 'x')));
  CHECK(bench.has_run(1));
  std::size_t room = 1;
  CHECK(bench.broker.in_poll([&room](Intake& intake) { room = intake.room(); }));
  CHECK(room == 0);
  CHECK(bench.broker.most_unsettled() == 1);
  gate.open();
  CHECK(bench.broker.settled(10));
  bench.finish();
  CHECK(bench.broker.most_unsettled() <= 3);
}

TEST_CASE("a key waits for its next attempt with all that came after; others do not wait") {
  Bench bench;
  std::atomic<int> failures{2};
  bench.start({.concurrency = 1}, [&failures](const Delivery& delivery) -> Result<> {
    if (delivery.id() == "a1" && failures-- > 0) return later(5min);
    return {};
  });
  for (const char* id : {"a1", "a2", "b1", "a3", "b2"}) {
    bench.broker.publish(message_of(id, std::string(1, id[0])));
  }
  CHECK(bench.broker.settled(2));
  CHECK(bench.ran.get() == Ids{"a1", "b1", "b2"});
  CHECK(eventually([&] { return bench.dispatcher->waiting() == 3; }));
  bench.context.time.advance(5min - 1ns);
  CHECK(bench.broker.polled(0));
  CHECK(bench.ran.get().size() == 3);
  bench.context.time.advance(1ns);
  CHECK(bench.has_run(4));
  CHECK(eventually([&] { return bench.dispatcher->waiting() == 3; }));
  bench.context.time.advance(5min);
  CHECK(bench.broker.settled(5));
  bench.finish();
  CHECK(bench.ran.get() == Ids{"a1", "b1", "b2", "a1", "a1", "a2", "a3"});
  CHECK(bench.dispatcher->counters().retried.load() == 2);
  CHECK(bench.dispatcher->counters().handled.load() == 5);
}

TEST_CASE("an error that asks for nothing, and an exception, are tried again by the dispatcher") {
  Bench bench;
  std::atomic<int> calls{0};
  bench.start({}, [&calls](const Delivery&) -> Result<> {
    switch (calls++) {
      case 0:
        throw std::runtime_error{"first"};
      case 1:
        throw 42;
      case 2:
        return permanent("third");
      default:
        return {};
    }
  });
  bench.broker.publish(message_of("1", "k"));
  for (std::size_t i = 1; i <= 3; ++i) {
    CHECK(bench.has_run(i));
    CHECK(eventually([&] { return bench.dispatcher->waiting() == 1; }));
    bench.context.time.advance(1min);
  }
  CHECK(bench.broker.settled(1));
  bench.finish();
  CHECK(calls.load() == 4);
}

TEST_CASE("a pipeline that throws costs nobody but its message a thing") {
  Bench bench;
  bench.start({}, ok, stage([](Next next, Delivery& delivery) -> Result<> {
                if (delivery.id() == "bad") throw std::runtime_error{"a defect in a stage"};
                return next(delivery);
              }));
  bench.broker.publish(message_of("bad", "a"));
  bench.broker.publish(message_of("good", "b"));
  CHECK(bench.broker.settled(1));
  CHECK(bench.ran.get() == Ids{"good"});
  bench.finish();
  CHECK(bench.kind_of(1) == Kind::release);
}

TEST_CASE("keys keep their order with eight workers and failures at random") {
  Bench bench;
  std::mutex mutex;
  std::map<std::string, std::vector<int>, std::less<>> handled;
  std::mt19937_64 random{7};
  bench.start({.concurrency = 8, .window = 300}, [&](const Delivery& delivery) -> Result<> {
    std::lock_guard lock{mutex};
    if (random() % 5 == 0) return later(0s);
    handled[std::string{delivery.key()}].push_back(std::stoi(std::string{delivery.id()}));
    return {};
  });
  std::map<std::string, std::vector<int>, std::less<>> expected;
  for (int i = 0; i < 3000; ++i) {
    const std::string key = "key " + std::to_string((i * 7919) % 50);
    expected[key].push_back(i);
    bench.broker.publish(message_of(std::to_string(i), key));
  }
  CHECK(bench.broker.settled(3000));
  bench.finish();
  CHECK((handled == expected));
}

TEST_CASE("one worker keeps the order of a whole topic, and messages without a key too") {
  Bench bench;
  bench.start({.concurrency = 1, .window = 20}, ok);
  Ids ids;
  for (int i = 0; i < 200; ++i) {
    ids.push_back(std::to_string(i));
    bench.broker.publish(message_of(ids.back(), i % 3 == 0 ? "" : std::to_string(i % 5)));
  }
  CHECK(bench.broker.settled(200));
  bench.finish();
  CHECK(bench.ran.get() == ids);
}

TEST_CASE("a slow handler holds up no key but those of its lane, and what is done is settled") {
  Bench bench;
  Gate gate;
  constexpr std::size_t quick = 2000, keys = 40;
  bench.start({.concurrency = 2}, [&gate](const Delivery& delivery) -> Result<> {
    if (delivery.key() == "slow") gate.pass();
    return {};
  });
  // Quick handlers make a worker take many messages at once.
  for (std::size_t i = 0; i < quick; ++i) {
    bench.broker.publish(message_of("quick", "k" + std::to_string(i % 10)));
  }
  CHECK(bench.broker.settled(quick));
  const auto lane_of = [](const std::string& key) { return detail::hash64(key) % 128; };
  std::size_t free = 0;
  CHECK(bench.broker.in_poll([&](Intake&) {
    for (std::size_t i = 0; i < keys; ++i) {
      const std::string key = i == 3 ? "slow" : "key " + std::to_string(i);
      if (lane_of(key) != lane_of("slow")) ++free;
      bench.broker.publish(message_of("m", key));
    }
  }));
  CHECK(free >= keys / 2);
  // The worker of the slow one keeps the last that it did before.
  const std::size_t wanted = quick + free - 1;
  CHECK(eventually([&] {
    bench.context.time.advance(2s);
    return bench.broker.settlements().size() >= wanted;
  }));
  gate.open();
  CHECK(bench.broker.settled(quick + keys));
  bench.finish();
}

TEST_CASE("messages without a key run side by side") {
  Bench bench;
  Watched<int> inside;
  bench.start({.concurrency = 4}, [&inside](const Delivery&) -> Result<> {
    inside.change([](int& n) { ++n; });
    if (!inside.wait([](int n) { return n == 4; })) return permanent("alone");
    return {};
  });
  for (int i = 0; i < 4; ++i) bench.broker.publish(message_of(std::to_string(i), ""));
  CHECK(bench.broker.settled(4));
  bench.finish();
  CHECK(bench.dispatcher->counters().handled.load() == 4);
}

// ── revoking ─────────────────────────────────────────────────────────────────────────────────────

TEST_CASE("revoke gives back what has not started before it returns, and waits for what runs") {
  Bench bench;
  Gate gate;
  bench.start({.concurrency = 1}, [&gate](const Delivery&) -> Result<> {
    gate.pass();
    return {};
  });
  std::vector<std::uint64_t> tokens;
  tokens.push_back(bench.broker.publish(message_of("1", "k"), 7));
  CHECK(bench.has_run(1));
  for (int i = 2; i <= 5; ++i)
    tokens.push_back(bench.broker.publish(message_of(std::to_string(i), "k"), 7));
  CHECK(bench.broker.delivered(5));
  std::thread opener{[&] {
    CHECK(bench.broker.settled(4));  // the four that had not started
    gate.open();
  }};
  bool all = false;
  std::size_t settled = 0;
  CHECK(bench.broker.in_poll([&](Intake& intake) {
    all = intake.revoke(7, bench.context.time.now() + 1h);
    settled = bench.broker.settlements().size();
  }));
  opener.join();
  CHECK(all);
  CHECK(settled == 5);
  CHECK(bench.kind_of(tokens[0]) == Kind::done);
  for (std::size_t i = 1; i < 5; ++i) CHECK(bench.kind_of(tokens[i]) == Kind::release);
  bench.finish();
  CHECK(bench.ran.get() == Ids{"1"});
  CHECK(bench.dispatcher->counters().given_back.load() == 4);
  CHECK(bench.context.count(DeliveryEvent::given_back) == 4);
}

TEST_CASE("revoke without time returns at once; what runs is settled when it ends") {
  Bench bench;
  Gate gate;
  bench.start({}, [&gate](const Delivery&) -> Result<> {
    gate.pass();
    return {};
  });
  const std::uint64_t running = bench.broker.publish(message_of("1", "k"), 0);
  const std::uint64_t queued = bench.broker.publish(message_of("2", "k"), 0);
  CHECK(bench.has_run(1));
  CHECK(bench.broker.delivered(2));
  bool all = true;
  CHECK(bench.broker.in_poll([&](Intake& intake) { all = intake.revoke(0, Instant::min()); }));
  CHECK_FALSE(all);
  CHECK_FALSE(bench.broker.settlement(running));
  gate.open();
  CHECK(bench.broker.settled(2));
  CHECK(bench.kind_of(running) == Kind::done);
  CHECK(bench.kind_of(queued) == Kind::release);
  bench.finish();
  CHECK(bench.ran.get() == Ids{"1"});
}

TEST_CASE("revoke may wait for ever") {
  Bench bench;
  bench.start({.concurrency = 4}, ok);
  for (int i = 0; i < 200; ++i)
    bench.broker.publish(message_of(std::to_string(i), std::to_string(i)));
  bool all = false;
  CHECK(bench.broker.in_poll([&](Intake& intake) { all = intake.revoke(0, Instant::max()); }));
  CHECK(all);
  CHECK(bench.broker.settled(200));
  bench.finish();
}

TEST_CASE("revoke takes back only what is of its partition") {
  Bench bench;
  Gate gate;
  bench.start({.concurrency = 1}, [&gate](const Delivery&) -> Result<> {
    gate.pass();
    return {};
  });
  bench.broker.publish(message_of("first", "x"), 0);
  CHECK(bench.has_run(1));
  const std::uint64_t one = bench.broker.publish(message_of("one", "a"), 1);
  const std::uint64_t two = bench.broker.publish(message_of("two", "b"), 2);
  CHECK(bench.broker.delivered(3));
  bool all = false;
  CHECK(bench.broker.in_poll([&](Intake& intake) { all = intake.revoke(1, Instant::min()); }));
  CHECK(all);
  CHECK(bench.kind_of(one) == Kind::release);
  CHECK_FALSE(bench.broker.settlement(two));
  gate.open();
  CHECK(bench.broker.settled(3));
  CHECK(bench.kind_of(two) == Kind::done);
  bench.finish();
}

TEST_CASE("what was released does not run; delivered again, it runs in order") {
  Bench bench;
  Gate gate;
  std::atomic<bool> waits{true};
  bench.start({.concurrency = 3}, [&](const Delivery&) -> Result<> {
    if (waits) gate.pass();
    return {};
  });
  std::vector<std::uint64_t> tokens;
  for (int i = 0; i < 20; ++i)
    tokens.push_back(bench.broker.publish(message_of(std::to_string(i), "k"), 1));
  CHECK(bench.has_run(1));
  CHECK(bench.broker.delivered(20));
  CHECK(bench.broker.in_poll([&](Intake& intake) { (void)intake.revoke(1, Instant::min()); }));
  waits = false;
  gate.open();
  CHECK(bench.broker.settled(20));
  CHECK(bench.ran.get() == Ids{"0"});
  for (std::size_t i = 1; i < 20; ++i) {
    CHECK(bench.kind_of(tokens[i]) == Kind::release);
    bench.broker.publish_again(tokens[i]);
  }
  CHECK(bench.broker.settled(39));
  bench.finish();
  Ids expected;
  for (int i = 0; i < 20; ++i) expected.push_back(std::to_string(i));
  CHECK(bench.ran.get() == expected);
}

TEST_CASE("what a worker has taken along but not begun is given back as well") {
  Bench bench;
  Gate gate;
  bench.start({.concurrency = 1}, [&gate](const Delivery& delivery) -> Result<> {
    if (delivery.partition() == 1) gate.pass();
    return {};
  });
  // Quick handlers make a worker take many messages at once.
  for (int i = 0; i < 1000; ++i) bench.broker.publish(message_of("quick", "k"), 0);
  CHECK(bench.broker.settled(1000));
  std::vector<std::uint64_t> tokens;
  CHECK(bench.broker.in_poll([&](Intake&) {
    for (int i = 0; i < 20; ++i) tokens.push_back(bench.broker.publish(message_of("slow", "k"), 1));
  }));
  CHECK(bench.has_run(1001));
  CHECK(bench.broker.delivered(1020));
  CHECK(bench.broker.in_poll([&](Intake& intake) { (void)intake.revoke(1, Instant::min()); }));
  gate.open();
  CHECK(bench.broker.settled(1020));
  bench.finish();
  CHECK(bench.ran.get().size() == 1001);
  CHECK(bench.kind_of(tokens[0]) == Kind::done);
  for (std::size_t i = 1; i < 20; ++i) CHECK(bench.kind_of(tokens[i]) == Kind::release);
}

TEST_CASE("revoke takes back keys that wait for another attempt, with the attempts they had") {
  Bench bench;
  bench.start({}, [](const Delivery&) -> Result<> { return later(1h); });
  const std::uint64_t failed = bench.broker.publish(message_of("1", "k"), 0, 2);
  const std::uint64_t behind = bench.broker.publish(message_of("2", "k"), 0, 1);
  CHECK(eventually([&] { return bench.dispatcher->waiting() == 2; }));
  bool all = false;
  CHECK(bench.broker.in_poll([&](Intake& intake) { all = intake.revoke(0, Instant::min()); }));
  CHECK(all);
  CHECK(bench.kind_of(failed) == Kind::release);
  CHECK(bench.broker.settlement(failed)->attempts == 3);
  CHECK(bench.broker.settlement(behind)->attempts == 1);
  CHECK(bench.dispatcher->waiting() == 0);
  bench.context.time.advance(2h);
  CHECK(bench.broker.in_poll([](Intake&) {}));
  bench.finish();
  CHECK(bench.ran.get() == Ids{"1"});
}

TEST_CASE("what fails while revoke waits for it is given back at once, not after its back-off") {
  Bench bench;
  Gate gate;
  bench.start({}, [&gate](const Delivery&) -> Result<> {
    gate.pass();
    return later(1h);
  });
  const std::uint64_t running = bench.broker.publish(message_of("1", "k"), 0);
  const std::uint64_t behind = bench.broker.publish(message_of("2", "k"), 0);
  CHECK(bench.has_run(1));
  CHECK(bench.broker.delivered(2));
  std::thread opener{[&] {
    CHECK(bench.broker.settled(1));  // the one behind it: revoke has begun
    gate.open();
  }};
  bool all = false;
  // The clock stands still, so that only the release can end the wait.
  CHECK(bench.broker.in_poll(
      [&](Intake& intake) { all = intake.revoke(0, bench.context.time.now() + 1s); }));
  opener.join();
  CHECK(all);
  CHECK(bench.broker.settled(2));
  CHECK(bench.kind_of(running) == Kind::release);
  CHECK(bench.kind_of(behind) == Kind::release);
  bench.finish();
}

// ── stopping ─────────────────────────────────────────────────────────────────────────────────────

TEST_CASE("stop gives back what has not started, finishes what runs, then closes the consumer") {
  Bench bench;
  Gate gate;
  bench.start({.concurrency = 1}, [&gate](const Delivery&) -> Result<> {
    gate.pass();
    return {};
  });
  const std::uint64_t running = bench.broker.publish(message_of("1", "k"));
  CHECK(bench.has_run(1));
  for (int i = 2; i <= 4; ++i) bench.broker.publish(message_of(std::to_string(i), "k"));
  CHECK(bench.broker.delivered(4));
  bench.dispatcher->stop(1s);
  bench.dispatcher->stop(2s);  // says nothing new
  CHECK(bench.broker.settled(3));
  bench.broker.publish(message_of("too late", "k"));
  for (const Settlement& each : bench.broker.settlements()) CHECK(each.kind == Kind::release);
  CHECK_FALSE(bench.dispatcher->state().wait_ended(std::chrono::steady_clock::now()));
  CHECK_FALSE(bench.broker.is_closed());
  gate.open();
  bench.finish();
  CHECK(bench.kind_of(running) == Kind::done);
  CHECK(bench.ran.get() == Ids{"1"});
  REQUIRE(bench.dispatcher->state().problem());
  CHECK(bench.dispatcher->state().problem()->code == Errc::closed);
  CHECK(bench.dispatcher->state().closed());
}

TEST_CASE("stop does not wait for a back-off to pass") {
  Bench bench;
  bench.start({}, [](const Delivery&) -> Result<> { return later(5min); });
  const std::uint64_t token = bench.broker.publish(message_of("1", "k"));
  bench.broker.publish(message_of("2", "k"));
  CHECK(eventually([&] { return bench.dispatcher->waiting() == 2; }));
  bench.finish();
  CHECK(bench.kind_of(token) == Kind::release);
  CHECK(bench.broker.settlement(token)->attempts == 1);
}

TEST_CASE("what fails while stopping is given back") {
  Bench bench;
  Gate gate;
  bench.start({}, [&gate](const Delivery&) -> Result<> {
    gate.pass();
    return later(5min);
  });
  const std::uint64_t token = bench.broker.publish(message_of("1", "k"));
  CHECK(bench.has_run(1));
  bench.dispatcher->stop(1s);
  gate.open();
  bench.finish();
  CHECK(bench.kind_of(token) == Kind::release);
}

TEST_CASE("what ends inside a revocation, before its worker says so, does not keep a stop from its end") {
  for (int round = 0; round < 100; ++round) {
    Bench bench;
    Gate gate;
    bench.start({}, [&gate](const Delivery&) -> Result<> {
      gate.pass();
      return {};
    });
    bench.broker.publish(message_of("1", "k"));
    CHECK(bench.has_run(1));
    bench.broker.publish(message_of("2", "k"));
    CHECK(bench.broker.delivered(2));
    bench.dispatcher->stop(1s);
    CHECK(bench.broker.settled(1));  // it has seen the stop, and polls on for what runs
    CHECK(bench.broker.in_poll([&gate](Intake& intake) {
      gate.open();
      while (!intake.revoke(0, Instant::min())) {
      }
    }));
    REQUIRE(bench.dispatcher->state().wait_ended(std::chrono::steady_clock::now() + patience));
    bench.finish();
  }
}

TEST_CASE("how closing the consumer ended is passed on") {
  Bench bench;
  bench.broker.close_answer = Error::make(Errc::timed_out, "close");
  bench.start({}, ok);
  bench.finish();
  CHECK(bench.dispatcher->state().closed().error().code == Errc::timed_out);
}

TEST_CASE("a dispatcher that was never started can be destroyed") {
  Bench bench;
  bench.dispatcher.emplace([&] { return FakeConsumer{&bench.broker}; },
                           std::make_unique<Bare<detail::Composed<>>>(detail::compose(ok)), bench.context,
                           DispatchOptions{});
  bench.dispatcher.reset();
  CHECK_FALSE(bench.broker.is_closed());
}

TEST_CASE(
    "a handler knows that it runs on its subscription's thread, others know that they do not") {
  Bench bench;
  std::atomic<bool> own{false};
  bench.start({.concurrency = 2}, [&](const Delivery&) -> Result<> {
    own = bench.dispatcher->on_own_thread();
    return {};
  });
  bench.broker.publish(message_of("1", "k"));
  CHECK(bench.broker.settled(1));
  CHECK(own.load());
  CHECK_FALSE(bench.dispatcher->on_own_thread());
  bool in_poll = false;
  CHECK(bench.broker.in_poll([&](Intake&) { in_poll = bench.dispatcher->on_own_thread(); }));
  CHECK(in_poll);
  bench.finish();
}

TEST_CASE("a consumer counts as broken until it reports that it is registered") {
  Bench bench;
  bench.start({}, ok);
  REQUIRE(bench.dispatcher->state().problem());
  CHECK(bench.dispatcher->state().problem()->code == Errc::unavailable);
  CHECK(bench.broker.in_poll([](Intake& intake) { intake.report(nullptr); }));
  CHECK_FALSE(bench.dispatcher->state().problem());
  CHECK(bench.broker.in_poll([](Intake& intake) {
    const Error error = Error::make(Errc::access_denied, "consume orders");
    intake.report(&error);
  }));
  REQUIRE(bench.dispatcher->state().problem());
  CHECK(bench.dispatcher->state().problem()->code == Errc::access_denied);
  CHECK(bench.broker.in_poll([](Intake& intake) { intake.report(nullptr); }));
  CHECK_FALSE(bench.dispatcher->state().problem());
  bench.finish();
  REQUIRE(bench.context.reported.size() == 1);
  CHECK(bench.context.reported[0].code == Errc::access_denied);
}

// ── the three orders ─────────────────────────────────────────────────────────────────────────────

TEST_CASE("in parked order a key's later messages follow its dead letter, in order, unhandled") {
  Bench bench;
  bench.start(
      {.concurrency = 2, .order = Order::parked},
      [](const Delivery& delivery) -> Result<> {
        if (delivery.id() == "a2" || delivery.id() == "n1") return permanent("no");
        return {};
      },
      dead_letter("orders.dlq"));
  for (const char* id : {"a1", "a2", "a3", "b1", "a4"}) {
    bench.broker.publish(message_of(id, std::string(1, id[0]), std::string{"payload of "} + id));
  }
  bench.broker.publish(message_of("n1", ""));
  bench.broker.publish(message_of("n2", ""));
  CHECK(bench.broker.settled(7));
  bench.finish();
  Ids dead;
  for (const auto& each : bench.context.sent) {
    CHECK(each.topic == "orders.dlq");
    if (each.message.key == "a") dead.push_back(each.message.id);
  }
  CHECK(dead == Ids{"a2", "a3", "a4"});
  CHECK(bench.context.sent.size() == 4);  // n1, too; n2 has no key and follows nobody
  Ids ran = bench.ran.get();
  std::sort(ran.begin(), ran.end());
  CHECK(ran == Ids{"a1", "a2", "b1", "n1", "n2"});
  CHECK(bench.dispatcher->counters().handled.load() == 3);
  for (const Settlement& each : bench.broker.settlements()) CHECK(each.kind == Kind::done);
}

TEST_CASE("in parked order a follower that its topic refuses waits, and the next behind it") {
  Bench bench;
  std::atomic<bool> refuses{false};
  bench.context.answer = [&refuses]() -> Result<Receipt> {
    if (refuses) return Error::make(Errc::unavailable, "publish");
    return Receipt{};
  };
  bench.start(
      {.order = Order::parked}, [](const Delivery&) -> Result<> { return permanent("no"); },
      dead_letter("orders.dlq"));
  bench.broker.publish(message_of("1", "k"));
  CHECK(bench.broker.settled(1));
  refuses = true;
  bench.broker.publish(message_of("2", "k"));
  bench.broker.publish(message_of("3", "k"));
  CHECK(eventually([&] { return bench.dispatcher->waiting() == 2; }));
  refuses = false;
  bench.context.time.advance(1min);
  CHECK(bench.broker.settled(3));
  bench.finish();
  Ids dead;
  for (const auto& each : bench.context.sent) dead.push_back(each.message.id);
  CHECK(dead == Ids{"1", "2", "3"});
  CHECK(bench.ran.get() == Ids{"1"});
}

TEST_CASE("in relaxed order a failure goes back to the broker with its delay and attempts") {
  Bench bench;
  std::atomic<bool> fails{true};
  bench.start(
      {.order = Order::relaxed},
      [&fails](const Delivery& delivery) -> Result<> {
        if (fails && delivery.id() == "1") return later(30s);
        return {};
      },
      retry({.attempts = 10}));
  const std::uint64_t first = bench.broker.publish(message_of("1", "k"), 0, 3);
  bench.broker.publish(message_of("2", "k"));
  CHECK(bench.broker.settled(2));
  REQUIRE(bench.broker.settlement(first));
  CHECK(bench.broker.settlement(first)->kind == Kind::later);
  CHECK(bench.broker.settlement(first)->delay == 30s);
  CHECK(bench.broker.settlement(first)->attempts == 4);
  CHECK(bench.ran.get() == Ids{"1", "2"});
  CHECK(bench.dispatcher->waiting() == 0);
  fails = false;
  const std::uint64_t again = bench.broker.publish_again(first, 4);
  CHECK(bench.broker.settled(3));
  CHECK(bench.kind_of(again) == Kind::done);
  bench.finish();
}

TEST_CASE("in relaxed order too, a dead letter that is refused does not run the handler again") {
  Bench bench;
  std::atomic<bool> refuses{true};
  bench.context.answer = [&refuses]() -> Result<Receipt> {
    if (refuses) return Error::make(Errc::unavailable, "publish");
    return Receipt{};
  };
  bench.start(
      {.order = Order::relaxed}, [](const Delivery&) -> Result<> { return permanent("no"); },
      dead_letter("orders.dlq"));
  bench.broker.publish(message_of("1", "k"));
  CHECK(bench.has_run(1));
  CHECK(eventually([&] { return bench.dispatcher->waiting() == 1; }));
  refuses = false;
  bench.context.time.advance(1min);
  CHECK(bench.broker.settled(1));
  bench.finish();
  CHECK(bench.ran.get() == Ids{"1"});
  CHECK(bench.context.sent.size() == 1);
  CHECK(bench.broker.settlements()[0].kind == Kind::done);
}

// ── what is told ─────────────────────────────────────────────────────────────────────────────────

TEST_CASE("an observed dispatcher tells of each delivery, another of the rare events alone") {
  const bool observed = GENERATE(true, false);
  Bench bench;
  std::atomic<bool> fails{true};
  bench.start({.observed = observed}, [&fails](const Delivery&) -> Result<> {
    if (fails.exchange(false)) return later(0s);
    return {};
  });
  bench.broker.publish(message_of("1", "k"));
  CHECK(bench.broker.settled(1));
  bench.finish();
  using enum DeliveryEvent;
  if (observed) {
    CHECK(bench.context.events == std::vector{delivered, retrying, delivered, handled});
  } else {
    CHECK(bench.context.events == std::vector{retrying});
  }
}

TEST_CASE("a message that a stage ends without the handler counts as dropped, not as handled") {
  Bench bench;
  bench.start({.observed = true}, ok, stage([](Next, Delivery&) -> Result<> { return {}; }));
  const std::uint64_t token = bench.broker.publish(message_of("1", "k"));
  CHECK(bench.broker.settled(1));
  bench.finish();
  CHECK(bench.kind_of(token) == Kind::done);
  CHECK(bench.dispatcher->counters().handled.load() == 0);
  CHECK(bench.context.count(DeliveryEvent::dropped) == 1);
  CHECK(bench.context.count(DeliveryEvent::handled) == 0);
}
