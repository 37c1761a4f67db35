// SPDX-License-Identifier: MIT
#include <omnibus/backends/memory.hpp>

#include <atomic>
#include <thread>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;
using Kind = Settlement::Kind;

namespace {

using Ids = std::vector<std::string>;

/// What a dispatcher would be given.
struct FakeIntake final : Intake {
  std::size_t most = 1000;
  std::vector<Incoming> all;
  std::vector<std::int32_t> revoked;
  int reports = 0;
  std::optional<Error> problem;

  mutable std::atomic<int> asked{0};

  std::size_t room() const noexcept override {
    ++asked;
    return most;
  }
  void deliver(const Incoming& incoming) override {
    all.push_back(incoming);
    --most;
  }
  bool revoke(std::int32_t partition, Instant) override {
    revoked.push_back(partition);
    return false;
  }
  void report(const Error* now) override {
    ++reports;
    problem = now != nullptr ? std::optional{*now} : std::nullopt;
  }
  /// The ids since the last call.
  Ids take() {
    Ids ids;
    for (const Incoming& each : all) ids.emplace_back(each.message->id);
    all.clear();
    return ids;
  }
};

struct Bench {
  VirtualClock clock;
  Memory memory;

  explicit Bench(std::int32_t partitions = 64, std::size_t log_bytes = 1 << 20)
      : memory{{.log_bytes = log_bytes, .partitions = partitions, .clock = &clock}} {}

  Result<Receipt> publish(const std::string& id, const std::string& key = "k", Duration delay = {},
                          Time time = {}, std::string payload = {}) {
    Message message = message_of(id, key, std::move(payload));
    message.time = time;
    Result<Receipt> result = Receipt{};
    Outgoing outgoing{message.view(), delay,
                      [&result](Result<Receipt> ending) { result = std::move(ending); }};
    memory.submit("orders", {&outgoing, 1}, {10s, false});
    return result;
  }
  memory::Consumer consume(Start start = {}, std::string group = "g", Use use = Use::handle) {
    SubscriptionSpec spec;
    spec.use = use;
    spec.topic = "orders";
    spec.group = std::move(group);
    spec.start = std::move(start);
    spec.window = 1000;
    return memory.consume(spec);
  }
};

/// One look, without waiting.
Ids look(memory::Consumer& consumer, FakeIntake& intake) {
  consumer.poll(intake, Instant::min());
  return intake.take();
}

void settle(memory::Consumer& consumer, std::uint64_t token, Kind kind = Kind::done,
            Duration delay = {}, std::uint32_t attempts = 0) {
  const Settlement settlement{token, kind, delay, attempts};
  consumer.settle({&settlement, 1});
}

}  // namespace

TEST_CASE("a consumer gets messages in order, as many as there is room for") {
  Bench bench;
  auto consumer = bench.consume();
  FakeIntake intake;
  CHECK(look(consumer, intake) == Ids{});
  CHECK(intake.reports == 1);
  CHECK_FALSE(intake.problem);
  std::vector<Receipt> receipts;
  for (int i = 0; i < 5; ++i) receipts.push_back(bench.publish(std::to_string(i)).value());
  intake.most = 3;
  consumer.poll(intake, Instant::min());
  REQUIRE(intake.all.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(intake.all[i].topic == "orders");
    CHECK(intake.all[i].position == receipts[i].position);
    CHECK(intake.all[i].partition == receipts[i].partition);
    CHECK(intake.all[i].attempts == 0);
  }
  CHECK(intake.take() == Ids{"0", "1", "2"});
  CHECK(look(consumer, intake) == Ids{});
  intake.most = 10;
  CHECK(look(consumer, intake) == Ids{"3", "4"});
  CHECK(intake.reports == 1);
}

TEST_CASE("what is released comes again, with its attempts, before what follows") {
  Bench bench;
  auto consumer = bench.consume();
  FakeIntake intake;
  for (int i = 0; i < 3; ++i) (void)bench.publish(std::to_string(i));
  intake.most = 2;
  consumer.poll(intake, Instant::min());
  const auto first = intake.all;
  intake.all.clear();
  for (const Incoming& each : first) settle(consumer, each.token, Kind::release, {}, 3);
  intake.most = 10;
  consumer.poll(intake, Instant::min());
  REQUIRE(intake.all.size() == 3);
  CHECK(intake.all[0].attempts == 3);
  CHECK(intake.all[2].attempts == 0);
  CHECK(intake.take() == Ids{"0", "1", "2"});
}

