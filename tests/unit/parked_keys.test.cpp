// SPDX-License-Identifier: MIT
#include <omnibus/parked_keys.hpp>

#include <omnibus/backends/memory.hpp>
#include <omnibus/event_bus.hpp>
#include <omnibus/letter.hpp>
#include <omnibus/idempotency/memory.hpp>
#include <omnibus/letters.hpp>
#include <omnibus/middleware/dead_letter.hpp>
#include <omnibus/middleware/idempotent.hpp>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;

namespace {

using Ids = std::vector<std::string>;

/// A handler in parked order, and an operator who redrives its letters.
struct KeysBench {
  FakeContext context;
  ParkedKeys order;
  std::set<std::string> bad;  ///< ids that the handler cannot handle
  Ids handled;

  void deliver(const Message& message) {
    auto pipeline = detail::compose([this](const Delivery& delivery) -> Result<> {
      if (bad.contains(std::string{delivery.id()})) return permanent("no");
      handled.emplace_back(delivery.id());
      return {};
    } | dead_letter("orders.dlq"));
    Received received{context, message};
    CHECK(order.run(pipeline, received.delivery));
  }
  void deliver(const std::string& id, std::string key = "k") { deliver(message_of(id, std::move(key))); }

  /// The ids of the letters that stand there.
  Ids letters() const {
    Ids ids;
    for (const auto& each : context.sent) ids.push_back(each.message.id);
    return ids;
  }
  /// Takes the first so many letters and delivers their messages again.
  void redrive(const std::string& name, std::size_t count = 1000) {
    std::vector<FakeContext::Sent> taken;
    while (!context.sent.empty() && taken.size() < count) {
      taken.push_back(context.sent.front());
      context.sent.erase(context.sent.begin());
    }
    for (const auto& each : taken) deliver(restore(each.message.view(), name));
  }
};

}  // namespace

TEST_CASE("redriving restores a parked key in order, and then the key is free") {
  KeysBench bench;
  bench.bad = {"2"};
  for (const char* id : {"1", "2", "3", "4"}) bench.deliver(id);
  CHECK(bench.letters() == Ids{"2", "3", "4"});
  bench.bad.clear();
  bench.redrive("pass");
  CHECK(bench.handled == Ids{"1", "2", "3", "4"});
  bench.deliver("5");
  CHECK(bench.handled == Ids{"1", "2", "3", "4", "5"});
  CHECK(bench.letters().empty());
}

TEST_CASE("what comes while letters are still out follows them, and comes back behind them") {
  KeysBench bench;
  bench.bad = {"1"};
  for (const char* id : {"1", "2", "3"}) bench.deliver(id);
  bench.bad.clear();
  bench.redrive("first", 2);
  bench.deliver("4");
  CHECK(bench.handled == Ids{"1", "2"});
  CHECK(bench.letters() == Ids{"3", "4"});
  bench.redrive("second");
  bench.deliver("5");
  CHECK(bench.handled == Ids{"1", "2", "3", "4", "5"});
}

TEST_CASE("when a letter dies again those behind it follow, until the next redrive") {
  KeysBench bench;
  bench.bad = {"1"};
  for (const char* id : {"1", "2", "3"}) bench.deliver(id);
  bench.redrive("first");
  CHECK(bench.handled.empty());
  CHECK(bench.letters() == Ids{"1", "2", "3"});
  bench.bad = {"2"};
  bench.redrive("second");
  CHECK(bench.handled == Ids{"1"});
  CHECK(bench.letters() == Ids{"2", "3"});
  bench.bad.clear();
  bench.redrive("third");
  bench.deliver("4");
  CHECK(bench.handled == Ids{"1", "2", "3", "4"});
}

TEST_CASE("a key whose only letter has died again stays parked") {
  KeysBench bench;
  bench.bad = {"1"};
  bench.deliver("1");
  bench.redrive("first");
  bench.deliver("2");
  CHECK(bench.handled.empty());
  CHECK(bench.letters() == Ids{"1", "2"});
}

