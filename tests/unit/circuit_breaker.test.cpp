// SPDX-License-Identifier: MIT
#include <omnibus/circuit_breaker.hpp>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;
using State = CircuitBreaker::State;

namespace {

/// A breaker and a time.
struct Bench {
  CircuitBreaker breaker{{.failures = 3, .open_for = 10s, .max = 60s}};
  Instant now{1h};

  std::uint64_t admitted() {
    const auto admission = breaker.admit(now);
    CHECK(admission.admitted);
    return admission.turn;
  }
  void fail(int times) {
    for (int i = 0; i < times; ++i) breaker.failed(admitted(), now);
  }
};

}  // namespace

TEST_CASE("a breaker opens after so many failures in a row, and not before") {
  Bench bench;
  bench.fail(2);
  bench.breaker.succeeded(bench.admitted());
  bench.fail(2);
  CHECK(bench.breaker.state() == State::closed);
  bench.fail(1);
  CHECK(bench.breaker.state() == State::open);
  const auto refused = bench.breaker.admit(bench.now);
  CHECK_FALSE(refused.admitted);
  CHECK(refused.again == bench.now + 10s);
}

TEST_CASE("an open breaker lets one through when its time is over, and closes when that succeeds") {
  Bench bench;
  bench.fail(3);
  bench.now += 9s;
  CHECK_FALSE(bench.breaker.admit(bench.now).admitted);
  bench.now += 1s;
  const auto probe = bench.admitted();
  CHECK(bench.breaker.state() == State::half_open);
  const auto other = bench.breaker.admit(bench.now);
  CHECK_FALSE(other.admitted);
  CHECK(other.again > bench.now);
  bench.breaker.succeeded(probe);
  CHECK(bench.breaker.state() == State::closed);
  bench.fail(2);  // counts from zero again
  CHECK(bench.breaker.state() == State::closed);
}

TEST_CASE("while it does not help, a breaker is open for longer each time, up to its longest") {
  Bench bench;
  bench.fail(3);
  for (const auto open : {10s, 20s, 40s, 60s, 60s}) {
    CHECK(bench.breaker.admit(bench.now).again == bench.now + open);
    bench.now += open;
    bench.fail(1);
  }
}

TEST_CASE("one that says nothing leaves it to the next to find out") {
  Bench bench;
  bench.fail(3);
  bench.now += 10s;
  bench.breaker.abstained(bench.admitted());
  bench.breaker.succeeded(bench.admitted());
  CHECK(bench.breaker.state() == State::closed);
  bench.breaker.abstained(bench.admitted());
  CHECK(bench.breaker.state() == State::closed);
}

TEST_CASE("what was admitted before a breaker opened neither closes it nor counts again") {
  Bench bench;
  const auto early = bench.admitted();
  bench.fail(3);
  bench.breaker.succeeded(early);
  CHECK(bench.breaker.state() == State::open);
  bench.now += 10s;
  const auto probe = bench.admitted();
  bench.breaker.failed(early, bench.now);
  bench.breaker.abstained(early);
  CHECK(bench.breaker.state() == State::half_open);
  bench.breaker.succeeded(probe);
  CHECK(bench.breaker.state() == State::closed);
}

TEST_CASE("options of a breaker that contradict each other are refused by name") {
  const auto refused = [](CircuitBreakerOptions options, std::string_view name) {
    return throws_saying<std::invalid_argument>([&] { CircuitBreaker breaker{options}; }, name);
  };
  CHECK(refused({.failures = 0}, "failures"));
  CHECK(refused({.open_for = 0s}, "open_for"));
  CHECK(refused({.open_for = 10s, .max = 9s}, "max"));
}