TEST_CASE("later brings a message back when its time has come, and holds up nobody") {
  Bench bench;
  auto consumer = bench.consume();
  FakeIntake intake;
  for (const char* id : {"a", "b", "c"}) (void)bench.publish(id);
  consumer.poll(intake, Instant::min());
  const auto all = intake.all;
  intake.all.clear();
  settle(consumer, all[0].token, Kind::later, 20s, 1);
  settle(consumer, all[1].token, Kind::later, 10s, 4);
  settle(consumer, all[2].token);
  CHECK(look(consumer, intake) == Ids{});
  bench.clock.advance(10s - 1ns);
  CHECK(look(consumer, intake) == Ids{});
  bench.clock.advance(1ns);
  consumer.poll(intake, Instant::min());
  REQUIRE(intake.all.size() == 1);
  CHECK(intake.all[0].attempts == 4);
  CHECK(intake.all[0].position == all[1].position);
  const std::uint64_t token = intake.all[0].token;
  CHECK(intake.take() == Ids{"b"});
  settle(consumer, token, Kind::later, 5s, 5);
  bench.clock.advance(10s);
  CHECK(look(consumer, intake) == Ids{"b", "a"});
  bench.clock.advance(1h);
  CHECK(look(consumer, intake) == Ids{});
}

TEST_CASE("later for ever is for ever") {
  Bench bench;
  auto consumer = bench.consume();
  FakeIntake intake;
  (void)bench.publish("a");
  consumer.poll(intake, Instant::min());
  const std::uint64_t token = intake.all[0].token;
  (void)intake.take();
  settle(consumer, token, Kind::later, Duration::max(), 1);
  bench.clock.advance(24h * 365 * 100);
  CHECK(look(consumer, intake) == Ids{});
}

TEST_CASE("delayed messages arrive by due time, and those of one time as published") {
  Bench bench;
  auto consumer = bench.consume();
  FakeIntake intake;
  CHECK(bench.publish("late", "k", 30s));
  CHECK(bench.publish("soon 1", "k", 10s));
  CHECK(bench.publish("soon 2", "k", 10s));
  CHECK(bench.publish("now"));
  CHECK(bench.publish("never", "k", Duration::max()));
  CHECK(look(consumer, intake) == Ids{"now"});
  bench.clock.advance(10s - 1ns);
  CHECK(look(consumer, intake) == Ids{});
  bench.clock.advance(1ns);
  CHECK(look(consumer, intake) == Ids{"soon 1", "soon 2"});
  bench.clock.advance(1h);
  CHECK(look(consumer, intake) == Ids{"late"});
}

TEST_CASE("what a consumer left unsettled goes to the next one, as attempted") {
  Bench bench;
  FakeIntake intake;
  {
    auto consumer = bench.consume();
    (void)bench.publish("a");
    (void)bench.publish("b");
    consumer.poll(intake, Instant::min());
    settle(consumer, intake.all[0].token);
    CHECK(consumer.close(Instant::max()));
    settle(consumer, intake.all[1].token);  // too late: says nothing
  }
  (void)intake.take();
  auto next = bench.consume();
  next.poll(intake, Instant::min());
  REQUIRE(intake.all.size() == 1);
  CHECK(intake.all[0].attempts == 1);
  CHECK(intake.take() == Ids{"b"});
}

TEST_CASE("two groups get every message; two members of one share them by key") {
  Bench bench;
  auto one = bench.consume({}, "g");
  auto two = bench.consume({}, "g");
  auto other = bench.consume({}, "h");
  for (int i = 0; i < 100; ++i)
    (void)bench.publish(std::to_string(i), "key " + std::to_string(i % 20));
  FakeIntake of_one;
  FakeIntake of_two;
  FakeIntake of_other;
  one.poll(of_one, Instant::min());
  two.poll(of_two, Instant::min());
  other.poll(of_other, Instant::min());
  CHECK(of_other.all.size() == 100);
  CHECK(of_one.all.size() + of_two.all.size() == 100);
  CHECK_FALSE(of_one.all.empty());
  CHECK_FALSE(of_two.all.empty());
  for (const Incoming& mine : of_one.all) {
    for (const Incoming& theirs : of_two.all) {
      if (mine.message->key == theirs.message->key) FAIL("a key went to both");
    }
  }
}

TEST_CASE("who joins gets a partition once what is in flight of it is settled") {
  Bench bench{1};
  auto one = bench.consume();
  FakeIntake of_one;
  for (int i = 0; i < 3; ++i) (void)bench.publish(std::to_string(i));
  of_one.most = 2;
  one.poll(of_one, Instant::min());
  REQUIRE(of_one.all.size() == 2);
  auto two = bench.consume();
  FakeIntake of_two;
  CHECK(look(two, of_two) == Ids{});
  // With one partition the first member stays its owner; when it goes, the second gets it all.
  settle(one, of_one.all[0].token);
  CHECK(look(two, of_two) == Ids{});
  CHECK(one.close(Instant::max()));
  CHECK(look(two, of_two) == Ids{"1", "2"});
}

