// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <omnibus/omnibus.hpp>
#include <random>
#include <string>
#include <unordered_map>

#include "order_events.hpp"

// A payment gateway as one meets them: now and then it is busy, some cards are declined, and it
// takes no order's money twice. What it does depends on the seed alone, not on the order of calls.

namespace shop {

struct GatewayOptions {
  std::uint64_t seed = 4;
  double fail_rate = 0.2;      ///< of the calls: busy, try again
  double decline_rate = 0.02;  ///< of the orders: declined, whenever one asks
};

/// Thread safety: all members may be called from any thread.
class Gateway {
 public:
  /// What has been asked of it, one payment an order, and what became of it.
  struct Totals {
    std::size_t asked = 0, charged = 0, declined = 0, unsettled = 0;
    Cents asked_cents = 0, charged_cents = 0;
    std::size_t busy = 0;  ///< calls that failed and may be repeated
  };

  explicit Gateway(GatewayOptions options) : options_{options} {}

  /// Takes the money. Errors: retryable when it is busy; permanent when the card is declined or the
  /// order has been charged before.
  omnibus::Result<> charge(const std::string& order, Cents amount) {
    std::lock_guard lock{mutex_};
    Account& account = accounts_.try_emplace(order, Account{amount}).first->second;
    if (account.charged) return omnibus::permanent("the order was charged before");
    account.declined = chance(order, 0) < options_.decline_rate;
    if (account.declined) return omnibus::permanent("the card was declined");
    if (chance(order, ++account.calls) < options_.fail_rate) {
      ++busy_;
      return omnibus::retryable("the gateway is busy");
    }
    account.charged = true;
    account.amount = amount;
    return {};
  }

  Totals totals() const {
    std::lock_guard lock{mutex_};
    Totals totals;
    totals.busy = busy_;
    for (const auto& [order, account] : accounts_) {
      ++totals.asked;
      totals.asked_cents += account.amount;
      if (account.charged) totals.charged_cents += account.amount;
      ++(account.charged ? totals.charged : account.declined ? totals.declined : totals.unsettled);
    }
    return totals;
  }

 private:
  struct Account {
    Cents amount = 0;
    std::uint32_t calls = 0;
    bool charged = false;
    bool declined = false;
  };

  /// A number in [0, 1) that belongs to this call of this order.
  double chance(const std::string& order, std::uint32_t call) const {
    std::mt19937_64 dice{std::hash<std::string>{}(order) ^ (options_.seed << 8) ^ call};
    return std::uniform_real_distribution<>{}(dice);
  }

  const GatewayOptions options_;
  mutable std::mutex mutex_;
  std::unordered_map<std::string, Account> accounts_;
  std::size_t busy_ = 0;
};

}  // namespace shop
