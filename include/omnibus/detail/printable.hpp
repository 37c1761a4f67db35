// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

namespace omnibus::detail {

/// Text from outside as one line for people: control characters become '?', and it is cut at 255 bytes, as much as
/// a broker of AMQP says at once (0-9-1: a reply text is a short string).
inline std::string printable(std::string_view text) {
  std::string line{text.substr(0, 255)};
  for (char& c : line) {
    if (static_cast<unsigned char>(c) < ' ' || c == '\x7f') c = '?';
  }
  return line;
}

}  // namespace omnibus::detail
