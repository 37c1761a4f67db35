// SPDX-License-Identifier: MIT
#include <omnibus/retry_budget.hpp>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;

TEST_CASE("a budget has its reserve at first, and earns a share of a retry with each success") {
  RetryBudget budget{{.ratio = 0.25, .reserve = 2}};
  CHECK(budget.spend());
  CHECK(budget.spend());
  CHECK_FALSE(budget.spend());
  for (int i = 0; i < 3; ++i) budget.earn();
  CHECK_FALSE(budget.spend());
  budget.earn();
  CHECK(budget.spend());
  CHECK_FALSE(budget.spend());
}

TEST_CASE("a budget saves no more than its reserve") {
  RetryBudget budget{{.ratio = 10, .reserve = 3}};
  for (int i = 0; i < 100; ++i) budget.earn();
  for (int i = 0; i < 3; ++i) CHECK(budget.spend());
  CHECK_FALSE(budget.spend());
}

TEST_CASE("options of a budget that can never work are refused by name") {
  CHECK(throws_saying<std::invalid_argument>([] { RetryBudget budget{{.ratio = 0}}; }, "ratio"));
  CHECK(throws_saying<std::invalid_argument>([] { RetryBudget budget{{.reserve = 0}}; }, "reserve"));
}
