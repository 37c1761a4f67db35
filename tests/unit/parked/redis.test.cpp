// SPDX-License-Identifier: MIT
#include <omnibus/parked/redis.hpp>

#include <stdexcept>
#include <string>

#include "catch.hpp"
#include "unit/tools.hpp"

// What a server does with parked keys is tested on a real one: tests/conformance/redis_parked.test.cpp.

using namespace omnibus;
using namespace omnibus::unit;

TEST_CASE("redis parked: options that can never work are refused by name") {
  const auto refused = [](const RedisParkedStoreOptions& options, const char* words) {
    return throws_saying<std::invalid_argument>([&] { RedisParkedStore store{options}; }, words);
  };
  CHECK(refused({.endpoint = "localhost"}, "RedisParkedStore: endpoint"));
  CHECK(refused({.endpoint = "rediss://localhost"}, "redis_tls()"));
  CHECK(refused({.prefix = "a{b}"}, "prefix"));
  CHECK(refused({.timeout = 0s}, "RedisParkedStore: timeout"));
}
