// SPDX-License-Identifier: MIT
#pragma once

#include <map>
#include <mutex>
#include <omnibus/omnibus.hpp>
#include <string>
#include <unordered_map>

#include "life_cycle.hpp"
#include "order_events.hpp"

// The state of every order, built from its events.

namespace shop {

/// Thread safety: all members may be called from any thread.
class OrderBook {
 public:
  /// Moves an order on. Errors: permanent, when the event contradicts the order's life cycle.
  template <class E>
  omnibus::Result<> apply(const E& event) {
    std::lock_guard lock{mutex_};
    const auto found = orders_.find(event.order);
    const Order order = found == orders_.end() ? Order{} : found->second;
    if (const auto why = contradiction(order, E::leads_to, event.time)) {
      return omnibus::permanent(*why);
    }
    orders_[event.order] = {E::leads_to, event.time};
    return {};
  }

  /// How many orders there are in each state.
  std::map<State, std::size_t> by_state() const {
    std::lock_guard lock{mutex_};
    std::map<State, std::size_t> counts;
    for (const auto& [name, order] : orders_) ++counts[order.state];
    return counts;
  }

 private:
  mutable std::mutex mutex_;
  std::unordered_map<std::string, Order> orders_;
};

/// A handler that enters the events E... in a book.
template <class... E>
auto entering(OrderBook& book) {
  return omnibus::handlers([&book](const E& event) { return book.apply(event); }...);
}

}  // namespace shop
