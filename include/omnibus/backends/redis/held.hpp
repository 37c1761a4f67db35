// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include <omnibus/backends/redis/entry.hpp>
#include <omnibus/detail/pool.hpp>

// Messages that have come in and are not settled.

namespace omnibus::redis {

/// A message that has come in and is not settled. Its address is its token.
struct Held {
  Entry entry;
  std::size_t shard = 0;
  std::uint64_t generation = 0;  ///< of the shard when it came
  std::uint32_t attempts = 0;    ///< how often it was delivered before
  Held* next_free = nullptr;

  void release() { entry.release(); }
};

using HeldPool = omnibus::detail::Pool<Held>;

}  // namespace omnibus::redis
