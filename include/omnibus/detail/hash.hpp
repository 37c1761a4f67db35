// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

// Hashing and mixing of bits. `hash64` is frozen: shards of brokers are chosen with it, so that its
// result for given bytes never changes; a unit test holds it to known values.

namespace omnibus::detail {

/// Both halves of a 64 x 64 bit product, folded into one: mixes every bit of both.
constexpr std::uint64_t multiply_fold(std::uint64_t a, std::uint64_t b) noexcept {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

/// Eight little-endian bytes; fewer than eight count as if zeros followed. Fewer are read in pieces that
/// overlap, because a copy of a length that is not known is a call.
inline std::uint64_t load_bytes(const char* at, std::size_t count) noexcept {
  if (count >= 8) {
    std::uint64_t value = 0;
    std::memcpy(&value, at, 8);
    return value;
  }
  if (count >= 4) {
    std::uint32_t low = 0, high = 0;
    std::memcpy(&low, at, 4);
    std::memcpy(&high, at + count - 4, 4);
    return low | std::uint64_t{high} << (8 * (count - 4));
  }
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < count; ++i) {
    value |= std::uint64_t{static_cast<unsigned char>(at[i])} << (8 * i);
  }
  return value;
}

/// A 64-bit hash of bytes, not for adversaries. Frozen. Little-endian machines only, like omnibus.
inline std::uint64_t hash64(std::string_view bytes, std::uint64_t seed = 0) noexcept {
  constexpr std::uint64_t first = 0x9e3779b97f4a7c15;
  constexpr std::uint64_t second = 0xe7037ed1a0b428db;
  std::uint64_t state = multiply_fold(seed ^ first, bytes.size() ^ second);
  const char* at = bytes.data();
  std::size_t left = bytes.size();
  for (; left > 16; at += 16, left -= 16) {
    state = multiply_fold(load_bytes(at, 8) ^ first ^ state, load_bytes(at + 8, 8) ^ second);
  }
  const std::uint64_t low = left > 0 ? load_bytes(at, left) : 0;
  const std::uint64_t high = left > 8 ? load_bytes(at + 8, left - 8) : 0;
  state = multiply_fold(low ^ first ^ state, high ^ second);
  return multiply_fold(state ^ first, second);
}

/// 128 bits: enough to tell payloads apart.
struct Hash128 {
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  bool operator==(const Hash128&) const = default;
};

/// A 128-bit hash of bytes, not for adversaries who may choose both payloads. Frozen. Four chains
/// of multiplications run side by side, so that long payloads cost a fraction of what `hash64` does.
inline Hash128 hash128(std::string_view bytes) noexcept {
  constexpr std::uint64_t secret[4] = {0x2545f4914f6cdd1d, 0xd1b54a32d192ed03, 0x8bb84b93962eacc9,
                                       0x4b33a62ed433d4a3};
  std::uint64_t chain[4] = {secret[1], secret[2], secret[3], secret[0] ^ bytes.size()};
  const char* at = bytes.data();
  std::size_t left = bytes.size();
  for (; left >= 64; at += 64, left -= 64) {
    for (std::size_t i = 0; i < 4; ++i) {
      chain[i] = multiply_fold(load_bytes(at + 16 * i, 8) ^ secret[i] ^ chain[i],
                               load_bytes(at + 16 * i + 8, 8) ^ secret[3 - i]);
    }
  }
  const std::string_view rest{at, left};
  const std::uint64_t low = multiply_fold(chain[0] ^ secret[2], chain[1] ^ secret[3]);
  const std::uint64_t high = multiply_fold(chain[2] ^ secret[0], chain[3] ^ secret[1]);
  return {hash64(rest, low ^ high), hash64(rest, multiply_fold(low ^ secret[0], high ^ secret[3]))};
}

/// The splitmix64 step: turns a counter into bits that look random.
constexpr std::uint64_t mix64(std::uint64_t value) noexcept {
  value += 0x9e3779b97f4a7c15;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
  value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
  return value ^ (value >> 31);
}

}  // namespace omnibus::detail
