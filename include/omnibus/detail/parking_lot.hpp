// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

// The keys of a subscription in `parked` order that have a dead letter: what follows of them goes
// the same way.

namespace omnibus::detail {

/// Thread safety: shared objects are safe. Bounded: when it is full, the subscription takes nothing
/// more.
class ParkingLot {
 public:
  /// The dead-letter topic of a parked key; nullptr when the key is not parked. Lifetime: of the lot.
  const std::string* topic_of(std::string_view key) const {
    if (size_.load(std::memory_order_acquire) == 0) return nullptr;
    std::lock_guard lock{mutex_};
    const auto found = topics_.find(key);
    return found == topics_.end() ? nullptr : &found->second;
  }

  bool full() const noexcept { return size_.load(std::memory_order_acquire) >= capacity; }

  /// From now on the key's messages go to `topic`.
  void park(std::string_view key, std::string_view topic) {
    std::lock_guard lock{mutex_};
    topics_.try_emplace(std::string{key}, topic);
    size_.store(topics_.size(), std::memory_order_release);
  }

 private:
  static constexpr std::size_t capacity = 65'536;

  std::atomic<std::size_t> size_{0};
  mutable std::mutex mutex_;
  std::map<std::string, std::string, std::less<>> topics_;
};

}  // namespace omnibus::detail