TEST_CASE("a first dead letter that its topic refuses says the same when it is tried again") {
  FakeContext context;
  ParkedKeys order;
  auto pipeline = detail::compose([](const Delivery&) -> Result<> { return permanent("no"); } | dead_letter("dlq"));
  Received received{context, message_of("1", "k")};
  context.answer = []() -> Result<Receipt> { return Error::make(Errc::unavailable, "publish"); };
  CHECK_FALSE(order.run(pipeline, received.delivery));
  context.answer = [] { return Result<Receipt>{Receipt{}}; };
  received.delivery.begin_again();
  CHECK(order.run(pipeline, received.delivery));
  REQUIRE(context.sent.size() == 1);
  CHECK(context.sent[0].message.headers.get(dead_header::reason) == "no");
}

TEST_CASE("letters from before a restart keep their order, too, when one of them dies again") {
  KeysBench before, after;
  before.bad = {"1"};
  for (const char* id : {"1", "2", "3"}) before.deliver(id);
  after.context.sent = before.context.sent;
  after.bad = {"1"};
  after.redrive("first");
  CHECK(after.handled.empty());
  CHECK(after.letters() == Ids{"1", "2", "3"});
  after.bad.clear();
  after.redrive("second");
  CHECK(after.handled == Ids{"1", "2", "3"});
}

TEST_CASE("letters that another group has redriven are messages like others") {
  KeysBench bench;
  bench.bad = {"1"};
  bench.deliver("1");
  Message theirs = message_of("2", "k");
  theirs.headers.add(redriven_header, write_redriven({"pass", "shipping"}));
  bench.deliver(theirs);
  CHECK(bench.handled.empty());
  CHECK(bench.letters() == Ids{"1", "2"});
}

TEST_CASE("other keys, and messages without a key, follow nobody") {
  KeysBench bench;
  bench.bad = {"1", "n"};
  bench.deliver("1", "a");
  bench.deliver("n", "");
  for (const auto& [id, key] : {std::pair{"2", "b"}, std::pair{"3", ""}}) bench.deliver(id, key);
  CHECK(bench.handled == Ids{"2", "3"});
}

// ── with a store ─────────────────────────────────────────────────────────────────────────────────

namespace {

constexpr ParkedPlace billing{"billing", "orders"};

/// A process died here.
struct Died {};

/// What can happen at a step, which asks a store or a broker for something.
enum class Fault : std::uint8_t { fails_before, fails_after, dies_before, dies_after };

/// Counts steps, and has one of them go wrong.
struct Steps {
  std::size_t taken = 0;
  std::size_t bad = SIZE_MAX;
  Fault fault = Fault::fails_before;

  /// Does `act` as this step, and returns what it returns, or what goes wrong.
  template <class Act>
  auto take(Act act) -> decltype(act()) {
    const bool now = taken++ == bad;
    if (now && fault == Fault::dies_before) throw Died{};
    if (now && fault == Fault::fails_before) return Error::make(Errc::unavailable, "use", "the line is cut");
    auto result = act();
    if (now && fault == Fault::dies_after) throw Died{};
    if (now && fault == Fault::fails_after) return Error::make(Errc::unavailable, "use", "the line is cut");
    return result;
  }
};

/// A store whose calls are steps, and are counted.
class SteppedStore final : public ParkedStore {
 public:
  explicit SteppedStore(Steps& steps) : steps_{steps} {}

  Result<std::vector<ParkedKey>> load(const ParkedPlace& place, std::size_t most) override {
    ++loads;
    return steps_.take([&] { return real.load(place, most); });
  }
  Result<ParkedState> find(const ParkedPlace& place, std::string_view key, std::string_view id) override {
    ++finds;
    return steps_.take([&] { return real.find(place, key, id); });
  }
  Result<> add(const ParkedPlace& place, const ParkedLetter& letter) override {
    ++adds;
    return steps_.take([&] { return real.add(place, letter); });
  }
  Result<bool> remove(const ParkedPlace& place, std::string_view key, std::string_view id) override {
    ++removes;
    return steps_.take([&] { return real.remove(place, key, id); });
  }

  MemoryParkedStore real;
  int loads = 0, finds = 0, adds = 0, removes = 0;

 private:
  Steps& steps_;
};

/// A topic with one partition, its dead letters, and processes that handle it one after the other.
class World {
 public:
  Steps steps;
  SteppedStore store{steps};
  std::set<std::string> bad;  ///< ids that the handler cannot handle
  Ids handled;
  std::size_t deaths = 0;

  void publish(const std::string& id, std::string key = "k") { log_.push_back(message_of(id, std::move(key))); }

