// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <omnibus/detail/hash.hpp>
#include <omnibus/detail/recent_map.hpp>
#include <omnibus/message.hpp>

// Numbers of messages: a producer counts the messages of each key, and who receives them sees from the
// numbers what is missing, what came twice, and who should no longer be publishing. No I/O.

namespace omnibus {

/// What the number of a message says beside the one that its key had before.
enum class SequenceFinding : std::uint8_t {
  in_order,  ///< the next one, or nothing to compare it with
  gap,       ///< messages before it did not arrive
  repeated,  ///< it was here before, or it is late
  stale,     ///< of a producer that another one has replaced
};

/// A finding and what it was made of.
struct SequenceReport {
  SequenceFinding finding = SequenceFinding::in_order;
  Sequence expected;          ///< what should have come; an epoch of 0: nothing was known
  Sequence got;               ///< what has come
  std::uint64_t missing = 0;  ///< how many did not arrive, when there is a gap

  /// One line: "2 messages are missing before number 7 of epoch 12".
  std::string text() const {
    const std::string place =
        "number " + std::to_string(got.number) + " of epoch " + std::to_string(got.epoch);
    switch (finding) {
      case SequenceFinding::in_order: return place + " is in order";
      case SequenceFinding::gap:
        return std::to_string(missing) + (missing == 1 ? " message is" : " messages are") +
               " missing before " + place;
      case SequenceFinding::repeated:
        return place + " came again, where " + std::to_string(expected.number) + " was expected";
      case SequenceFinding::stale:
        return place + " is of a producer that was replaced: its key is at epoch " +
               std::to_string(expected.epoch);
    }
    return place;
  }
};

/// Judges a number by the last one of the same key that counted. A pure function.
constexpr SequenceReport judge(Sequence last, Sequence got) noexcept {
  using enum SequenceFinding;
  if (last.epoch == 0) return {in_order, {}, got, 0};
  if (got.epoch < last.epoch) return {stale, {last.epoch, last.number + 1}, got, 0};
  const Sequence expected{got.epoch, got.epoch == last.epoch ? last.number + 1 : 0};
  // Told by the last one: after the highest number there is, none follows.
  const bool before = got.epoch == last.epoch && got.number <= last.number;
  if (before) return {repeated, expected, got, 0};
  const std::uint64_t missing = got.number - expected.number;
  return {missing == 0 ? in_order : gap, expected, got, missing};
}

namespace detail {

/// One key of one topic, by hash.
inline Hash128 hash_of_key(std::string_view topic, std::string_view key) noexcept {
  const Hash128 of_key = hash128(key);
  return {of_key.low ^ hash64(topic), of_key.high ^ hash64(topic, 1)};
}

}  // namespace detail

/// Numbers the messages of a producer. Remembers so many keys; one that was forgotten, and comes again,
/// begins a new epoch. Thread safety: distinct objects: safe.
class Numbering {
 public:
  /// `start` has to grow each time the producer starts; microseconds since 1970 do.
  Numbering(std::size_t keys, std::uint64_t start) : next_(keys), epoch_{start} {}

  /// The number of the next message of this key.
  Sequence next(std::string_view topic, std::string_view key) {
    const std::uint64_t forgotten = next_.forgotten();
    auto [next, is_new] = next_[detail::hash_of_key(topic, key)];
    epoch_ += next_.forgotten() - forgotten;
    if (is_new) next = {epoch_, 0};
    const Sequence number = next;
    ++next.number;
    return number;
  }

 private:
  detail::RecentMap<Sequence> next_;
  std::uint64_t epoch_;  ///< above that of every key that was forgotten
};

}  // namespace omnibus
