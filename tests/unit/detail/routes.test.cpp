// SPDX-License-Identifier: MIT
#include <omnibus/detail/routes.hpp>

#include <string>
#include <string_view>

#include "catch.hpp"

using namespace omnibus;

namespace {

struct Route {
  std::string exchange;
  bool ready = false;
};
using TestRoutes = detail::Routes<Route>;

}  // namespace

TEST_CASE("a route is made once, and stays where it is") {
  TestRoutes routes;
  int made = 0;
  std::string name = "first";
  const auto make = [&] {
    ++made;
    return Route{name};
  };
  Route& first = routes.get("a", make);
  CHECK(first.exchange == "first");
  name = "second";
  CHECK(&routes.get("a", make) == &first);
  Route& second = routes.get("b", make);
  CHECK(second.exchange == "second");
  for (int i = 0; i < 100; ++i) (void)routes.get("many " + std::to_string(i), make);
  CHECK(&routes.get("a", make) == &first);
  CHECK(&routes.get("b", make) == &second);
  CHECK(&routes.get("b", make) == &second);
  CHECK(made == 102);
}

TEST_CASE("every route is seen once") {
  TestRoutes routes;
  int seen = 0;
  routes.for_all([&](Route&) { ++seen; });
  CHECK(seen == 0);
  const auto make = [] { return Route{}; };
  for (const std::string_view name : {"a", "", "b", "a"}) (void)routes.get(name, make);
  routes.for_all([&](Route& route) {
    ++seen;
    route.ready = true;
  });
  CHECK(seen == 3);
  CHECK(routes.get("", make).ready);
}
