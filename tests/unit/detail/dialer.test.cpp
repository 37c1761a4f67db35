// SPDX-License-Identifier: MIT
#include <omnibus/detail/dialer.hpp>

#include <memory>
#include <string>
#include <vector>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;

// What Redial does is tested beside RabbitMQ's dialer.

namespace {

struct Options {
  std::vector<std::string> endpoints;
};

struct Line {
  std::string to;
  static Result<std::unique_ptr<Line>> open(const std::string& endpoint, const Options&) {
    if (endpoint == "dead") return Error::make(Errc::unavailable, "connect", "it is dead");
    return std::make_unique<Line>(Line{endpoint});
  }
};

}  // namespace

TEST_CASE("dialer: what fails is tried at the next endpoint, and who rings has an outcome") {
  Watched<int> rung;
  detail::Dialer<Line, Options> dialer{{{"dead", "alive"}},
                                       [&] { rung.change([](int& count) { ++count; }); }};
  const Instant start{1000s};
  CHECK_FALSE(dialer.dial(start).has_value());
  CHECK(dialer.due() == Instant::max());
  REQUIRE(rung.wait([](int count) { return count == 1; }));
  auto outcome = dialer.dial(start);
  REQUIRE(outcome.has_value());
  REQUIRE_FALSE(outcome->has_value());
  const Instant next = dialer.due() > start ? dialer.due() : start;
  CHECK_FALSE(dialer.dial(next).has_value());
  REQUIRE(rung.wait([](int count) { return count == 2; }));
  outcome = dialer.dial(next);
  REQUIRE(outcome.has_value());
  REQUIRE(outcome->has_value());
  CHECK((**outcome)->to == "alive");
}
