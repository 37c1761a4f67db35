// SPDX-License-Identifier: MIT
#include <omnibus/backends/redis_tls.hpp>

#include <stdexcept>
#include <string>

#include "catch.hpp"
#include "unit/tools.hpp"

// What travels is tested on the real server: tests/chaos/redis/tls.test.cpp.

using namespace omnibus;
using namespace omnibus::unit;

TEST_CASE("redis tls: files that cannot be used are refused at once, by field and name") {
  const std::string nowhere = "no such file.pem", nothing = "/dev/null";
  const auto refused = [](const RedisTls& options, const char* words) {
    return throws_saying<std::invalid_argument>([&] { (void)redis_tls(options); }, words);
  };
  CHECK(refused({.ca = nowhere}, ".ca cannot be read: no such file.pem"));
  CHECK(refused({.ca = nothing}, ".ca cannot be read"));
  CHECK(refused({.certificate = nowhere, .key = nowhere}, ".certificate cannot be read: no such file.pem"));
  CHECK(refused({.certificate = nowhere}, "go together"));
  CHECK(refused({.key = nowhere}, "go together"));
  CHECK(redis_tls() != nullptr);
}
