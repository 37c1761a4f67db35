// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include <omnibus/headers.hpp>
#include <omnibus/limits.hpp>
#include <omnibus/message.hpp>

// What the fuzz targets have in common: they take bytes apart, and say which property does not hold.

namespace fuzz {

/// Ends the process with a sentence, unless the property holds. libFuzzer keeps the input.
inline void require(bool holds, const char* property) {
  if (holds) return;
  std::fprintf(stderr, "property does not hold: %s\n", property);
  std::abort();
}

/// An input, taken apart into numbers and texts. What is missing is zero, or empty. Texts end with a byte FF,
/// so that inserting a byte into one does not move the others; whatever has to have any bytes is `rest`.
class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : left_{reinterpret_cast<const char*>(data), size} {}

  std::uint8_t byte() noexcept {
    if (left_.empty()) return 0;
    const auto value = static_cast<std::uint8_t>(left_.front());
    left_.remove_prefix(1);
    return value;
  }
  std::uint64_t number() noexcept {
    std::uint64_t value = 0;
    for (int i = 0; i < 8; ++i) value = value << 8 | byte();
    return value;
  }
  std::string_view text() noexcept {
    const std::size_t end = left_.find('\xff');
    const std::string_view taken = left_.substr(0, end);
    left_.remove_prefix(end == std::string_view::npos ? left_.size() : end + 1);
    return taken;
  }
  std::string_view rest() const noexcept { return left_; }
  bool empty() const noexcept { return left_.empty(); }

 private:
  std::string_view left_;
};

/// Any message, as a user or another program may have made it.
inline omnibus::Message message_from(Input& input) {
  omnibus::Message message;
  message.time = omnibus::Time{omnibus::Time::duration{static_cast<std::int64_t>(input.number())}};
  message.sequence.epoch = input.number();
  if (message.sequence.epoch != 0) message.sequence.number = input.number();
  message.id = input.text();
  message.type = input.text();
  message.key = input.text();
  for (std::size_t headers = input.byte() % 8; headers > 0; --headers) {
    const std::string_view name = input.text();
    message.headers.add(name, input.text());
  }
  message.payload = input.rest();
  return message;
}

/// Reads all that a view shows, so that what it shows has to be there.
inline std::size_t walk(std::string_view text) {
  std::size_t sum = 0;
  for (const char c : text) sum += static_cast<unsigned char>(c);
  return sum;
}
inline void walk(const omnibus::MessageView& message) {
  volatile std::size_t sum = walk(message.id) + walk(message.type) + walk(message.key) + walk(message.payload);
  std::size_t bytes = 0;
  for (const omnibus::Header header : message.headers) {
    bytes += 8 + header.name.size() + header.value.size();
    sum = sum + walk(header.name) + walk(header.value);
  }
  require(bytes == message.headers.block().size(), "headers fill their block");
}

/// Whether two texts say the same headers in the same order.
inline bool same(omnibus::HeadersView a, omnibus::HeadersView b) { return a.block() == b.block(); }

inline bool same(const omnibus::MessageView& a, const omnibus::MessageView& b) {
  return a.id == b.id && a.type == b.type && a.key == b.key && same(a.headers, b.headers) &&
         a.payload == b.payload && a.time == b.time && a.sequence == b.sequence;
}

}  // namespace fuzz
