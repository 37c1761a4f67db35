// SPDX-License-Identifier: MIT
#include <omnibus/backends/redis/outbox.hpp>

#include <string>
#include <vector>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::redis;
using namespace omnibus::unit;

namespace {

const Instant start{1000s};

/// An outbox whose messages are called "0", "1", ..., and how they have ended.
struct Bench {
  Outbox outbox;
  std::vector<std::string> endings;
  Route route{};

  explicit Bench(std::size_t window = 8) : outbox{window, 1000} {}

  void add(int count, Instant deadline = Instant::max()) {
    for (int i = 0; i < count; ++i) {
      const std::size_t index = endings.size();
      endings.emplace_back("-");
      Outbox::Item& item = outbox.next_free();
      item.command = std::to_string(index);
      item.route = &route;
      item.shard = static_cast<std::int32_t>(index);
      outbox.push(
          [this, index](const Result<Receipt>& result) {
            CHECK(endings[index] == "-");
            endings[index] = result ? "ok " + std::to_string(result->position.major)
                                    : std::string{to_string(result.error().code)};
          },
          deadline);
    }
  }
  /// Writes what there is, at most so many; returns it.
  std::string write(int most = 1000) {
    std::string written;
    for (; most > 0; --most) {
      Outbox::Item* item = outbox.to_write();
      if (item == nullptr) break;
      written.append(item->command);
      outbox.written();
    }
    return written;
  }
  void ok(std::uint64_t major) { outbox.answered(Receipt{0, {major, 0}}); }
  std::string all() const {
    std::string text;
    for (const auto& each : endings) text.append(text.empty() ? "" : ", ").append(each);
    return text;
  }
};

const Error refused = Error::make(Errc::rejected, "publish", "OOM");
const Error late = Error::make(Errc::unavailable, "publish", "late");

}  // namespace

TEST_CASE("redis: replies come in the order of writing") {
  Bench bench;
  bench.add(4);
  CHECK(bench.outbox.unwritten_bytes() == 4);
  CHECK(bench.write(3) == "012");
  CHECK(bench.outbox.under_way() == 3);
  CHECK(bench.outbox.unwritten_bytes() == 1);
  bench.ok(10);
  bench.outbox.answered(refused);
  bench.ok(12);
  CHECK(bench.all() == "ok 10, rejected, ok 12, -");
  CHECK(bench.outbox.ended() == 3);
  CHECK(bench.outbox.under_way() == 0);
}

TEST_CASE("redis: after a lost connection everything without an ending goes again, in order") {
  Bench bench;
  bench.add(4);
  bench.write(3);
  bench.ok(10);
  bench.outbox.restart();
  CHECK(bench.write() == "123");
  bench.ok(11);
  bench.outbox.answered(refused);  // it may have been taken the first time
  bench.outbox.answered(refused);  // this one went for the first time
  CHECK(bench.all() == "ok 10, ok 11, outcome_unknown, rejected");
}

TEST_CASE("redis: where nothing may go twice, what was written ends with the connection") {
  Bench bench;
  bench.add(2);
  bench.add(1, start);
  bench.add(3);
  bench.write(2);
  bench.ok(10);
  bench.outbox.expire(start, late);  // unwritten, between those that are
  bench.write(1);
  bench.outbox.give_up_written(Error::make(Errc::unavailable, "read", "gone"));
  bench.outbox.restart();
  CHECK(bench.all() == "ok 10, outcome_unknown, unavailable, outcome_unknown, -, -");
  CHECK(bench.write() == "45");
  bench.ok(14);
  bench.ok(15);
  CHECK(bench.all() == "ok 10, outcome_unknown, unavailable, outcome_unknown, ok 14, ok 15");
  CHECK(bench.outbox.ended() == 6);
  CHECK(bench.outbox.under_way() == 0);
  bench.add(8);
  CHECK(bench.write() == "678910111213");  // every slot is free again
}

TEST_CASE("redis: deadlines end messages, written ones with an unknown outcome") {
  Bench bench;
  bench.add(2, start + 1s);
  bench.add(1, start + 3s);
  bench.write(1);
  CHECK(bench.outbox.earliest() == start + 1s);
  bench.outbox.expire(start + 2s, late);
  CHECK(bench.all() == "outcome_unknown, unavailable, -");
  CHECK(bench.outbox.earliest() == start + 3s);
  CHECK(bench.write() == "2");  // the second was not written, and must not be
  bench.ok(10);                 // of the first: too late
  bench.ok(12);
  CHECK(bench.all() == "outcome_unknown, unavailable, ok 12");
  CHECK(bench.outbox.ended() == 3);
  CHECK(bench.outbox.under_way() == 0);
}

TEST_CASE("redis: a slot whose reply is owed is not used again") {
  Bench bench{4};
  bench.add(4, start);
  bench.write();
  bench.outbox.expire(start, late);
  CHECK(bench.outbox.ended() == 4);
  CHECK_FALSE(bench.outbox.has_room());
  bench.ok(1);
  CHECK(bench.outbox.has_room());
  bench.outbox.restart();  // nobody will answer the rest
  bench.add(4);
  CHECK(bench.write() == "4567");
  for (std::uint64_t i = 4; i < 8; ++i) bench.ok(i);
  CHECK(bench.all() ==
        "outcome_unknown, outcome_unknown, outcome_unknown, outcome_unknown, ok 4, ok 5, ok 6, ok 7");
}

TEST_CASE("redis: the window is bounded in messages and in bytes") {
  Bench bench{3};
  bench.add(3);
  CHECK_FALSE(bench.outbox.has_room());
  bench.write();
  for (int i = 0; i < 3; ++i) bench.ok(1);
  CHECK(bench.outbox.has_room());
  Outbox::Item& item = bench.outbox.next_free();
  item.command = std::string(2000, 'x');
  bench.outbox.push([](const Result<Receipt>&) {}, Instant::max());
  CHECK_FALSE(bench.outbox.has_room());
}

TEST_CASE("redis: what replicas must have ends when they have it") {
  Bench bench;
  bench.add(3);
  bench.write(2);
  bench.outbox.accepted({10, 0});
  bench.outbox.accepted({11, 0});
  CHECK(bench.all() == "-, -, -");
  bench.outbox.settle_accepted(2, true);
  CHECK(bench.all() == "ok 10, ok 11, -");
  bench.write(1);
  bench.outbox.accepted({12, 0});
  bench.outbox.settle_accepted(3, false);
  CHECK(bench.all() == "ok 10, ok 11, outcome_unknown");
  CHECK(bench.outbox.ended() == 3);
}

TEST_CASE("redis: a replica that did not answer before the connection was lost is asked again") {
  Bench bench;
  bench.add(2);
  bench.write();
  bench.outbox.accepted({10, 0});
  bench.outbox.restart();
  CHECK(bench.write() == "01");
  bench.ok(20);
  bench.ok(21);
  CHECK(bench.all() == "ok 20, ok 21");
}

TEST_CASE("redis: messages of a refused route end, others go on") {
  Bench bench;
  Route other{};
  bench.add(1);
  bench.outbox.next_free();
  bench.add(2);
  int seen = 0;
  bench.outbox.end_if([&](std::uint64_t, const Outbox::Item&) { return seen++ == 1; },
                      [](const Outbox::Item&) { return refused; });
  CHECK(bench.all() == "-, rejected, -");
  CHECK(bench.write() == "02");
  bench.ok(1);
  bench.ok(2);
  CHECK(bench.all() == "ok 1, rejected, ok 2");
  CHECK(bench.outbox.ended() == 3);
}