  /// Handles everything; who dies is followed by another process.
  void run() {
    while (acked_ < log_.size()) {
      try {
        Process process{*this};
        while (acked_ < log_.size()) process.handle(log_[acked_]);
      } catch (const Died&) {
        ++deaths;
      }
    }
  }
  /// The operator puts the messages of all letters back.
  void redrive() {
    const std::string name = "pass-" + std::to_string(++passes_);
    for (const auto& each : std::exchange(letters, {})) log_.push_back(restore(each.view(), name));
  }
  /// Ids in the order in which each was handled first.
  Ids first_handled() const {
    Ids first;
    for (const std::string& id : handled) {
      if (std::find(first.begin(), first.end(), id) == first.end()) first.push_back(id);
    }
    return first;
  }
  std::size_t parked() { return store.real.load(billing, 1000).value().size(); }

  std::deque<Message> letters;

 private:
  struct Process {
    World& world;
    FakeContext context;
    ParkedKeys order{&world.store};

    explicit Process(World& all) : world{all} {}
    void handle(const Message& message) {
      auto pipeline = detail::compose([this](const Delivery& delivery) -> Result<> {
        if (world.bad.contains(std::string{delivery.id()})) return permanent("no");
        world.handled.emplace_back(delivery.id());
        return {};
      } | dead_letter("orders.dlq"));
      Received received{context, message};
      context.answer = [&]() -> Result<Receipt> {
        return world.steps.take([&]() -> Result<Receipt> {
          world.letters.push_back(message);
          world.letters.back().headers.add(dead_header::group, "billing");
          return Receipt{};
        });
      };
      const auto ordered = [&](Delivery& delivery) { return order.run(pipeline, delivery); };
      const Result<> ended = run_to_end(ordered, received.delivery, context);  // not within CHECK: it may die
      CHECK(ended);
      (void)world.steps.take([]() -> Result<> { return {}; });  // about to acknowledge
      ++world.acked_;
    }
  };

  std::deque<Message> log_;
  std::size_t acked_ = 0;
  int passes_ = 0;
};

/// A key whose second message dies, whose letters come back twice, and then it goes on.
void tell_a_story(World& world) {
  world.bad = {"2"};
  for (const char* id : {"1", "2", "3"}) world.publish(id);
  world.publish("x", "another key");
  world.run();
  world.redrive();  // in vain
  world.publish("4");
  world.run();
  world.bad.clear();
  for (int i = 0; i < 3 && !world.letters.empty(); ++i) {
    world.redrive();
    world.run();
  }
  world.publish("5");
  world.run();
}

}  // namespace

TEST_CASE("whatever step goes wrong, a parked key keeps its order and is free in the end") {
  World smooth;
  tell_a_story(smooth);
  CHECK(smooth.handled == Ids{"1", "x", "2", "3", "4", "5"});
  const std::size_t steps = smooth.steps.taken;
  CHECK(steps > 25);
  for (const Fault fault : {Fault::fails_before, Fault::fails_after, Fault::dies_before, Fault::dies_after}) {
    for (std::size_t bad = 0; bad < steps; ++bad) {
      World world;
      world.steps.bad = bad;
      world.steps.fault = fault;
      tell_a_story(world);
      INFO("step " << bad << ", fault " << static_cast<int>(fault));
      CHECK(world.first_handled() == Ids{"1", "x", "2", "3", "4", "5"});
      CHECK(world.parked() == 0);
      CHECK(world.letters.empty());
      const bool dies = fault == Fault::dies_before || fault == Fault::dies_after;
      CHECK(world.deaths == (dies ? 1 : 0));
      // Only the step is tried again; what is written twice because its answer was lost comes twice.
      if (fault == Fault::fails_before) CHECK(world.handled.size() == 6);
      CHECK(world.handled.size() <= 7);
    }
  }
}

