// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <omnibus/backends/rabbitmq/topology.hpp>
#include <omnibus/error.hpp>
#include <omnibus/time.hpp>

// Where messages can go.

namespace omnibus::rabbitmq {

/// Where messages go, and what must stand there before the first of them.
struct Route {
  std::string exchange;
  Topology topology = {};
  enum class State : std::uint8_t { unknown, asked, ready, refused };
  State state = State::unknown;  ///< on this connection; of the thread that owns it
  Error problem = {};            ///< why it was refused
  Instant ask_again = {};        ///< when a refusal is worth another question
  Instant refuses_since = Instant::max();  ///< its queues have taken no message since, but refused some
  Instant refused_last = {};               ///< the last time they did
};

/// Routes by name. They are never forgotten: there are as many as topics.
/// Thread safety: shared objects are safe.
class Routes {
 public:
  /// The route of this name, made by `make` when there is none. Lifetime: of the table.
  template <class Make>
  Route& get(std::string_view name, Make& make) {
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
  Table::value_type* last_ = nullptr;
};

}  // namespace omnibus::rabbitmq
