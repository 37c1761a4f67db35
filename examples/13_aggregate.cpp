// SPDX-License-Identifier: MIT
#include <cstdio>
#include <omnibus/codec/json.hpp>
#include <omnibus/event_store/aggregate.hpp>
#include <omnibus/event_store/memory.hpp>
#include <string>

namespace ob = omnibus;

struct Deposited {
  int amount;
};
struct Withdrawn {
  int amount;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Deposited, amount)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Withdrawn, amount)

template <>
struct omnibus::Codec<Deposited> : omnibus::JsonCodec<Deposited> {
  static constexpr std::string_view type = "deposited";
};
template <>
struct omnibus::Codec<Withdrawn> : omnibus::JsonCodec<Withdrawn> {
  static constexpr std::string_view type = "withdrawn";
};

struct Account {
  using Events = ob::EventTypes<Deposited, Withdrawn>;
  int balance = 0;
};

void evolve(Account& account, const Deposited& event) { account.balance += event.amount; }
void evolve(Account& account, const Withdrawn& event) { account.balance -= event.amount; }

ob::Result<Withdrawn> withdraw(const Account& account, int amount) {
  if (account.balance < amount) return ob::permanent("there are " + std::to_string(account.balance));
  return Withdrawn{amount};
}

int main() {
  ob::MemoryEventStore store;  // or SqliteEventStore: {.path = "accounts.db"}
  ob::Aggregate accounts{store, Account{}};

  const auto deposit_50 = [](const Account&) { return Deposited{50}; };
  const auto withdraw_20 = [](const Account& account) { return withdraw(account, 20); };
  const auto withdraw_40 = [](const Account& account) { return withdraw(account, 40); };

  accounts.execute("account-17", deposit_50, {.id = "c-1"}).value();
  auto done = accounts.execute("account-17", withdraw_20, {.id = "c-2"}).value();
  std::printf("%d left\n", done.state.balance);

  auto refused = accounts.execute("account-17", withdraw_40, {.id = "c-3"});
  std::printf("refused: %s\n", refused.error().context.c_str());

  done = accounts.execute("account-17", withdraw_20, {.id = "c-2"}).value();  // sent again
  if (done.appended.state == ob::Appended::State::already_appended) {
    std::printf("%d left, and nothing was done twice\n", done.state.balance);
  }

  const auto then = accounts.load("account-17", {.version = 1}).value();
  std::printf("after the first event: %d\n", then.state.balance);
}