TEST_CASE("a member that is asked for a partition back is told, and gets no more of it") {
  Bench bench{2};
  auto one = bench.consume();
  FakeIntake of_one;
  for (int i = 0; i < 40; ++i) (void)bench.publish(std::to_string(i), "key " + std::to_string(i));
  one.poll(of_one, Instant::min());
  REQUIRE(of_one.all.size() == 40);
  auto two = bench.consume();
  FakeIntake of_two;
  CHECK(look(two, of_two) == Ids{});
  one.poll(of_one, Instant::min());
  REQUIRE(of_one.revoked.size() == 1);
  const std::int32_t given = of_one.revoked[0];
  Ids expected;
  for (const Incoming& each : of_one.all) {
    if (each.partition != given) continue;
    expected.emplace_back(each.message->id);
    settle(one, each.token, Kind::release);
  }
  CHECK(look(two, of_two) == expected);
}

TEST_CASE("a member that sleeps is woken when a partition becomes its own") {
  for (int round = 0; round < 20; ++round) {  // it is not to be seen when exactly one sleeps
    Bench bench{2};
    auto one = bench.consume();
    FakeIntake of_one;
    for (int i = 0; i < 40; ++i) (void)bench.publish(std::to_string(i), "key " + std::to_string(i));
    one.poll(of_one, Instant::min());
    auto two = bench.consume();
    FakeIntake of_two;
    CHECK(look(two, of_two) == Ids{});
    one.poll(of_one, Instant::min());
    REQUIRE(of_one.revoked.size() == 1);

    std::atomic<bool> returned{false};
    of_two.asked = 0;
    std::thread sleeper{[&] {
      two.poll(of_two, Instant::max());
      returned = true;
    }};
    CHECK(eventually([&] { return of_two.asked.load() >= 2; }));
    std::vector<Settlement> settlements;
    for (const Incoming& each : of_one.all) {
      if (each.partition == of_one.revoked[0]) {
        settlements.push_back({each.token, Kind::release, {}, 0});
      }
    }
    one.settle(settlements);
    REQUIRE((eventually([&] { return returned.load(); }) || (two.wake(), sleeper.join(), false)));
    sleeper.join();
    CHECK(of_two.all.size() == settlements.size());
  }
}

TEST_CASE("a subscription starts where it says, when its group is new") {
  Bench bench;
  for (int i = 0; i < 6; ++i) {
    (void)bench.publish(std::to_string(i), "k", {}, Time{std::chrono::seconds{100 + i}});
  }
  FakeIntake intake;
  const auto started = [&](Start start) {
    static int number = 0;
    auto consumer = bench.consume(std::move(start), "group" + std::to_string(number++));
    const Ids ids = look(consumer, intake);
    return ids.empty() ? "none"s : ids.front();
  };
  CHECK(started({}) == "0");
  CHECK(started({.from = Start::From::latest}) == "none");
  CHECK(started({.from = Start::From::position, .positions = {{0, {4, 0}}}}) == "4");
  CHECK(started({.from = Start::From::position, .positions = {{0, {600, 0}}}}) == "none");
  CHECK(started({.from = Start::From::time, .time = Time{103s}}) == "3");
  CHECK(started({.from = Start::From::time, .time = Time{200s}}) == "none");
}

TEST_CASE("a group that exists goes on where it was, whatever start says") {
  Bench bench;
  FakeIntake intake;
  (void)bench.publish("a");
  (void)bench.publish("b");
  {
    auto consumer = bench.consume();
    intake.most = 1;
    consumer.poll(intake, Instant::min());
    settle(consumer, intake.all[0].token);
    (void)intake.take();
  }
  intake.most = 10;
  auto consumer = bench.consume({.from = Start::From::latest});
  CHECK(look(consumer, intake) == Ids{"b"});
}

TEST_CASE("a reader without a group starts anew each time and leaves nothing behind") {
  Bench bench;
  (void)bench.publish("a");
  FakeIntake intake;
  for (int i = 0; i < 2; ++i) {
    auto reader = bench.consume({}, "");
    reader.poll(intake, Instant::min());
    settle(reader, intake.all[0].token);
    CHECK(intake.take() == Ids{"a"});
  }
}

TEST_CASE("what a picking consumer gives back stays aside until it leaves, and then comes in order") {
  Bench bench;
  for (const char* each : {"1", "2", "3"}) CHECK(bench.publish(each));
  {
    auto picks = bench.consume({}, "g", Use::pick);
    FakeIntake intake;
    picks.poll(intake, Instant::min());
    REQUIRE(intake.all.size() == 3);
    settle(picks, intake.all[0].token, Kind::release);
    settle(picks, intake.all[1].token);
    settle(picks, intake.all[2].token, Kind::release);
    intake.all.clear();
    CHECK(bench.publish("4"));
    CHECK(look(picks, intake) == Ids{"4"});
  }
  auto next = bench.consume();
  FakeIntake intake;
  CHECK(look(next, intake) == Ids{"1", "3", "4"});
}

