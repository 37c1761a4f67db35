// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <string_view>

#include <unistd.h>

#include <omnibus/detail/hash.hpp>

// Message ids: UUIDv7 of RFC 9562, section 5.7: 48 bits of milliseconds, then a counter of 20 bits
// (section 6.2, method 1), then 54 bits that look random.

namespace omnibus::detail {

/// 64 bits from the kernel's random source.
inline std::uint64_t entropy64() noexcept {
  std::uint64_t bits = 0;
  if (getentropy(&bits, sizeof bits) != 0) {
    bits = mix64(static_cast<std::uint64_t>(
        std::chrono::steady_clock::now().time_since_epoch().count()));
  }
  return bits;
}

/// The 36 characters of a UUID.
using UuidText = std::array<char, 36>;

/// Makes ids that grow with each call and are unique across processes.
/// Thread safety: shared objects are safe.
class UuidGenerator {
 public:
  /// The next id at this wall time. A clock that stands still or goes back only makes the ids run
  /// ahead of it.
  UuidText next(std::chrono::system_clock::time_point now) noexcept {
    const auto since = std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch());
    const std::uint64_t earliest = static_cast<std::uint64_t>(since.count()) << counter_bits;
    std::uint64_t last = last_.load(std::memory_order_relaxed);
    std::uint64_t next = 0;
    do {
      next = earliest > last ? earliest : last + 1;
    } while (!last_.compare_exchange_weak(last, next, std::memory_order_relaxed));
    return text(next, mix64(seed_ ^ next));
  }

  /// The UUID of a 48 + 20 bit time and 54 random bits. A pure function.
  static UuidText text(std::uint64_t ticks, std::uint64_t random) noexcept {
    const std::uint64_t counter = ticks & ((1u << counter_bits) - 1);
    const std::uint64_t high =
        (ticks >> counter_bits << 16) | 0x7000 | (counter >> 8);  // version 7, 12 counter bits
    const std::uint64_t low = (std::uint64_t{2} << 62) | ((counter & 0xff) << 54) |
                              (random >> 10);  // variant 10, 8 counter bits, 54 random bits
    UuidText out;
    char* at = out.data();
    for (int byte = 0; byte < 16; ++byte) {
      if (byte == 4 || byte == 6 || byte == 8 || byte == 10) *at++ = '-';
      const std::uint64_t half = byte < 8 ? high : low;
      const auto value = static_cast<unsigned>(half >> (56 - 8 * (byte % 8))) & 0xffu;
      *at++ = digits[value >> 4];
      *at++ = digits[value & 15];
    }
    return out;
  }

 private:
  static constexpr unsigned counter_bits = 20;
  static constexpr std::string_view digits = "0123456789abcdef";

  std::uint64_t seed_ = entropy64();
  std::atomic<std::uint64_t> last_{0};
};

}  // namespace omnibus::detail
