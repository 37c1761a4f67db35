// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <omnibus/detail/hash.hpp>
#include <omnibus/detail/tag_table.hpp>

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
    std::uint32_t index =
        table_.find(tag_of(key), [&](std::uint32_t at) { return entries_[at].key == key; });
    const bool is_new = index == none;
    if (is_new) {
      index = vacant();
      entries_[index].key = key;
      entries_[index].value = Value{};
      table_.insert(tag_of(key), index, entries_.size());
    } else {
      unlink(entries_[index]);
    }
    link(index);
    return {entries_[index].value, is_new};
  }

  std::size_t size() const noexcept { return entries_.size(); }
  /// How many keys have given way.
  std::uint64_t forgotten() const noexcept { return forgotten_; }

 private:
  static constexpr std::uint32_t none = TagTable::none;

  struct Entry {
    Hash128 key;
    Value value{};
    std::uint32_t older = none;
    std::uint32_t newer = none;
  };

  static std::uint32_t tag_of(const Hash128& key) noexcept { return static_cast<std::uint32_t>(key.low); }

  /// An entry for a new key, in no list and no table.
  std::uint32_t vacant() {
    if (entries_.size() < most_) {
      entries_.emplace_back();
      return static_cast<std::uint32_t>(entries_.size() - 1);
    }
    const std::uint32_t index = oldest_;
    table_.remove(tag_of(entries_[index].key), index);
    unlink(entries_[index]);
    ++forgotten_;
    return index;
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
  TagTable table_;
  std::uint32_t oldest_ = none;
  std::uint32_t newest_ = none;
  std::uint64_t forgotten_ = 0;
};

}  // namespace omnibus::detail
