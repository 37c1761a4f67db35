// SPDX-License-Identifier: MIT
#pragma once

#include <charconv>
#include <cstddef>
#include <optional>
#include <string_view>
#include <system_error>

// The part of a URL between the slashes: user:password@host:port. RFC 3986, section 3.2.

namespace omnibus::detail {

/// Percent signs are as they were. Lifetime: views of the text.
struct Authority {
  std::optional<std::string_view> user;
  std::optional<std::string_view> password;
  std::string_view host;  ///< without brackets; may be empty
  std::optional<int> port;
};

/// Reads "user:password@host:port", of which everything but the host may be missing. A host with colons has to
/// stand in brackets: otherwise it is the beginning of a password, as likely as not, and a name is shown.
/// False when it is malformed.
inline bool parse_authority(std::string_view text, Authority& out) noexcept {
  out = {};
  if (const std::size_t at = text.rfind('@'); at != std::string_view::npos) {
    const std::string_view user = text.substr(0, at);
    text.remove_prefix(at + 1);
    if (user.find('@') != std::string_view::npos) return false;
    const std::size_t colon = user.find(':');
    out.user = user.substr(0, colon);
    if (colon != std::string_view::npos) out.password = user.substr(colon + 1);
  }
  const bool brackets = text.starts_with('[');
  const std::size_t end = brackets ? text.find(']') : text.find(':');
  if (brackets && end == std::string_view::npos) return false;
  out.host = brackets ? text.substr(1, end - 1) : text.substr(0, end);
  text.remove_prefix(out.host.size() + (brackets ? 2 : 0));
  if (text.empty()) return true;
  if (text.front() != ':') return false;
  text.remove_prefix(1);
  int port = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc{} || rest != text.data() + text.size() || port < 1 || port > 65535) return false;
  out.port = port;
  return true;
}

}  // namespace omnibus::detail