TEST_CASE("the store is asked once for a partition and generation, and told what happens") {
  Steps steps;
  SteppedStore store{steps};
  ParkedKeys order{&store};
  FakeContext context;
  bool good = true;
  auto pipeline = detail::compose(
      [&](const Delivery&) -> Result<> { return good ? Result<>{} : permanent("no"); } | dead_letter("orders.dlq"));
  const auto deliver = [&](const std::string& id, std::int32_t partition, std::uint64_t generation) {
    const Message message = message_of(id, "k");
    const MessageView view = message.view();
    Delivery delivery{Incoming{&view, "orders", partition, {1, 0}, 0, 1}, context, generation};
    CHECK(order.run(pipeline, delivery));
  };
  for (const char* id : {"1", "2"}) deliver(id, 0, 10);
  CHECK(store.loads == 1);
  deliver("3", 64, 10);
  CHECK(store.loads == 2);
  deliver("4", 0, 11);
  deliver("5", 0, 10);  // a straggler
  deliver("6", 0, 11);
  CHECK(store.loads == 3);
  CHECK(store.finds + store.adds + store.removes == 0);

  good = false;
  deliver("7", 0, 11);
  CHECK(store.adds == 1);
  for (const char* id : {"8", "9"}) deliver(id, 0, 11);
  CHECK(store.adds == 3);
  CHECK(store.finds == 0);  // it has been told itself a moment ago
  context.time.advance(1s);
  for (const char* id : {"10", "11"}) deliver(id, 0, 11);
  CHECK(store.finds == 1);
  CHECK(context.sent.size() == 5);
}

TEST_CASE("while the store cannot be asked nothing is handled or buried, and the subscription pauses") {
  Steps steps;
  SteppedStore store{steps};
  FakeContext context;
  int calls = 0;
  auto pipeline = detail::compose([&](const Delivery&) -> Result<> {
    ++calls;
    return permanent("no");
  } | dead_letter("orders.dlq"));
  ParkedKeys order{&store};
  Received first{context, message_of("1", "k")};
  steps.bad = 0;
  const Result<> unknown = order.run(pipeline, first.delivery);
  REQUIRE_FALSE(unknown);
  CHECK(unknown.error().retryable);
  CHECK(unknown.error().retry_after == 1s);
  CHECK(context.paused_until == context.time.now() + 1s);
  CHECK(context.paused_why == "the line is cut");
  CHECK(calls == 0);

  steps.bad = steps.taken + 1;  // it loads, and cannot add
  first.delivery.begin_again();
  const Result<> unburied = order.run(pipeline, first.delivery);
  REQUIRE_FALSE(unburied);
  CHECK(unburied.error().operation == "dead-letter to orders.dlq");
  CHECK(context.sent.empty());
  CHECK(calls == 1);
  first.delivery.begin_again();
  CHECK(order.run(pipeline, first.delivery));
  CHECK(context.sent.size() == 1);
  CHECK(context.sent[0].message.headers.get(dead_header::reason) == "no");
  CHECK(calls == 1);
}

TEST_CASE("a message that was given up before a crash is buried again, and says why") {
  Steps steps;
  SteppedStore store{steps};
  CHECK(store.add(billing, {"k", "1", "their.dlq"}));
  FakeContext context;
  auto pipeline = detail::compose([](const Delivery&) -> Result<> { return {}; } | dead_letter("orders.dlq"));
  ParkedKeys order{&store};
  for (const char* id : {"1", "2"}) {
    Received received{context, message_of(id, "k")};
    CHECK(order.run(pipeline, received.delivery));
    CHECK(received.delivery.dead_letter_topic() == "their.dlq");
  }
  REQUIRE(context.sent.size() == 2);
  CHECK(context.sent[0].topic == "their.dlq");
  CHECK(context.sent[0].message.headers.get(dead_header::reason).find("given up before") != std::string_view::npos);
  CHECK(context.sent[1].message.headers.get(dead_header::reason).find("follows") != std::string_view::npos);
}

TEST_CASE("what a member handled and could not acknowledge before it ended is a duplicate, and follows no letter") {
  MemoryParkedStore letters;
  FakeContext context;
  MemoryKeyStore keys{{.clock = &context.time}};
  Ids handled;
  auto pipeline = detail::compose([&](const Delivery& delivery) -> Result<> {
    if (delivery.id() == "3") return permanent("no");
    handled.emplace_back(delivery.id());
    return {};
  } | dead_letter("orders.dlq") | idempotent(keys));
  for (int member = 0; member < 2; ++member) {  // the second gets all that the first had
    ParkedKeys order{&letters};
    for (const char* id : {"1", "2", "3", "4"}) {
      Received received{context, message_of(id, "k")};
      REQUIRE(order.run(pipeline, received.delivery));
      CHECK(received.delivery.duplicate() == (member == 1 && id < std::string{"3"}));
      CHECK(received.delivery.dead_lettered() == (id > std::string{"2"}));
    }
  }
  CHECK(handled == Ids{"1", "2"});
  CHECK(context.count(DeliveryEvent::duplicate) == 2);
  CHECK(letters.load({"billing", "orders"}, 1).value().size() == 1);
}

