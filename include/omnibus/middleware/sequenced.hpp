// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include <omnibus/detail/recent_map.hpp>
#include <omnibus/pipeline.hpp>
#include <omnibus/sequence.hpp>

// What numbers of messages say: which are missing, which came twice, and which are of a producer that
// another one has replaced.

namespace omnibus {

/// What was seen of numbered messages.
struct SequenceCounts {
  std::uint64_t gaps = 0;
  std::uint64_t missing = 0;   ///< messages, in all gaps
  std::uint64_t repeated = 0;
  std::uint64_t stale = 0;
  std::uint64_t forgotten = 0;  ///< keys that gave way to others, of which nothing is known any more
};

/// The last number of each key, by topic and group; shared by the subscriptions of a process.
/// Thread safety: shared objects are safe. Memory: about 100 bytes a key; the keys that were not heard
/// of for the longest give way.
class SequenceTracker {
 public:
  /// Throws std::invalid_argument.
  explicit SequenceTracker(std::size_t keys = 100'000)
      : shards_{make_shards(keys, std::make_index_sequence<shard_count>{})} {}

  /// Judges a delivery that goes through its pipeline. What came before is forgotten when its partition
  /// has been with another member of the group since: nobody here knows what that one saw.
  SequenceReport look(const Delivery& delivery) {
    const Sequence got = delivery.sequence();
    detail::Hash128 key = detail::hash_of_key(delivery.topic(), delivery.key());
    key.high ^= detail::hash64(delivery.group());
    Shard& shard = shards_[key.high & (shard_count - 1)];
    std::lock_guard lock{shard.mutex};
    auto [last, is_new] = shard.last[key];
    if (last.generation != delivery.generation()) last = {{}, delivery.generation()};
    SequenceReport report = judge(last.sequence, got);
    if (report.finding == SequenceFinding::stale || report.finding == SequenceFinding::repeated) {
      // Who is tried again, or redelivered, was here before and is no news.
      if (!delivery.first_time()) report.finding = SequenceFinding::in_order;
    } else {
      last.sequence = got;
    }
    shard.count(report);
    return report;
  }

  SequenceCounts counts() const {
    SequenceCounts sum;
    for (const Shard& shard : shards_) {
      std::lock_guard lock{shard.mutex};
      sum.gaps += shard.counts.gaps;
      sum.missing += shard.counts.missing;
      sum.repeated += shard.counts.repeated;
      sum.stale += shard.counts.stale;
      sum.forgotten += shard.last.forgotten();
    }
    return sum;
  }

 private:
  static constexpr std::size_t shard_count = 16;

  struct Last {
    Sequence sequence{};
    std::uint64_t generation = 0;
  };
  struct alignas(64) Shard {
    explicit Shard(std::size_t keys) : last{keys} {}

    void count(const SequenceReport& report) noexcept {
      switch (report.finding) {
        case SequenceFinding::in_order: break;
        case SequenceFinding::gap:
          ++counts.gaps;
          counts.missing += report.missing;
          break;
        case SequenceFinding::repeated: ++counts.repeated; break;
        case SequenceFinding::stale: ++counts.stale; break;
      }
    }

    mutable std::mutex mutex;
    detail::RecentMap<Last> last;
    SequenceCounts counts;
  };
  using Shards = std::array<Shard, shard_count>;

  template <std::size_t... I>
  static Shards make_shards(std::size_t keys, std::index_sequence<I...>) {
    if (keys == 0 || keys > std::size_t{1} << 31) {
      throw std::invalid_argument{"omnibus: SequenceTracker: keys must be 1 to 2^31"};
    }
    const std::size_t each = (keys + shard_count - 1) / shard_count;
    const auto make = [each](std::size_t) { return Shard{each}; };
    return {make(I)...};
  }

  Shards shards_;
};

namespace detail {

/// What `sequenced` does with a finding when it was not told.
struct PassOn {
  void operator()(const Delivery&, const SequenceReport&) const noexcept {}
};

template <class F>
consteval bool hears_sequence() {
  if constexpr (std::is_invocable_v<F&, const Delivery&, const SequenceReport&>) {
    using R = std::invoke_result_t<F&, const Delivery&, const SequenceReport&>;
    return std::is_void_v<R> || std::is_same_v<R, Result<>>;
  } else {
    return false;
  }
}

}  // namespace detail

/// The stage that `sequenced` makes.
template <class Hear>
class SequencedStage {
 public:
  SequencedStage(SequenceTracker& tracker, Hear hear) : tracker_{&tracker}, hear_{std::move(hear)} {}

  Result<> operator()(Next next, Delivery& delivery) {
    if (delivery.sequence().epoch == 0 || delivery.key().empty()) return next(delivery);
    const SequenceReport report = tracker_->look(delivery);
    if (report.finding == SequenceFinding::in_order) return next(delivery);
    const Error said = Error::make(Errc::out_of_sequence, "receive", report.text());
    delivery.context().notify(DeliveryEvent::out_of_sequence, delivery, &said);
    if (Result<> verdict = detail::call_handler(hear_, std::as_const(delivery), report); !verdict) {
      return verdict;
    }
    return next(delivery);
  }

 private:
  SequenceTracker* tracker_;
  Hear hear_;
};

/// Watches the numbers of messages that a bus with `BusOptions::numbered_keys` has published. Of each gap,
/// repetition and stale producer the observer is told, the tracker counts it, and
/// `hear(const Delivery&, const SequenceReport&)` is called, which returns nothing, or a Result<>: an error
/// in place of handling the message, `permanent(...)` for a dead letter. Otherwise every message is
/// handled, whatever its number says.
/// What it knows, it knows since the process had the partition: a member of a group that takes over begins
/// anew. A message whose publishing failed leaves a gap, too. One producer at a time for a key, or each
/// is stale to the other. Lifetime: the tracker must outlive the subscription.
template <class Hear = detail::PassOn>
auto sequenced(SequenceTracker& tracker, Hear&& hear = {}) {
  using Heard = std::decay_t<Hear>;
  constexpr bool good = detail::hears_sequence<Heard>();
  static_assert(good,
                "omnibus: this hears of no sequence. Write a callable (const omnibus::Delivery&, const "
                "omnibus::SequenceReport&) that returns nothing or omnibus::Result<>");
  if constexpr (good) {
    return Chain<SequencedStage<Heard>>{
        std::tuple{SequencedStage<Heard>{tracker, std::forward<Hear>(hear)}}};
  } else {
    return Chain<>{};
  }
}

}  // namespace omnibus
