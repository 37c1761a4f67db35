// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <omnibus/detail/hash.hpp>

// What is known of each of many keys, in bounded memory: the key that was not asked for the longest gives
// way to a new one.

namespace omnibus::detail {

/// Keys are 128-bit hashes, which are taken for the keys themselves. Memory grows with what is in it and
/// is kept. Thread safety: distinct objects: safe.
template <class Value>
class RecentMap {
 public:
  /// Holds at most so many keys, which are at least 1 and fewer than 2^31.
  explicit RecentMap(std::size_t most) : most_{most} {}

  struct Found {
    Value& value;  ///< until the next call
    bool is_new;   ///< nothing was known of the key
  };
  /// What is known of the key, which is now the most recent; a Value{} where that is nothing.
  Found operator[](const Hash128& key) {
    for (std::size_t slot = home(key); slots_[slot] != none; slot = next(slot)) {
      Entry& entry = entries_[slots_[slot]];
      if (!(entry.key == key)) continue;
      unlink(entry);
      link(slots_[slot]);
      return {entry.value, false};
    }
    const std::uint32_t index = vacant();
    entries_[index].key = key;
    entries_[index].value = Value{};
    insert(index);
    link(index);
    return {entries_[index].value, true};
  }

  std::size_t size() const noexcept { return entries_.size(); }
  /// How many keys have given way.
  std::uint64_t forgotten() const noexcept { return forgotten_; }

 private:
  static constexpr std::uint32_t none = UINT32_MAX;

  struct Entry {
    Hash128 key;
    Value value{};
    std::uint32_t older = none;
    std::uint32_t newer = none;
  };

  std::size_t home(const Hash128& key) const noexcept { return key.low & (slots_.size() - 1); }
  std::size_t next(std::size_t slot) const noexcept { return (slot + 1) & (slots_.size() - 1); }

  /// An entry for a new key, in no list and no slot.
  std::uint32_t vacant() {
    if (entries_.size() < most_) {
      if ((entries_.size() + 1) * 2 > slots_.size()) grow();
      entries_.emplace_back();
      return static_cast<std::uint32_t>(entries_.size() - 1);
    }
    const std::uint32_t index = oldest_;
    remove(index);
    unlink(entries_[index]);
    ++forgotten_;
    return index;
  }

  void insert(std::uint32_t index) noexcept {
    std::size_t slot = home(entries_[index].key);
    while (slots_[slot] != none) slot = next(slot);
    slots_[slot] = index;
  }
  void remove(std::uint32_t index) noexcept {
    std::size_t hole = home(entries_[index].key);
    while (slots_[hole] != index) hole = next(hole);
    // Moves later entries of the run back, so that no search meets a hole before its entry.
    for (std::size_t slot = next(hole); slots_[slot] != none; slot = next(slot)) {
      const std::size_t wanted = home(entries_[slots_[slot]].key);
      if (((slot - wanted) & (slots_.size() - 1)) < ((slot - hole) & (slots_.size() - 1))) continue;
      slots_[hole] = slots_[slot];
      hole = slot;
    }
    slots_[hole] = none;
  }
  void grow() {
    slots_.assign(slots_.size() * 2, none);
    for (std::uint32_t index = 0; index < entries_.size(); ++index) insert(index);
  }

  /// As the most recent.
  void link(std::uint32_t index) noexcept {
    Entry& entry = entries_[index];
    entry.newer = none;
    entry.older = std::exchange(newest_, index);
    (entry.older == none ? oldest_ : entries_[entry.older].newer) = index;
  }
  void unlink(const Entry& entry) noexcept {
    (entry.older == none ? oldest_ : entries_[entry.older].newer) = entry.newer;
    (entry.newer == none ? newest_ : entries_[entry.newer].older) = entry.older;
  }

  const std::size_t most_;
  std::vector<Entry> entries_;
  std::vector<std::uint32_t> slots_ = std::vector<std::uint32_t>(64, none);  ///< at most half are taken
  std::uint32_t oldest_ = none;
  std::uint32_t newest_ = none;
  std::uint64_t forgotten_ = 0;
};

}  // namespace omnibus::detail
