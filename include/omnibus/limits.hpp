// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include <omnibus/message.hpp>
#include <omnibus/result.hpp>

// What a message must be like before anything is sent: names well formed, sizes bounded.

namespace omnibus {

/// How large a message may be. Checked before anything is sent.
struct MessageLimits {
  std::size_t payload = 1 << 20;     ///< bytes
  std::size_t key = 1024;            ///< bytes
  std::size_t header_count = 64;
  std::size_t header_value = 8192;   ///< bytes, each
  std::size_t headers_total = 32768; ///< bytes of all names and values
};

/// True for 1 to 249 characters of letters, digits, '.', '_', ':' and '-': what every broker takes.
constexpr bool is_topic_name(std::string_view name) noexcept {
  if (name.empty() || name.size() > 249) return false;
  for (const char c : name) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!plain && c != '.' && c != '_' && c != ':' && c != '-') return false;
  }
  return true;
}

namespace detail {

inline bool is_header_name(std::string_view name) noexcept {
  if (name.empty() || name.size() > 255) return false;
  for (const char c : name) {
    if (c <= ' ' || c > '~') return false;
  }
  return true;
}

}  // namespace detail

/// Says whether a message may be published: names are well formed and sizes within the limits.
/// Errors: invalid_argument, too_large; both name the part that is wrong.
inline Result<> check_message(const MessageView& message, const MessageLimits& limits) {
  const auto too_large = [](std::string what, std::size_t size, std::size_t limit) {
    return Error::make(Errc::too_large, "check message",
                       std::move(what) + " has " + std::to_string(size) +
                           " bytes, the limit is " + std::to_string(limit));
  };
  if (message.payload.size() > limits.payload) {
    return too_large("payload", message.payload.size(), limits.payload);
  }
  if (message.key.size() > limits.key) return too_large("key", message.key.size(), limits.key);
  if (message.id.size() > limits.key) return too_large("id", message.id.size(), limits.key);
  if (message.type.size() > limits.key) return too_large("type", message.type.size(), limits.key);
  if (message.headers.empty()) return {};
  std::size_t count = 0;
  for (const Header header : message.headers) {
    if (!detail::is_header_name(header.name)) {
      return Error::make(Errc::invalid_argument, "check message",
                         "header " + std::to_string(count) +
                             " has a name that is empty, over 255 bytes or not printable ASCII");
    }
    if (header.value.size() > limits.header_value) {
      return too_large("header " + std::string{header.name}, header.value.size(),
                       limits.header_value);
    }
    ++count;
  }
  if (count > limits.header_count) {
    return Error::make(Errc::too_large, "check message",
                       std::to_string(count) + " headers, the limit is " +
                           std::to_string(limits.header_count));
  }
  const std::size_t total = message.headers.block().size() - 8 * count;
  if (total > limits.headers_total) return too_large("headers", total, limits.headers_total);
  return {};
}

}  // namespace omnibus
