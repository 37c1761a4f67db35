// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include <omnibus/backends/redis/entry.hpp>

// Messages that have come in and are not settled.

namespace omnibus::redis {

/// A message that has come in and is not settled. Its address is its token.
struct Held {
  Entry entry;
  std::size_t shard = 0;
  std::uint64_t generation = 0;  ///< of the shard when it came
  std::uint32_t attempts = 0;    ///< how often it was delivered before
  Held* next_free = nullptr;
};

/// Memory of messages, used again. Thread safety: one thread at a time.
class HeldPool {
 public:
  Held& take() {
    if (free_ == nullptr) {
      blocks_.push_back(std::make_unique<Held[]>(block_size));
      for (std::size_t i = 0; i < block_size; ++i) give_back(blocks_.back()[i]);
    }
    Held& held = *free_;
    free_ = held.next_free;
    return held;
  }
  void give_back(Held& held) noexcept {
    held.entry.release();
    held.next_free = free_;
    free_ = &held;
  }

 private:
  static constexpr std::size_t block_size = 64;
  std::vector<std::unique_ptr<Held[]>> blocks_;
  Held* free_ = nullptr;
};

}  // namespace omnibus::redis
