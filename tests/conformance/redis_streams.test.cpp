// SPDX-License-Identifier: MIT
#include "all.hpp"
#include "catch.hpp"
#include "redis_fixture.hpp"
#include "run.hpp"

// The suite on a real Redis. OMNIBUS_SCALE=<number> makes the big cases bigger,
// OMNIBUS_SEED=<number> repeats the random choices of a run.

namespace {

using namespace conformance;

TEST_CASE("Redis Streams keep the contracts") {
  static const auto suite = make_suite<RedisStreamsFixture>();
  for (const auto& each : suite.cases()) {
    DYNAMIC_SECTION(each.name) {
      RedisStreamsFixture fixture{.seed = run_seed()};
      if (const char* scale = std::getenv("OMNIBUS_SCALE")) {
        fixture.scale = std::strtoul(scale, nullptr, 10);
      }
      const auto start = Clock::now();
      const auto problem = verdict(each, fixture);
      INFO("OMNIBUS_SEED=" << fixture.seed);
      if (problem) FAIL(*problem);
      CHECK(Clock::now() - start < fixture.deadline);  // nothing ends well by a timeout
    }
  }
}

TEST_CASE("what Redis Streams cannot do is left out, never silently") {
  const auto suite = make_suite<RedisStreamsFixture>();
  print_left_out(suite, "redis_streams");
  CHECK(suite.left_out().size() == 2);
}

}  // namespace
