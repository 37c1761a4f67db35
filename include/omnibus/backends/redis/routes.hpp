// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include <omnibus/backends/redis/keys.hpp>
#include <omnibus/detail/routes.hpp>
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

using Routes = omnibus::detail::Routes<Route>;

}  // namespace omnibus::redis
