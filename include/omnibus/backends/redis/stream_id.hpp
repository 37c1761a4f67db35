// SPDX-License-Identifier: MIT
#pragma once

#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <system_error>

#include <omnibus/message.hpp>
#include <omnibus/time.hpp>

// Ids of stream entries: "1526919030474-55", the server's milliseconds and a counter. They are positions.

namespace omnibus::redis {

/// Reads an id. False when it is none.
inline bool parse_id(std::string_view text, Position& id) noexcept {
  const char* const end = text.data() + text.size();
  const auto major = std::from_chars(text.data(), end, id.major);
  if (major.ec != std::errc{} || major.ptr == end || *major.ptr != '-') return false;
  const auto minor = std::from_chars(major.ptr + 1, end, id.minor);
  return minor.ec == std::errc{} && minor.ptr == end;
}

/// An id as text, without an allocation.
class IdText {
 public:
  explicit IdText(Position id) noexcept {
    char* end = std::to_chars(text_, text_ + 20, id.major).ptr;
    *end++ = '-';
    end = std::to_chars(end, text_ + sizeof text_, id.minor).ptr;
    size_ = static_cast<std::size_t>(end - text_);
  }
  operator std::string_view() const noexcept { return {text_, size_}; }

 private:
  char text_[44];
  std::size_t size_;
};

/// The id before this one: who reads after it gets this one first.
constexpr Position id_before(Position id) noexcept {
  if (id.minor > 0) return {id.major, id.minor - 1};
  return id.major > 0 ? Position{id.major - 1, UINT64_MAX} : Position{};
}

/// The first id that an entry can get at this time of the server's clock.
inline Position id_at(Time time) noexcept {
  const auto ms = std::chrono::floor<std::chrono::milliseconds>(time.time_since_epoch()).count();
  return {ms > 0 ? static_cast<std::uint64_t>(ms) : 0, 0};
}

/// When the server took it; the end of what can be told where the id was made up.
inline Time time_of(Position id) noexcept {
  constexpr std::uint64_t last = 9'000'000'000'000;  // what fits into nanoseconds
  return Time{std::chrono::milliseconds{id.major < last ? id.major : last}};
}

}  // namespace omnibus::redis
