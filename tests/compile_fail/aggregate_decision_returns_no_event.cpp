// expect: a decision returns what happens. Return an event that State::Events lists
// SPDX-License-Identifier: MIT
#include "accounts.hpp"

void use(const ob::Aggregate<ob::MemoryEventStore, Account>& accounts) {
#ifdef CORRECTED
  (void)accounts.execute("account-1", [](const Account&) { return Opened{}; });
#else
  (void)accounts.execute("account-1", [](const Account& account) { return !account.is_open; });
#endif
}
