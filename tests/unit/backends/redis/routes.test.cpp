// SPDX-License-Identifier: MIT
#include <omnibus/backends/redis/routes.hpp>

#include "catch.hpp"

using namespace omnibus::redis;

TEST_CASE("redis: a route is made once, and stays where it is") {
  Routes routes;
  int made = 0;
  const auto make = [&] {
    ++made;
    return Route{TopicKeys::of_topic("t", 1)};
  };
  Route& a = routes.get("a", make);
  Route& b = routes.get("b", make);
  CHECK(&routes.get("a", make) == &a);
  CHECK(&routes.get("b", make) == &b);
  CHECK(made == 2);
  int count = 0;
  routes.for_all([&](Route&) { ++count; });
  CHECK(count == 2);
}