TEST_CASE("while nobody can say whether a message was handled, it does not follow a letter either") {
  Steps steps;
  SteppedStore store{steps};
  CHECK(store.add(billing, {"k", "1", "orders.dlq"}));
  FakeContext context;
  MemoryKeyStore keys{{.clock = &context.time}};
  auto pipeline = detail::compose([](const Delivery&) {} | dead_letter("orders.dlq") | idempotent(keys));
  ParkedKeys order{&store};
  Received received{context, message_of("2", "k", "body")};
  const IdempotencyKey key{"billing", "orders", "2"};
  const auto elsewhere = keys.claim(key, detail::hash128("body"), 1min);
  REQUIRE(elsewhere);
  const Result<> waits = order.run(pipeline, received.delivery);
  REQUIRE_FALSE(waits);
  CHECK(waits.error().code == Errc::key_in_progress);
  CHECK(waits.error().again());
  CHECK(context.sent.empty());

  CHECK(keys.release(key, *elsewhere));
  received.delivery.begin_again();
  CHECK(order.run(pipeline, received.delivery));
  CHECK(received.delivery.dead_lettered());
  CHECK(keys.claim(key, detail::hash128("body"), 1min).value().state == Claim::State::acquired);  // for its redrive
}

TEST_CASE("a handler that ended well counts, when the store is told of it later") {
  Steps steps;
  SteppedStore store{steps};
  CHECK(store.add(billing, {"k", "1", "orders.dlq"}));
  FakeContext context;
  int calls = 0;
  auto pipeline = detail::compose([&](const Delivery&) -> Result<> { return ++calls, Result<>{}; } | dead_letter("orders.dlq"));
  ParkedKeys order{&store};
  Message message = message_of("1", "k");
  message.headers.add(redriven_header, write_redriven({"pass", "billing"}));
  Received received{context, message};
  steps.bad = steps.taken + 1;
  CHECK_FALSE(order.run(pipeline, received.delivery));
  received.delivery.begin_again();
  CHECK_FALSE(received.delivery.attempted());
  CHECK(order.run(pipeline, received.delivery));
  CHECK(received.delivery.attempted());
  CHECK(calls == 1);
  CHECK(store.real.load(billing, 1).value().empty());
}

TEST_CASE("more parked keys than a subscription can know are an error that waits") {
  Steps steps;
  SteppedStore store{steps};
  bool filled = true;
  for (std::size_t i = 0; i < 4 * 65'536 + 1; ++i) {
    filled &= store.real.add(billing, {std::to_string(i), "1", "dlq"}).has_value();
  }
  REQUIRE(filled);
  FakeContext context;
  auto pipeline = detail::compose([](const Delivery&) -> Result<> { return permanent("no"); } | dead_letter("dlq"));
  ParkedKeys order{&store};
  Received first{context, message_of("1", "another")};
  const Result<> refused = order.run(pipeline, first.delivery);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Errc::too_large);
  CHECK(refused.error().again());
  // One key fewer can be known; another one that dies waits.
  CHECK(store.real.remove(billing, "0", "1").value());
  first.delivery.begin_again();
  const Result<> waits = order.run(pipeline, first.delivery);
  REQUIRE_FALSE(waits);
  CHECK(waits.error().code == Errc::rejected);
  CHECK(context.paused_why.find("redrive or discard") != std::string::npos);
  CHECK(context.sent.empty());
}

// ── a whole bus ──────────────────────────────────────────────────────────────────────────────────

namespace {

/// A group on an embedded broker, whose members come and go.
struct Group {
  std::string endpoint;
  VirtualClock clock;
  MemoryParkedStore store;
  EventBus<Memory> desk{{.endpoint = endpoint, .clock = &clock}};
  DeadLetters<Memory> letters{desk, "orders.dlq", store};
  std::atomic<bool> sick{true};
  Watched<Ids> handled;

  explicit Group(std::string name) : endpoint{std::move(name)} {}

  auto handler() {
    return [this](const Delivery& delivery) -> Result<> {
      if (sick && delivery.id() == "2") return permanent("no");
      handled.change([&](Ids& ids) { ids.emplace_back(delivery.id()); });
      return {};
    } | dead_letter("orders.dlq");
  }
  auto options() { return EventBus<Memory>::SubscribeOptions{.group = "billing", .order = parked, .parked_in = store}; }
  EventBus<Memory>::Config config() { return {.endpoint = endpoint, .clock = &clock}; }