TEST_CASE("a consumer that looks sees what its group has not finished, and takes nothing") {
  Bench bench;
  for (const char* each : {"1", "2", "3", "4"}) CHECK(bench.publish(each));
  const auto seen = [&] {
    auto looks = bench.consume({}, "g", Use::look);
    FakeIntake intake;
    looks.poll(intake, Instant::min());
    for (const Incoming& each : intake.all) settle(looks, each.token);
    return intake.take();
  };
  CHECK(seen() == Ids{"1", "2", "3", "4"});  // there is no group
  auto member = bench.consume();
  FakeIntake intake;
  intake.most = 3;
  member.poll(intake, Instant::min());
  settle(member, intake.all[0].token);
  settle(member, intake.all[2].token);
  CHECK(seen() == Ids{"2", "4"});
  CHECK(seen() == Ids{"2", "4"});
  settle(member, intake.all[1].token);
  intake.all.clear();
  intake.most = 10;
  CHECK(look(member, intake) == Ids{"4"});
}

TEST_CASE("a start that the log no longer holds is reported") {
  Bench bench{64, 64 * 1024};
  for (int i = 0; i < 200; ++i)
    REQUIRE(bench.publish(std::to_string(i), "k", {}, {}, std::string(1000, 'x')));
  auto consumer = bench.consume({.from = Start::From::position, .positions = {{0, {1, 0}}}});
  FakeIntake intake;
  consumer.poll(intake, Instant::min());
  REQUIRE(intake.problem);
  CHECK(intake.problem->code == Errc::position_lost);
  REQUIRE_FALSE(intake.all.empty());
  CHECK(intake.all.front().position.major > 1);
}

TEST_CASE("poll sleeps until there is news: a message, a wake, or its time") {
  Bench bench;
  auto consumer = bench.consume();
  FakeIntake intake;
  Watched<int> polls;
  const auto poll_in_thread = [&](Instant until, auto&& act) {
    std::thread poller{[&] {
      polls.change([](int& n) { ++n; });
      consumer.poll(intake, until);
      polls.change([](int& n) { ++n; });
    }};
    const int before = polls.get();
    (void)before;
    act();
    poller.join();
  };
  poll_in_thread(Instant::max(), [&] { (void)bench.publish("a"); });
  CHECK(intake.take() == Ids{"a"});
  poll_in_thread(Instant::max(), [&] { consumer.wake(); });
  CHECK(intake.take() == Ids{});
  const Instant until = bench.clock.now() + 5min;
  poll_in_thread(until, [&] { bench.clock.advance(5min); });
  CHECK(bench.clock.now() >= until);
  (void)bench.publish("b", "k", 1h);
  poll_in_thread(Instant::max(), [&] { bench.clock.advance(1h); });
  CHECK(intake.take() == Ids{"b"});
}

TEST_CASE("the clock knows whether a consumer sleeps, until when, and that it has left") {
  Bench bench;
  const Instant start = bench.clock.now();
  const auto awake = [&] { return bench.clock.sleepers().awake; };
  const auto sleeps_until = [&](Instant until) {
    return eventually([&] { return awake() == 0 && bench.clock.sleepers().earliest == until; });
  };
  CHECK(awake() == 0);
  FakeIntake intake;
  {
    auto consumer = bench.consume();
    CHECK(awake() == 1);  // it has not looked yet
    std::thread poller{[&] { consumer.poll(intake, start + 2h); }};
    CHECK(sleeps_until(start + 2h));
    (void)bench.publish("b", "k", 1h);
    CHECK(sleeps_until(start + 1h));  // rather than sleeping on
    bench.clock.advance(30min);
    CHECK(sleeps_until(start + 1h));
    bench.clock.advance(30min);
    poller.join();
    CHECK(intake.take() == Ids{"b"});
    CHECK(awake() == 1);
    CHECK(consumer.close(Instant::max()));
    CHECK(awake() == 0);
    consumer.wake();
  }
  CHECK(awake() == 0);
}

TEST_CASE("the clock is told that a consumer is rung before the consumer stirs") {
  for (int round = 0; round < 20; ++round) {
    Bench bench;
    auto consumer = bench.consume();
    FakeIntake intake;
    std::thread poller{[&] { consumer.poll(intake, Instant::max()); }};
    CHECK(eventually([&] { return bench.clock.sleepers().awake == 0; }));
    consumer.wake();
    CHECK(bench.clock.sleepers().awake == 1);
    poller.join();
    consumer.wake();  // twice for one poll
    consumer.wake();
    CHECK(look(consumer, intake) == Ids{});
    CHECK(bench.clock.sleepers().awake == 1);
  }
}
