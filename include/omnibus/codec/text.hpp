// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <omnibus/codec.hpp>

// Text and bytes as events: the payload is what was given, without a type name.

namespace omnibus {

/// Text, or any bytes that a std::string holds.
template <>
struct Codec<std::string> {
  static constexpr std::string_view type = {};
  static std::string_view view(const std::string& text) noexcept { return text; }
  static Result<std::string> decode(std::string_view bytes) { return std::string{bytes}; }
};

/// Text for publishing alone: a handler takes a std::string or a Delivery.
template <>
struct Codec<std::string_view> {
  static constexpr std::string_view type = {};
  static std::string_view view(std::string_view text) noexcept { return text; }
};

/// Bytes.
template <>
struct Codec<std::vector<std::byte>> {
  static constexpr std::string_view type = {};
  static std::string_view view(const std::vector<std::byte>& bytes) noexcept {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  static Result<std::vector<std::byte>> decode(std::string_view bytes) {
    const auto raw = std::as_bytes(std::span{bytes});
    return std::vector<std::byte>{raw.begin(), raw.end()};
  }
};

}  // namespace omnibus
