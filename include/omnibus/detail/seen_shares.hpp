// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>

#include <omnibus/detail/hash.hpp>

// Partitions, and in which generation each was seen last.

namespace omnibus::detail {

/// Thread safety: shared objects are safe. Bounded: by the number of partitions.
class SeenShares {
 public:
  /// True when the partition was seen in this generation or a later one. One load, as a rule.
  bool has(std::int32_t partition, std::uint64_t generation) {
    if (slot(partition).load(std::memory_order_acquire) == tag(partition, generation)) return true;
    std::lock_guard lock{mutex_};
    const auto found = seen_.find(partition);
    if (found == seen_.end() || found->second < generation) return false;
    slot(partition).store(tag(partition, found->second), std::memory_order_release);
    return true;
  }
  void add(std::int32_t partition, std::uint64_t generation) {
    std::lock_guard lock{mutex_};
    seen_[partition] = generation;
    slot(partition).store(tag(partition, generation), std::memory_order_release);
  }

 private:
  static constexpr std::size_t count = 64;
  std::atomic<std::uint64_t>& slot(std::int32_t partition) noexcept {
    return slots_[static_cast<std::uint32_t>(partition) % count];
  }
  /// Never 0, which an empty slot has.
  static std::uint64_t tag(std::int32_t partition, std::uint64_t generation) noexcept {
    return mix64(generation + static_cast<std::uint32_t>(partition) / count * 0x9e3779b97f4a7c15) | 1;
  }

  std::array<std::atomic<std::uint64_t>, count> slots_{};
  std::mutex mutex_;
  std::map<std::int32_t, std::uint64_t> seen_;
};

}  // namespace omnibus::detail
