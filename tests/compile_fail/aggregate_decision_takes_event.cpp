// expect: this is no decision. Write a callable that takes the state
// SPDX-License-Identifier: MIT
#include "accounts.hpp"

void use(const ob::Aggregate<ob::MemoryEventStore, Account>& accounts) {
#ifdef CORRECTED
  (void)accounts.execute("account-1", [](const Account&) { return Opened{}; });
#else
  (void)accounts.execute("account-1", [](const Opened& opened) { return opened; });
#endif
}
