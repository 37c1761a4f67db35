// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include <omnibus/backends/redis/command.hpp>
#include <omnibus/message.hpp>

// How a message travels over a channel, which knows of nothing but bytes:
//
//   C1 6F 62 31   what is ours: a byte that is in no UTF-8 text, then "ob1", 1 being the version
//   time          when it was published, in nanoseconds since 1970: 8 bytes, the least first
//   epoch number  its place in the numbering of its key; from here on numbers are of 7 bits a byte, the
//                 least first, with the high bit set in all bytes but the last (LEB128)
//   sizes         of id, type and key, and how many headers there are
//   id type key   one after the other
//   headers       of each: the size of its name, the size of its value, name, value
//   payload       the rest
//
// What does not read so from the first byte on was published by somebody else, and is a payload as it is.

namespace omnibus::redis {

namespace frame {

inline constexpr std::string_view magic{"\xC1ob1", 4};
inline constexpr std::size_t time_size = 8;

/// How many bytes a number takes.
constexpr std::size_t size_of(std::uint64_t number) noexcept {
  std::size_t size = 1;
  while ((number >>= 7) != 0) ++size;
  return size;
}

inline char* put(char* at, std::uint64_t number) noexcept {
  while (number >= 0x80) {
    *at++ = static_cast<char>(number | 0x80);
    number >>= 7;
  }
  *at++ = static_cast<char>(number);
  return at;
}

/// Takes numbers and texts off the front. After something that is not there, `good` is false and stays so.
class Cursor {
 public:
  explicit Cursor(std::string_view bytes) noexcept : bytes_{bytes} {}
  bool good() const noexcept { return good_; }
  std::string_view rest() const noexcept { return bytes_; }

  std::uint64_t number() noexcept {
    std::uint64_t number = 0;
    for (std::size_t i = 0; i < bytes_.size() && i < 10; ++i) {
      const auto byte = static_cast<unsigned char>(bytes_[i]);
      if (i == 9 && byte > 1) break;  // more than 64 bits
      number |= static_cast<std::uint64_t>(byte & 0x7F) << (7 * i);
      if (byte < 0x80) {
        bytes_.remove_prefix(i + 1);
        return number;
      }
    }
    return fail();
  }
  std::string_view text(std::uint64_t size) noexcept {
    if (size > bytes_.size()) return fail(), std::string_view{};
    const std::string_view text = bytes_.substr(0, static_cast<std::size_t>(size));
    bytes_.remove_prefix(text.size());
    return text;
  }

 private:
  std::uint64_t fail() noexcept {
    good_ = false;
    bytes_ = {};
    return 0;
  }

  std::string_view bytes_;
  bool good_ = true;
};

}  // namespace frame

/// How many bytes the frame of this message has.
inline std::size_t frame_size(const MessageView& message) noexcept {
  using frame::size_of;
  std::size_t size = frame::magic.size() + frame::time_size + size_of(message.sequence.epoch) +
                     size_of(message.sequence.number);
  for (const std::string_view text : {message.id, message.type, message.key}) {
    size += size_of(text.size()) + text.size();
  }
  std::size_t headers = 0;
  for (const Header header : message.headers) {
    for (const std::string_view text : {header.name, header.value}) {
      size += size_of(text.size()) + text.size();
    }
    ++headers;
  }
  return size + size_of(headers) + message.payload.size();
}

/// Appends the frame of this message.
inline void append_frame(std::string& out, const MessageView& message) {
  const auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(
      message.time.time_since_epoch());
  const auto time = static_cast<std::uint64_t>(ns.count());
  char front[frame::time_size + 6 * 10];
  char* at = front;
  for (std::size_t byte = 0; byte < frame::time_size; ++byte) {
    *at++ = static_cast<char>(time >> (8 * byte));
  }
  for (const std::uint64_t number :
       {message.sequence.epoch, message.sequence.number, std::uint64_t{message.id.size()},
        std::uint64_t{message.type.size()}, std::uint64_t{message.key.size()},
        std::uint64_t{message.headers.size()}}) {
    at = frame::put(at, number);
  }
  out.append(frame::magic).append(front, static_cast<std::size_t>(at - front));
  out.append(message.id).append(message.type).append(message.key);
  for (const Header header : message.headers) {
    char* end = frame::put(front, header.name.size());
    end = frame::put(end, header.value.size());
    out.append(front, static_cast<std::size_t>(end - front));
    out.append(header.name).append(header.value);
  }
  out.append(message.payload);
}

/// Reads a frame. `message` views `bytes`, and `headers`, which is made anew. False for what is none;
/// `message` is then of no use.
inline bool read_frame(std::string_view bytes, MessageView& message, std::string& headers) {
  headers.clear();
  if (!bytes.starts_with(frame::magic)) return false;
  frame::Cursor cursor{bytes.substr(frame::magic.size())};
  std::uint64_t time = 0;
  const std::string_view stamp = cursor.text(frame::time_size);
  for (std::size_t byte = 0; byte < stamp.size(); ++byte) {
    time |= static_cast<std::uint64_t>(static_cast<unsigned char>(stamp[byte])) << (8 * byte);
  }
  const std::chrono::nanoseconds since{static_cast<std::int64_t>(time)};
  message.time = Time{std::chrono::duration_cast<Time::duration>(since)};
  message.sequence.epoch = cursor.number();
  message.sequence.number = cursor.number();
  const std::uint64_t id = cursor.number();
  const std::uint64_t type = cursor.number();
  const std::uint64_t key = cursor.number();
  std::uint64_t count = cursor.number();
  message.id = cursor.text(id);
  message.type = cursor.text(type);
  message.key = cursor.text(key);
  for (; count > 0 && cursor.good(); --count) {  // each takes bytes, so that this ends
    const std::uint64_t name_size = cursor.number();
    const std::uint64_t value_size = cursor.number();
    const std::string_view name = cursor.text(name_size);
    const std::string_view value = cursor.text(value_size);
    for (const std::size_t size : {name.size(), value.size()}) {  // a block as Headers has it
      const auto small = static_cast<std::uint32_t>(size);
      char raw[sizeof small];
      std::memcpy(raw, &small, sizeof small);
      headers.append(raw, sizeof raw);
    }
    headers.append(name).append(value);
  }
  message.headers = HeadersView{headers};
  message.payload = cursor.rest();
  return cursor.good();
}

/// Appends the PUBLISH of a message. `plain`: of its payload alone.
inline void append_publish(std::string& out, std::string_view channel, const MessageView& message,
                           bool plain) {
  begin_command(out, 3);
  append_argument(out, "PUBLISH");
  append_argument(out, channel);
  if (plain) return append_argument(out, message.payload);
  append_count(out, '$', frame_size(message));
  append_frame(out, message);
  out.append("\r\n", 2);
}

}  // namespace omnibus::redis
