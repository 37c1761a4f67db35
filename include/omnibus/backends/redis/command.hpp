// SPDX-License-Identifier: MIT
#pragma once

#include <charconv>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

// Commands as they go over the wire: an array of bulk strings (redis.io/docs/reference/protocol-spec).
// Many of them are written into one buffer and sent at once.

namespace omnibus::redis {

/// The digits of a number, without an allocation.
class Digits {
 public:
  template <std::integral Number>
  explicit Digits(Number number) noexcept {
    size_ = static_cast<std::size_t>(std::to_chars(text_, text_ + sizeof text_, number).ptr - text_);
  }
  operator std::string_view() const noexcept { return {text_, size_}; }
  std::size_t size() const noexcept { return size_; }

 private:
  char text_[24];
  std::size_t size_;
};

/// Appends "*3\r\n" or "$3\r\n".
inline void append_count(std::string& out, char kind, std::size_t count) {
  char text[24];
  text[0] = kind;
  char* end = std::to_chars(text + 1, text + 22, count).ptr;
  *end++ = '\r';
  *end++ = '\n';
  out.append(text, static_cast<std::size_t>(end - text));
}

/// Appends one argument.
inline void append_argument(std::string& out, std::string_view argument) {
  append_count(out, '$', argument.size());
  out.append(argument).append("\r\n", 2);
}
/// One of two parts.
inline void append_argument(std::string& out, std::string_view begin, std::string_view end) {
  append_count(out, '$', begin.size() + end.size());
  out.append(begin).append(end).append("\r\n", 2);
}
template <std::integral Number>
void append_argument(std::string& out, Number number) {
  append_argument(out, std::string_view{Digits{number}});
}

/// Begins a command of so many arguments, its name included; they have to follow.
inline void begin_command(std::string& out, std::size_t arguments) {
  append_count(out, '*', arguments);
}

/// Appends a whole command: `append_command(out, "XLEN", key)`. Arguments are text or whole numbers.
template <class... Arguments>
void append_command(std::string& out, const Arguments&... arguments) {
  begin_command(out, sizeof...(arguments));
  (append_argument(out, arguments), ...);
}

}  // namespace omnibus::redis
