// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

// The keys of a subscription in `parked` order that have dead letters: what follows of them goes the same
// way, until all of those letters have been redriven.

namespace omnibus::detail {

/// Thread safety: shared objects are safe; one key from one thread at a time. Bounded: when it is full, the
/// subscription takes nothing more.
class ParkingLot {
 public:
  /// The dead-letter topic of a parked key; nullptr when the key is not parked. Lifetime: until the key is
  /// not parked any more.
  const std::string* topic_of(std::string_view key) const {
    if (size_.load(std::memory_order_acquire) == 0) return nullptr;
    std::lock_guard lock{mutex_};
    const auto found = keys_.find(key);
    return found == keys_.end() ? nullptr : &found->second.topic;
  }

  bool full() const noexcept { return size_.load(std::memory_order_acquire) >= capacity; }

  /// A message of the key stands in `topic`; from now on others go there as well.
  void park(std::string_view key, std::string_view topic) {
    std::lock_guard lock{mutex_};
    Parked& parked = keys_.try_emplace(std::string{key}, Parked{std::string{topic}, 0, {}}).first->second;
    ++parked.letters;
    size_.store(keys_.size(), std::memory_order_release);
  }

  /// A letter of a parked key comes back by this redrive. False when one before it did, and has died again:
  /// then it has to follow.
  bool may_return(std::string_view key, std::string_view redrive) const {
    std::lock_guard lock{mutex_};
    const auto found = keys_.find(key);
    return found == keys_.end() || found->second.died_in != redrive;
  }
  /// It has died again, and is the letter that it was.
  void died_again(std::string_view key, std::string_view redrive) {
    std::lock_guard lock{mutex_};
    if (const auto found = keys_.find(key); found != keys_.end()) found->second.died_in = redrive;
  }
  /// It has been handled. With its last letter the key is free.
  void returned(std::string_view key) {
    std::lock_guard lock{mutex_};
    const auto found = keys_.find(key);
    if (found == keys_.end() || --found->second.letters > 0) return;
    keys_.erase(found);
    size_.store(keys_.size(), std::memory_order_release);
  }

 private:
  static constexpr std::size_t capacity = 65'536;

  struct Parked {
    std::string topic;
    std::size_t letters;  ///< that this subscription knows of
    std::string died_in;  ///< the redrive in which one of them has died again
  };

  std::atomic<std::size_t> size_{0};
  mutable std::mutex mutex_;
  std::map<std::string, Parked, std::less<>> keys_;
};

}  // namespace omnibus::detail
