// expect: a decision returns what happens. Return an event that State::Events lists
// SPDX-License-Identifier: MIT
#include <vector>

#include "accounts.hpp"

void use(const ob::Aggregate<ob::MemoryEventStore, Account>& accounts) {
#ifdef CORRECTED
  (void)accounts.execute("account-1", [](const Account&) { return ob::Result{std::vector{Opened{}}}; });
#else
  (void)accounts.execute("account-1", [](const Account&) { return ob::Result{std::vector{Closed{}}}; });
#endif
}
