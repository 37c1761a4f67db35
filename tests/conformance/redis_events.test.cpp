// SPDX-License-Identifier: MIT
#include <memory>
#include <string>

#include <omnibus/event_store/redis.hpp>
#include <omnibus/event_store/suite.hpp>

#include "catch.hpp"
#include "redis_fixture.hpp"
#include "redis_raw.hpp"
#include "tools.hpp"

// Events on a real server.

namespace {

using namespace conformance;

struct Setup {
  RedisStreamsFixture f{};
  Raw raw;
  const Restore fsync{raw, "appendfsync"};
  const std::string prefix = f.topic();
  std::chrono::milliseconds deadline = 20s;

  /// What the disk has is not the matter here, and waiting for it takes half a minute.
  Setup() { REQUIRE(raw({"CONFIG", "SET", "appendfsync", "everysec"}) == "OK"); }
  ob::RedisEventStoreOptions options() const { return {.endpoint = f.endpoint(), .prefix = prefix}; }
};

TEST_CASE("the Redis event store does what a store has to") {
  Setup s;
  int made = 0;
  ob::RedisEventStoreOptions options;
  const auto again = [&] { return std::make_unique<ob::RedisEventStore>(options); };
  const auto make = [&] {
    options = s.options();
    options.prefix += "." + std::to_string(++made);
    return again();
  };
  ob::EventStoreSuite suite{make, again};
  for (const std::string& each : suite.run()) FAIL_CHECK(each);
}

}  // namespace
