// SPDX-License-Identifier: MIT
#pragma once

#include <charconv>
#include <cstddef>
#include <string>
#include <string_view>

// What URLs write with percent signs.

namespace omnibus::detail {

/// Undoes percent-encoding (RFC 3986, 2.1). False for what is malformed, or has a zero byte, where C
/// libraries would end the text.
inline bool percent_decode(std::string_view text, std::string& out) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\0') return false;
    if (text[i] != '%') {
      out.push_back(text[i]);
      continue;
    }
    unsigned value = 0;
    const char* const digits = text.data() + i + 1;
    if (i + 2 >= text.size() || std::from_chars(digits, digits + 2, value, 16).ptr != digits + 2 ||
        value == 0) {
      return false;
    }
    out.push_back(static_cast<char>(value));
    i += 2;
  }
  return true;
}

}  // namespace omnibus::detail
