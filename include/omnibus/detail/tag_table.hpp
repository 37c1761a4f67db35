// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

// Finds entries by hash: open addressing with linear probing, at most half full. It holds no entries but
// their numbers, each with half of a hash, so that looking for what is not there touches no entry.

namespace omnibus::detail {

/// Thread safety: distinct objects: safe.
class TagTable {
 public:
  static constexpr std::uint32_t none = UINT32_MAX;

  /// The number of the entry with this tag for which `is_it(number)`; `none` when there is none.
  template <class IsIt>
  std::uint32_t find(std::uint32_t tag, IsIt is_it) const noexcept {
    for (std::size_t i = home(tag); slots_[i].index != none; i = after(i)) {
      if (slots_[i].tag == tag && is_it(slots_[i].index)) return slots_[i].index;
    }
    return none;
  }
  /// Adds an entry, which is not there yet; it is the `count`th.
  void insert(std::uint32_t tag, std::uint32_t index, std::size_t count) {
    if (count * 2 > slots_.size()) grow();
    place({tag, index});
  }
  /// Takes away an entry, which is there.
  void remove(std::uint32_t tag, std::uint32_t index) noexcept {
    std::size_t hole = home(tag);
    while (slots_[hole].index != index) hole = after(hole);
    // Moves later entries of the run back, so that no probe meets a hole before its entry.
    for (std::size_t i = after(hole); slots_[i].index != none; i = after(i)) {
      const std::size_t wanted = home(slots_[i].tag);
      if (((i - wanted) & (slots_.size() - 1)) < ((i - hole) & (slots_.size() - 1))) continue;
      slots_[hole] = slots_[i];
      hole = i;
    }
    slots_[hole] = {};
  }
  /// Fetches what the others will look at for this tag.
  void prefetch(std::uint32_t tag) const noexcept { __builtin_prefetch(&slots_[home(tag)]); }

 private:
  struct Slot {
    std::uint32_t tag = 0;
    std::uint32_t index = none;
  };

  std::size_t home(std::uint32_t tag) const noexcept { return tag & (slots_.size() - 1); }
  std::size_t after(std::size_t slot) const noexcept { return (slot + 1) & (slots_.size() - 1); }

  void place(const Slot& slot) noexcept {
    std::size_t i = home(slot.tag);
    while (slots_[i].index != none) i = after(i);
    slots_[i] = slot;
  }
  void grow() {
    std::vector<Slot> old(slots_.size() * 2);
    old.swap(slots_);
    for (const Slot& slot : old) {
      if (slot.index != none) place(slot);
    }
  }

  std::vector<Slot> slots_ = std::vector<Slot>(64);
};

}  // namespace omnibus::detail
