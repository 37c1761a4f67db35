// SPDX-License-Identifier: MIT
#include <omnibus/memory_parked_store.hpp>

#include <omnibus/parked/suite.hpp>

#include <memory>
#include <string>
#include <vector>

#include "catch.hpp"

using namespace omnibus;

TEST_CASE("the parked store in memory passes the suite") {
  ParkedStoreSuite suite{[] { return std::make_unique<MemoryParkedStore>(); }};
  CHECK(suite.run() == std::vector<std::string>{});
}

TEST_CASE("a parked store in memory takes so many letters and no more") {
  MemoryParkedStore store{2};
  const ParkedPlace place{"g", "t"};
  CHECK(store.add(place, {"a", "1", "dlq"}));
  CHECK(store.add(place, {"b", "1", "dlq"}));
  CHECK(store.add(place, {"b", "1", "dlq"}));  // it is there
  const auto refused = store.add(place, {"a", "2", "dlq"});
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Errc::rejected);
  CHECK(refused.error().context.find("redrive or discard") != std::string::npos);
  CHECK(store.remove(place, "b", "1").value());
  CHECK(store.add(place, {"a", "2", "dlq"}));
}
