// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <omnibus/backends/kafka/producer.hpp>
#include <omnibus/error.hpp>

// The topics that are published to, and what waits for them.

namespace omnibus::kafka {

/// One topic. Messages go to librdkafka when the topic is known to be there, and wait here until then.
struct Route {
  enum class State : std::uint8_t {
    unknown,   ///< it has to be looked up
    creating,  ///< the broker has been asked to make it
    ready,
  };
  struct Waiting {
    std::uint64_t number;
    Record record;
    bool doubtful = false;  ///< it was sent before, and the broker may have it
  };

  TopicPlan plan;
  std::string like;  ///< made with as many partitions as this topic has; empty: see the plan
  State state = State::unknown;
  Instant ask_again = Instant::min();
  Topic topic;       ///< of the current producer; none yet
  std::deque<Waiting> waiting;  ///< in order
  int fewest_in_sync = 0;

  /// Puts what has to go again in its place: what comes back comes nearly in order.
  void wait_again(Waiting again) {
    auto before = waiting.end();
    while (before != waiting.begin() && std::prev(before)->number > again.number) --before;
    waiting.insert(before, std::move(again));
  }
};

/// All of them. A route stays where it is.
class Routes {
 public:
  Route* find(std::string_view name) const {
    const auto found = routes_.find(name);
    return found == routes_.end() ? nullptr : found->second.get();
  }
  Route& add(TopicPlan plan, std::string like) {
    auto route = std::make_unique<Route>();
    route->plan = std::move(plan);
    route->like = std::move(like);
    return *routes_.emplace(route->plan.name, std::move(route)).first->second;
  }
  template <class Do>
  void for_all(Do what) const {
    for (const auto& [name, route] : routes_) what(*route);
  }

 private:
  std::map<std::string, std::unique_ptr<Route>, std::less<>> routes_;
};

}  // namespace omnibus::kafka
