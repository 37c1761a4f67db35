// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

// Memory of messages that have come in.

namespace omnibus::detail {

/// Things that are used again, at the same address. `T` has a member `T* next_free`, and `release()`,
/// which does not hold on to unusual amounts of memory. Thread safety: one thread at a time.
template <class T>
class Pool {
 public:
  T& take() {
    if (free_ == nullptr) {
      blocks_.push_back(std::make_unique<T[]>(block_size));
      for (std::size_t i = 0; i < block_size; ++i) give_back(blocks_.back()[i]);
    }
    T& taken = *free_;
    free_ = taken.next_free;
    return taken;
  }
  void give_back(T& taken) noexcept {
    taken.release();
    taken.next_free = free_;
    free_ = &taken;
  }

 private:
  static constexpr std::size_t block_size = 64;
  std::vector<std::unique_ptr<T[]>> blocks_;
  T* free_ = nullptr;
};

}  // namespace omnibus::detail
