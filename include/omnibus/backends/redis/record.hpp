// SPDX-License-Identifier: MIT
#pragma once

#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>

#include <omnibus/backends/redis/command.hpp>
#include <omnibus/message.hpp>

// How a message stands in a stream entry, readable with redis-cli:
//
//   omnibus   "1 1526919030474000000", or "1 <time> <epoch> <number>": the format's version, when it
//             was published in nanoseconds since 1970, and its place in the numbering of its key
//   id type key payload   what they are called; type and key are left out when they are empty
//   h.<name>  a header
//
// An entry whose first field is not `omnibus` was made by somebody else.

namespace omnibus::redis {

namespace field {
inline constexpr std::string_view own = "omnibus";
inline constexpr std::string_view id = "id";
inline constexpr std::string_view type = "type";
inline constexpr std::string_view key = "key";
inline constexpr std::string_view payload = "payload";
inline constexpr std::string_view header = "h.";
}  // namespace field

/// What the field `omnibus` says.
struct Stamp {
  Time time{};
  Sequence sequence{};
};

/// Reads a stamp. False for what is none.
inline bool parse_stamp(std::string_view text, Stamp& stamp) noexcept {
  if (!text.starts_with("1 ")) return false;
  const char* at = text.data() + 1;
  const char* const end = text.data() + text.size();
  const auto next = [&](auto& number) {
    if (at == end || *at != ' ') return false;
    const auto read = std::from_chars(at + 1, end, number);
    at = read.ptr;
    return read.ec == std::errc{};
  };
  std::int64_t ns = 0;
  if (!next(ns)) return false;
  stamp.time = Time{std::chrono::duration_cast<Time::duration>(std::chrono::nanoseconds{ns})};
  if (at == end) return true;
  return next(stamp.sequence.epoch) && next(stamp.sequence.number) && at == end;
}

/// How many arguments `append_fields` appends.
inline std::size_t count_fields(const MessageView& message) noexcept {
  std::size_t fields = 3;  // omnibus, id, payload
  if (!message.type.empty()) ++fields;
  if (!message.key.empty()) ++fields;
  return 2 * (fields + message.headers.size());
}

/// Appends a message as arguments, fields and values in turn.
inline void append_fields(std::string& out, const MessageView& message) {
  const auto ns =
      std::chrono::duration_cast<std::chrono::nanoseconds>(message.time.time_since_epoch());
  const Digits time{ns.count()};
  const Digits epoch{message.sequence.epoch};
  const Digits number{message.sequence.number};
  const bool numbered = message.sequence.epoch != 0;
  append_argument(out, field::own);
  append_count(out, '$', 2 + time.size() + (numbered ? 2 + epoch.size() + number.size() : 0));
  out.append("1 ", 2).append(time);
  if (numbered) out.append(" ", 1).append(epoch).append(" ", 1).append(number);
  out.append("\r\n", 2);
  append_argument(out, field::id);
  append_argument(out, message.id);
  if (!message.type.empty()) {
    append_argument(out, field::type);
    append_argument(out, message.type);
  }
  if (!message.key.empty()) {
    append_argument(out, field::key);
    append_argument(out, message.key);
  }
  for (const Header header : message.headers) {
    append_count(out, '$', field::header.size() + header.name.size());
    out.append(field::header).append(header.name).append("\r\n", 2);
    append_argument(out, header.value);
  }
  append_argument(out, field::payload);
  append_argument(out, message.payload);
}

/// Appends the XADD of a message. `bound` is how many entries the stream may have, roughly; 0: any.
inline void append_xadd(std::string& out, std::string_view stream, std::uint64_t bound,
                        const MessageView& message) {
  begin_command(out, 3 + (bound > 0 ? 3 : 0) + count_fields(message));
  append_argument(out, "XADD");
  append_argument(out, stream);
  if (bound > 0) {
    append_argument(out, "MAXLEN");
    append_argument(out, "~");
    append_argument(out, bound);
  }
  append_argument(out, "*");
  append_fields(out, message);
}

}  // namespace omnibus::redis
