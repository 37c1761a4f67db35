// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

// Where messages go, and what a publisher knows of each place.

namespace omnibus::detail {

/// Routes by name. They are never forgotten: there are as many as topics.
/// Thread safety: shared objects are safe.
template <class Route>
class Routes {
 public:
  /// The route of this name, made by `make` when there is none. Lifetime: of the table.
  template <class Make>
  Route& get(std::string_view name, Make&& make) {
    std::lock_guard lock{mutex_};
    if (last_ != nullptr && last_->first == name) return *last_->second;
    auto found = routes_.find(name);
    if (found == routes_.end()) {
      found = routes_.emplace(std::string{name}, std::make_unique<Route>(make())).first;
    }
    last_ = &*found;
    return *found->second;
  }

  /// Calls `each` for every route.
  template <class Each>
  void for_all(Each each) {
    std::lock_guard lock{mutex_};
    for (const auto& [name, route] : routes_) each(*route);
  }

 private:
  using Table = std::map<std::string, std::unique_ptr<Route>, std::less<>>;
  std::mutex mutex_;
  Table routes_;
  typename Table::value_type* last_ = nullptr;
};

}  // namespace omnibus::detail
