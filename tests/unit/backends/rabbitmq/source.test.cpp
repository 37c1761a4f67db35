// SPDX-License-Identifier: MIT
#include <omnibus/backends/rabbitmq/source.hpp>

#include "catch.hpp"
#include "unit/backends/rabbitmq/tools.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::rabbitmq;
using namespace omnibus::unit;

namespace {

const Time now{1'700'000'000s};

/// A reader of a log, to which messages come one after the other.
struct SourceBench {
  LogCursor cursor;
  std::uint64_t tag = 0;

  explicit SourceBench(const Start& place) : cursor{place, now} {}

  /// A message arrives; true when it is wanted.
  bool comes(std::uint64_t offset, Time time = now) {
    rabbitmq::Received received;
    std::vector<amqp_table_entry_t> entries{
        entry("x-stream-offset", i64_field(static_cast<std::int64_t>(offset))),
        entry("x-omnibus-time",
              i64_field(std::chrono::nanoseconds{time.time_since_epoch()}.count()))};
    received.begin(with_headers(entries), 0, false);
    return cursor.wants(received, ++tag, 1);
  }
  /// The channel is gone; everything before this tag was done.
  void lose(std::uint64_t first_open) {
    cursor.resume_after(first_open);
    tag = 0;
  }
  /// Where it enters the stream.
  std::string from() const {
    if (const auto* name = std::get_if<std::string>(&cursor.from())) return *name;
    if (const auto* offset = std::get_if<std::int64_t>(&cursor.from())) {
      return std::to_string(*offset);
    }
    if (const auto* time = std::get_if<Time>(&cursor.from())) {
      return "now" + std::to_string((*time - now) / 1s) + "s";
    }
    return "";
  }
};

Start from(Start::From what) {
  Start place;
  place.from = what;
  return place;
}
Start from(Position position) {
  Start place;
  place.from = Start::From::position;
  place.positions = {{0, position}};
  return place;
}
Start from(Time time) {
  Start place;
  place.from = Start::From::time;
  place.time = time;
  return place;
}

}  // namespace

TEST_CASE("rabbitmq: where a reader enters the log") {
  CHECK(SourceBench{from(Start::From::earliest)}.from() == "first");
  CHECK(SourceBench{from(Start::From::latest)}.from() == "next");
  CHECK(SourceBench{from(Position{17, 0})}.from() == "17");
  CHECK(SourceBench{from(Start::From::position)}.from() == "first");
  CHECK(SourceBench{from(now - 1h)}.from() == "now-3660s");
  CHECK(SourceBench{from(now + 1h)}.from() == "now-60s");  // what comes now may be of then
}

TEST_CASE("rabbitmq: a reader resumes at the first message that is not done") {
  SourceBench bench{from(Start::From::earliest)};
  CHECK(bench.comes(40));
  CHECK(bench.comes(41));
  CHECK(bench.comes(42));
  bench.lose(1);
  CHECK(bench.from() == "40");
  CHECK(bench.comes(40));
  CHECK(bench.comes(41));
  bench.lose(2);
  CHECK(bench.from() == "41");
  bench.lose(1);  // lost again before anything came
  CHECK(bench.from() == "41");
  CHECK(bench.comes(41));
  bench.lose(2);
  CHECK(bench.from() == "42");
}

TEST_CASE("rabbitmq: a reader to whom nothing came begins where it was told to") {
  SourceBench bench{from(Start::From::earliest)};
  bench.lose(1);
  CHECK(bench.from() == "first");
  SourceBench position{from(Position{17, 0})};
  position.lose(1);
  CHECK(position.from() == "17");
}

TEST_CASE("rabbitmq: a reader of what is new misses nothing while it is away") {
  SourceBench bench{from(Start::From::latest)};
  bench.lose(1);
  CHECK(bench.from() == "now-60s");
  bench.lose(1);
  CHECK(bench.from() == "now-60s");
  CHECK_FALSE(bench.comes(7, now - 1ns));  // before it had begun
  CHECK(bench.comes(8, now));
  CHECK(bench.comes(9, now - 1h));
  bench.lose(3);
  CHECK(bench.from() == "9");
}

TEST_CASE("rabbitmq: a reader of what is new takes whatever comes, whenever it was published") {
  SourceBench bench{from(Start::From::latest)};
  CHECK(bench.comes(7, now - 1h));
  bench.lose(2);
  CHECK(bench.from() == "8");
  CHECK(bench.comes(8, now - 1h));
}

TEST_CASE("rabbitmq: a reader from a time begins with the first message of that time") {
  SourceBench bench{from(now - 1h)};
  CHECK_FALSE(bench.comes(5, now - 1h - 1ns));
  CHECK_FALSE(bench.comes(6, now - 2h));
  CHECK(bench.comes(7, now - 1h));
  CHECK(bench.comes(8, now - 2h));  // from then on everything
}

TEST_CASE("rabbitmq: a reader from a time that lost its channel goes on looking for it") {
  SourceBench bench{from(now - 1h)};
  CHECK_FALSE(bench.comes(5, now - 2h));
  bench.lose(2);
  CHECK(bench.from() == "6");
  CHECK_FALSE(bench.comes(6, now - 2h));
  CHECK(bench.comes(7, now));
}

TEST_CASE("rabbitmq: a log that begins after the position has lost it") {
  SourceBench bench{from(Position{17, 0})};
  CHECK(bench.comes(20));
  CHECK(bench.cursor.lost());
  CHECK_FALSE(bench.cursor.lost());  // said once
  CHECK(bench.comes(21));
  CHECK_FALSE(bench.cursor.lost());
}

TEST_CASE("rabbitmq: a lost position is told though more has come before anybody asks") {
  SourceBench bench{from(Position{17, 0})};
  CHECK(bench.comes(20));
  CHECK(bench.comes(21));
  CHECK(bench.cursor.lost());
}

TEST_CASE("rabbitmq: a position that is there, or that comes back, is not lost") {
  SourceBench bench{from(Position{17, 0})};
  CHECK(bench.comes(17));
  CHECK_FALSE(bench.cursor.lost());
  bench.lose(2);
  CHECK(bench.comes(18));
  CHECK_FALSE(bench.cursor.lost());
  bench.lose(2);
  CHECK(bench.comes(25));  // retention took the rest while it was away
  CHECK(bench.cursor.lost());
  SourceBench first{from(Start::From::earliest)};
  CHECK(first.comes(500));
  CHECK_FALSE(first.cursor.lost());
}

TEST_CASE("rabbitmq: a reader that names no position starts at the earliest message") {
  SourceBench bench{from(Start::From::position)};
  CHECK(bench.comes(500));
  CHECK_FALSE(bench.cursor.lost());
}

TEST_CASE("rabbitmq: what the subscription of a group reads") {
  SubscriptionSpec spec;
  spec.topic = "orders";
  spec.group = "billing";
  spec.window = 10;
  Shape shape;
  shape.shards = 2;
  const Source source = sources::group(spec, shape);
  CHECK(source.queues ==
        std::vector<std::string>{"orders/billing/0", "orders/billing/1", "orders/held"});
  CHECK(source.held == "orders/held");
  CHECK(source.members.name == "orders/billing/members");
  CHECK(source.prefetch == 256);  // the same for every member, whatever its window
  CHECK(source.later_name == "orders/billing");
  CHECK_FALSE(source.is_log);
  CHECK(source.topology.size() == 1 + 1 + 2 * 2 + 1 + 1);
  spec.start.from = Start::From::latest;
  const Source newest = sources::group(spec, shape);
  CHECK(newest.queues == std::vector<std::string>{"orders/billing/0", "orders/billing/1"});
  CHECK(newest.held.empty());
}

TEST_CASE("rabbitmq: who leaves messages is handed out all that the protocol has a number for") {
  SubscriptionSpec spec;
  spec.topic = "orders.dlq";
  spec.group = "letters";
  CHECK_FALSE(sources::group(spec, {}).looks);
  spec.use = Use::pick;
  CHECK(sources::group(spec, {}).prefetch == 65535);
  CHECK_FALSE(sources::group(spec, {}).looks);
  spec.use = Use::look;
  CHECK(sources::group(spec, {}).prefetch == 65535);
  CHECK(sources::group(spec, {}).looks);
}

TEST_CASE("rabbitmq: what a reader of a log reads, whatever the shape says") {
  SubscriptionSpec spec;
  spec.topic = "orders";
  spec.window = 10;
  Shape shape;
  shape.hold = true;
  const VirtualClock clock;
  const Source source = sources::log(spec, shape, clock);
  CHECK(source.queues == std::vector<std::string>{"orders/log"});
  CHECK(source.is_log);
  CHECK(source.held.empty());
  CHECK(source.members.name.empty());
  CHECK(source.prefetch == 10);
  bool declares_log = false;
  for (const Declaration& each : source.topology) {
    const auto* queue = std::get_if<DeclareQueue>(&each);
    declares_log |= queue != nullptr && queue->name == "orders/log";
    CHECK((queue == nullptr || queue->name != "orders/held"));
  }
  CHECK(declares_log);
}

TEST_CASE("rabbitmq: a queue that somebody else made is looked for and not made") {
  SubscriptionSpec spec;
  spec.topic = "orders";
  spec.window = 100'000;
  const Source source = sources::given(spec, "theirs");
  CHECK(source.queues == std::vector<std::string>{"theirs"});
  CHECK(source.later_name == "theirs");
  CHECK(source.prefetch == 2000);
  REQUIRE(source.topology.size() == 1);
  const auto* queue = std::get_if<DeclareQueue>(&source.topology[0]);
  REQUIRE(queue != nullptr);
  CHECK(queue->passive);
  CHECK(queue->name == "theirs");
}
