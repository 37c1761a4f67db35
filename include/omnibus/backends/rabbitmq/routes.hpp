// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>

#include <omnibus/backends/rabbitmq/topology.hpp>
#include <omnibus/detail/routes.hpp>
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

using Routes = omnibus::detail::Routes<Route>;

}  // namespace omnibus::rabbitmq
