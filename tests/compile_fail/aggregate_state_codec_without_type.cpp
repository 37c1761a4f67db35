// expect: the codec of the state has no type, by which its snapshots are found
// SPDX-License-Identifier: MIT
#include "accounts.hpp"

template <>
struct omnibus::Codec<Account> : EmptyCodec<Account> {
#ifdef CORRECTED
  static constexpr std::string_view type = "account.v1";
#endif
};

void use(ob::MemoryEventStore& store) { ob::Aggregate accounts{store, Account{}}; }
