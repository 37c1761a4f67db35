// SPDX-License-Identifier: MIT
#include <omnibus/backends/redis_pubsub.hpp>

#include "all.hpp"
#include "catch.hpp"
#include "redis_fixture.hpp"
#include "run.hpp"

// The suite on a real Redis. OMNIBUS_SCALE=<number> makes the big cases bigger,
// OMNIBUS_SEED=<number> repeats the random choices of a run.

namespace {

using namespace conformance;

/// A real Redis, whose URL is in OMNIBUS_REDIS: tests/brokers/with redis -- program.
struct RedisPubSubFixture {
  using Backend = Faulty<ob::RedisPubSub>;

  std::chrono::milliseconds deadline = std::chrono::seconds{30};
  std::size_t scale = 1000;
  std::uint64_t seed = 1;
  std::shared_ptr<Sabotage> sabotage = std::make_shared<Sabotage>(Fault::none);

  Backend::Config config(std::string group = "g") const {
    return {{.endpoint = RedisStreamsFixture::endpoint(), .group = std::move(group)}, sabotage};
  }
  std::string topic() { return RedisStreamsFixture{}.topic(); }
  void crash(ob::EventBus<Backend>& bus) const { bus.backend().crash(); }
  void answer(const std::string& topic_name, ob::Errc code, int times) const {
    sabotage->answer(topic_name, code, times);
  }
  std::size_t answered(const std::string& topic_name) const {
    return sabotage->answered(topic_name);
  }
};

TEST_CASE("Redis Pub/Sub keeps the contracts that it can keep") {
  static const auto suite = make_suite<RedisPubSubFixture>();
  for (const auto& each : suite.cases()) {
    DYNAMIC_SECTION(each.name) {
      RedisPubSubFixture fixture{.seed = run_seed()};
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

TEST_CASE("what Redis Pub/Sub cannot do is left out, never silently") {
  const auto suite = make_suite<RedisPubSubFixture>();
  print_left_out(suite, "redis_pubsub");
  CHECK(suite.cases().size() + suite.left_out().size() ==
        make_suite<RedisStreamsFixture>().cases().size() +
            make_suite<RedisStreamsFixture>().left_out().size());
}

}  // namespace
