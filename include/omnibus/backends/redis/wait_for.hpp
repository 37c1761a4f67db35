// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>

#include <omnibus/time.hpp>

// What a publisher waits for before a message has a good ending.

namespace omnibus::redis {

/// When a message counts as taken.
struct WaitFor {
  std::size_t replicas = 0;  ///< that have it; 0: the server alone
  Duration timeout = std::chrono::seconds{1};
  bool once = false;   ///< by PUBLISH: nothing is written twice, and the reply says how many hear it
  bool heard = false;  ///< then: when somebody hears it
};

}  // namespace omnibus::redis
