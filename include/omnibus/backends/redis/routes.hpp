// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include <omnibus/backends/redis/keys.hpp>
#include <omnibus/error.hpp>
#include <omnibus/time.hpp>

// Where messages can go.

namespace omnibus::redis {

/// Where messages of one topic go, and what is known of it.
struct Route {
  TopicKeys keys;
  enum class State : std::uint8_t {
    unknown,
    asked,    ///< how many shards the topic has
    ready,
    refused,
  };
  State state = State::unknown;        ///< on this connection; of the thread that owns it
  Error problem = {};                  ///< why it was refused
  Instant ask_again = Instant::min();  ///< when a refusal is worth another question
  Instant due = Instant::max();        ///< when something that was delayed has to be moved
};

/// Routes by topic. They are never forgotten: there are as many as topics.
/// Thread safety: shared objects are safe.
class Routes {
 public:
  /// The route of this topic, made by `make` when there is none. Lifetime: of the table.
  template <class Make>
  Route& get(std::string_view topic, Make make) {
    std::lock_guard lock{mutex_};
    if (last_ != nullptr && last_->first == topic) return *last_->second;
    auto found = routes_.find(topic);
    if (found == routes_.end()) {
      found = routes_.emplace(std::string{topic}, std::make_unique<Route>(make())).first;
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

}  // namespace omnibus::redis
