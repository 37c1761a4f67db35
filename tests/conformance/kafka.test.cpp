// SPDX-License-Identifier: MIT
#include "all.hpp"
#include "catch.hpp"
#include "kafka_fixture.hpp"
#include "run.hpp"

// The suite on a real Kafka. OMNIBUS_SCALE=<number> makes the big cases bigger,
// OMNIBUS_SEED=<number> repeats the random choices of a run.

namespace {

using namespace conformance;

TEST_CASE("Kafka keeps the contracts") {
  static const auto suite = make_suite<KafkaFixture>();
  for (const auto& each : suite.cases()) {
    DYNAMIC_SECTION(each.name) {
      KafkaFixture fixture{.seed = run_seed()};
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

TEST_CASE("what Kafka cannot do is left out, never silently") {
  const auto suite = make_suite<KafkaFixture>();
  print_left_out(suite, "kafka");
  CHECK(suite.left_out().size() == 9);
}

}  // namespace
