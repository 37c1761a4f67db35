// SPDX-License-Identifier: MIT
#include <omnibus/consumer_state.hpp>

#include <thread>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;

namespace {

Instant in(Duration time) { return std::chrono::steady_clock::now() + time; }
const Error denied = Error::make(Errc::access_denied, "consume orders");

}  // namespace

TEST_CASE("something is wrong with a consumer until it has reported otherwise") {
  ConsumerState state;
  REQUIRE(state.problem());
  CHECK(state.problem()->code == Errc::unavailable);
  state.report(nullptr);
  CHECK_FALSE(state.problem());
  state.report(&denied);
  REQUIRE(state.problem());
  CHECK(state.problem()->code == Errc::access_denied);
  CHECK(state.problem()->operation == "consume orders");
}

TEST_CASE("who waits for a consumer is told at the deadline what keeps it") {
  ConsumerState state;
  CHECK(state.wait_registered(Instant::min())->code == Errc::unavailable);
  state.report(&denied);
  CHECK(state.wait_registered(in(1ms))->code == Errc::access_denied);
  CHECK_FALSE(state.wait_ended(in(1ms)));
  state.report(nullptr);
  CHECK_FALSE(state.wait_registered(Instant::min()));
  CHECK_FALSE(state.wait_ended(Instant::min()));
}

TEST_CASE("a consumer that has ended is closed, and nobody waits for it") {
  const Result<> result = GENERATE(Result<>{}, Result<>{denied});
  ConsumerState state;
  state.report(nullptr);
  state.end(result);
  CHECK(state.problem()->code == Errc::closed);
  CHECK(state.wait_registered(Instant::max())->code == Errc::closed);
  CHECK(state.wait_ended(Instant::max()));
  CHECK(static_cast<bool>(state.closed()) == static_cast<bool>(result));
}

TEST_CASE("a wait for a consumer goes on over problems, until it is registered") {
  for (int round = 0; round < 200; ++round) {
    ConsumerState state;
    std::thread consumer{[&state] {
      state.report(&denied);
      state.report(nullptr);
    }};
    const Instant deadline = in(patience);
    CHECK_FALSE(state.wait_registered(deadline));
    CHECK(std::chrono::steady_clock::now() < deadline);
    consumer.join();
  }
}

TEST_CASE("the end of a consumer wakes all who wait") {
  for (int round = 0; round < 200; ++round) {
    ConsumerState state;
    const Instant deadline = in(patience);
    std::optional<Error> problem;
    bool ended = false;
    std::thread first{[&] { problem = state.wait_registered(deadline); }};
    std::thread second{[&] { ended = state.wait_ended(deadline); }};
    state.end({});
    first.join();
    second.join();
    CHECK(std::chrono::steady_clock::now() < deadline);
    CHECK(problem->code == Errc::closed);
    CHECK(ended);
  }
}
