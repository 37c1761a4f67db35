// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include <omnibus/detail/hash.hpp>

// Values under names of two parts, such as a topic and a group, that are made when they are first asked for
// and stay: finding one takes no lock.

namespace omnibus::detail {

/// Holds at most so many values; those who ask for more share one, so that memory is bounded whatever
/// names come. Thread safety: shared objects are safe; a Value is shared by all who find it.
template <class Value>
class SeriesTable {
 public:
  explicit SeriesTable(std::size_t most) : most_{most}, full_{most == 0} {}
  SeriesTable(const SeriesTable&) = delete;

  /// The value of these names; a Value{} the first time. Waits for a lock only then.
  Value& operator()(std::string_view first, std::string_view second) {
    const std::uint64_t hash = hash64(first, hash64(second));
    auto& bucket = buckets_[hash % buckets_.size()];
    const bool full = full_.load(std::memory_order_acquire);  // first, so that what was made is seen below
    if (Series* found = find(bucket, hash, first, second)) return found->value;
    return full ? others() : make(bucket, hash, first, second);
  }

  /// Calls visit(first, second, value) for each, in the order in which they were made, and at last, with
  /// empty names, for the value that those share for whom there was no room, if there were any.
  template <class Visit>
  void each(Visit&& visit) const {
    std::vector<const Series*> all;
    {
      std::lock_guard lock{mutex_};
      all.reserve(made_.size());
      for (const auto& series : made_) all.push_back(series.get());
    }
    for (const Series* series : all) {
      visit(std::string_view{series->first}, std::string_view{series->second}, series->value);
    }
    if (has_others_.load()) visit(std::string_view{}, std::string_view{}, others_);
  }

 private:
  struct Series {
    const std::uint64_t hash;
    const std::string first;
    const std::string second;
    Series* const next;
    Value value{};
  };
  using Bucket = std::atomic<Series*>;

  static Series* find(const Bucket& bucket, std::uint64_t hash, std::string_view first,
                      std::string_view second) noexcept {
    Series* series = bucket.load(std::memory_order_acquire);
    while (series != nullptr &&
           (series->hash != hash || series->first != first || series->second != second)) {
      series = series->next;
    }
    return series;
  }

  Value& make(Bucket& bucket, std::uint64_t hash, std::string_view first, std::string_view second) {
    std::lock_guard lock{mutex_};
    if (Series* found = find(bucket, hash, first, second)) return found->value;
    if (made_.size() == most_) return others();
    made_.push_back(std::unique_ptr<Series>{new Series{
        hash, std::string{first}, std::string{second}, bucket.load(std::memory_order_relaxed)}});
    Series* series = made_.back().get();
    bucket.store(series, std::memory_order_release);
    if (made_.size() == most_) full_.store(true, std::memory_order_release);
    return series->value;
  }

  /// What those share for whom there is no room.
  Value& others() noexcept {
    if (!has_others_.load(std::memory_order_relaxed)) has_others_.store(true);
    return others_;
  }

  const std::size_t most_;
  std::atomic<bool> full_;
  std::array<Bucket, 256> buckets_{};
  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<Series>> made_;
  std::atomic<bool> has_others_{false};
  Value others_{};
};

}  // namespace omnibus::detail
