// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>

#include <omnibus/detail/hash.hpp>
#include <omnibus/message.hpp>
#include <omnibus/time.hpp>

// How messages are numbered in the file, and its units of time. No I/O.

namespace omnibus::sqlite {

/// A partition is one shard of one topic; the rows of a partition stand side by side in the table, and the
/// positions in it have no gaps but at its beginning, where rows were removed.
inline constexpr int position_bits = 40;
inline constexpr std::uint64_t last_position = (std::uint64_t{1} << position_bits) - 1;
inline constexpr std::int64_t most_partitions = std::int64_t{1} << (62 - position_bits);

/// The row of a position, from 1, in a partition.
constexpr std::int64_t row_of(std::int64_t partition, std::uint64_t position) noexcept {
  return partition << position_bits | static_cast<std::int64_t>(position < last_position ? position : last_position);
}
constexpr std::uint64_t position_of(std::int64_t row) noexcept {
  return static_cast<std::uint64_t>(row) & last_position;
}

/// The shard of a message: of its key, or of its id where it has none. Frozen: files outlive programs.
inline std::int32_t shard_of(const MessageView& message, std::int32_t shards) noexcept {
  const std::uint64_t hash = detail::hash64(message.key.empty() ? message.id : message.key);
  return static_cast<std::int32_t>(hash % static_cast<std::uint64_t>(shards));
}

/// Microseconds of the machine's wall clock, which every process of the machine has.
inline std::int64_t wall_us() noexcept {
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::microseconds>(since).count();
}
/// Rounded up, so that nothing is early.
inline std::int64_t to_us(Duration duration) noexcept {
  return std::chrono::ceil<std::chrono::microseconds>(duration).count();
}
/// When a moment of the wall clock comes. What is far away is asked for again.
inline Instant instant_of(std::int64_t us, std::int64_t now_us, Instant now) noexcept {
  constexpr std::int64_t longest = 3'600'000'000;
  if (us <= now_us) return now;
  return now + std::chrono::microseconds{us - now_us < longest ? us - now_us : longest};
}
constexpr std::int64_t to_ns(Time time) noexcept {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
}
constexpr Time from_ns(std::int64_t ns) noexcept {
  return Time{std::chrono::duration_cast<Time::duration>(std::chrono::nanoseconds{ns})};
}

}  // namespace omnibus::sqlite