  void publish(std::initializer_list<const char*> ids) {
    for (const char* id : ids) CHECK(desk.publish("orders", message_of(id, "k")));
  }
  bool has_handled(const Ids& ids) {
    return handled.wait([&](const Ids& all) { return all == ids; });
  }
};

}  // namespace

TEST_CASE("another member, and one after a restart, keep a key parked and restore its order") {
  Group group{"parked keys of members"};
  {
    EventBus<Memory> bus{group.config()};
    const auto first = bus.subscribe("orders", group.handler(), group.options());
    group.publish({"1", "2", "3"});
    CHECK(eventually([&] { return first.stats().dead_lettered == 2; }));
  }
  EventBus<Memory> bus{group.config()}, another{group.config()};
  const auto second = bus.subscribe("orders", group.handler(), group.options());
  const auto third = another.subscribe("orders", group.handler(), group.options());
  group.publish({"4"});
  CHECK(eventually([&] { return second.stats().dead_lettered + third.stats().dead_lettered == 1; }));
  group.sick = false;
  CHECK(group.letters.redrive_all().done == 3);
  group.publish({"5"});
  CHECK(group.has_handled({"1", "2", "3", "4", "5"}));
  CHECK(eventually([&] { return group.store.load(billing, 10).value().empty(); }));
}

TEST_CASE("a key whose letters were all discarded is free, for members that run as well") {
  Group group{"parked keys that are discarded"};
  EventBus<Memory> bus{group.config()};
  const auto member = bus.subscribe("orders", group.handler(), group.options());
  group.publish({"1", "2", "3"});
  CHECK(eventually([&] { return member.stats().dead_lettered == 2; }));
  CHECK(group.letters.discard_one("3").done == 1);
  group.clock.advance(1s);
  group.publish({"4"});
  CHECK(eventually([&] { return member.stats().dead_lettered == 3; }));
  CHECK(group.letters.discard(any_letter()).done == 2);
  CHECK(group.store.load(billing, 10).value().empty());
  group.clock.advance(1s);
  group.publish({"5"});
  CHECK(group.has_handled({"1", "5"}));
}

TEST_CASE("a letter that the store does not let go is not discarded") {
  Group group{"parked keys that stay"};
  Steps steps;
  SteppedStore store{steps};
  DeadLetters letters{group.desk, "orders.dlq", store};
  Message letter = message_of("2", "k");
  letter.headers.add(dead_header::topic, "orders").add(dead_header::group, "billing");
  CHECK(group.desk.publish("orders.dlq", letter));
  steps.bad = 0;
  CHECK(letters.discard_one("2").ending.error().code == Errc::unavailable);
  steps.bad = 1;
  CHECK(letters.discard(any_letter()).ending.error().code == Errc::unavailable);
  CHECK(letters.find("2"));
  CHECK(letters.discard(any_letter()).done == 1);
}

TEST_CASE("health says that the store of parked keys cannot be asked, and nothing is lost") {
  Group group{"parked keys out of reach"};
  Steps steps;
  steps.bad = 0;
  SteppedStore store{steps};
  EventBus<Memory> bus{group.config()};
  auto options = group.options();
  options.parked_in = store;
  const auto member = bus.subscribe("orders", group.handler(), options);
  group.publish({"1"});
  CHECK(eventually([&] { return member.health().problem.find("the line is cut") != std::string::npos; }));
  CHECK_FALSE(member.health().ok);
  CHECK(member.stats().handled == 0);
  group.clock.advance(1s);
  CHECK(group.has_handled({"1"}));
  CHECK(eventually([&] { return member.health().ok; }));
}

TEST_CASE("a store without parked order, or without a group, is refused by name") {
  EventBus<Memory> bus;
  MemoryParkedStore store;
  const auto handler = [](const Delivery&) {};
  CHECK(throws_saying<std::invalid_argument>(
      [&] { (void)bus.subscribe("orders", handler, {.group = "g", .parked_in = store}); }, "parked_in is for .order"));
  CHECK(throws_saying<std::invalid_argument>(
      [&] { (void)bus.subscribe("orders", handler, {.order = parked, .parked_in = store}); }, "needs a group"));
}
