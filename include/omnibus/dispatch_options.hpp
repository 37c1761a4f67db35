// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include <omnibus/parked_store.hpp>
#include <omnibus/subscription_spec.hpp>

// What a dispatcher is told, and what it counts.

namespace omnibus {

/// What a dispatcher keeps to.
struct DispatchOptions {
  std::size_t concurrency = 1;     ///< workers: handlers that run at once
  std::size_t window = 1024;       ///< unsettled messages
  std::size_t window_waiting = 8192;  ///< and more of them that wait for another attempt
  std::size_t window_bytes = 0;    ///< unsettled payload bytes
  Order order = Order::strict;
  bool observed = false;           ///< tell the context of each delivery, not of the rare events alone
  ParkedStore* parked_in = nullptr;  ///< where parked keys are kept; nullptr: in memory
};

/// Numbers that a dispatcher keeps up to date. Thread safety: read them from any thread.
struct DispatchCounters {
  std::atomic<std::uint64_t> handled{0};
  std::atomic<std::uint64_t> retried{0};
  std::atomic<std::uint64_t> given_back{0};
  std::atomic<std::size_t> in_flight{0};
};

}  // namespace omnibus
