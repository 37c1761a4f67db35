// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <omnibus/headers.hpp>
#include <omnibus/message.hpp>
#include <omnibus/time.hpp>

// AMQP 0-9-1 frames of the hot path, encoded into one growing buffer, so that many messages leave in
// one write. Layouts: AMQP 0-9-1 specification, sections 4.2.3 (frames), 4.2.5 (types), 4.2.6
// (content) and, of tables, RabbitMQ's errata (rabbitmq.com/amqp-0-9-1-errata). Pure functions.

namespace omnibus::rabbitmq {

inline void put8(std::string& out, std::uint8_t value) { out.push_back(static_cast<char>(value)); }
inline void put16(std::string& out, std::uint16_t value) {
  const char bytes[] = {static_cast<char>(value >> 8), static_cast<char>(value)};
  out.append(bytes, sizeof bytes);
}
inline void put32(std::string& out, std::uint32_t value) {
  const std::uint32_t swapped = __builtin_bswap32(value);
  out.append(reinterpret_cast<const char*>(&swapped), sizeof swapped);
}
inline void put64(std::string& out, std::uint64_t value) {
  const std::uint64_t swapped = __builtin_bswap64(value);
  out.append(reinterpret_cast<const char*>(&swapped), sizeof swapped);
}
/// At most 255 bytes.
inline void put_short(std::string& out, std::string_view text) {
  put8(out, static_cast<std::uint8_t>(text.size()));
  out.append(text);
}
inline void put_long(std::string& out, std::string_view bytes) {
  put32(out, static_cast<std::uint32_t>(bytes.size()));
  out.append(bytes);
}

enum class FrameType : std::uint8_t { method = 1, header = 2, body = 3, heartbeat = 8 };
inline constexpr std::size_t frame_overhead = 8;  ///< type, channel, size and end octet

/// Begins a frame; returns what `end_frame` wants.
inline std::size_t begin_frame(std::string& out, FrameType type, std::uint16_t channel) {
  put8(out, static_cast<std::uint8_t>(type));
  put16(out, channel);
  put32(out, 0);
  return out.size();
}
inline void end_frame(std::string& out, std::size_t begin) {
  const std::uint32_t size = __builtin_bswap32(static_cast<std::uint32_t>(out.size() - begin));
  __builtin_memcpy(out.data() + begin - sizeof size, &size, sizeof size);
  put8(out, 0xCE);
}

inline void append_heartbeat(std::string& out) { end_frame(out, begin_frame(out, FrameType::heartbeat, 0)); }

/// basic.ack of one delivery, or of all up to it.
inline void append_ack(std::string& out, std::uint16_t channel, std::uint64_t tag, bool multiple) {
  const auto frame = begin_frame(out, FrameType::method, channel);
  put32(out, 0x003C0050);  // class 60, method 80
  put64(out, tag);
  put8(out, multiple ? 1 : 0);
  end_frame(out, frame);
}

/// The headers that carry what AMQP has no property for. Nothing else may begin like them.
namespace own_header {
inline constexpr std::string_view prefix = "x-omnibus-";
inline constexpr std::string_view key = "x-omnibus-key";
inline constexpr std::string_view id = "x-omnibus-id";      ///< where it is too long for message-id
inline constexpr std::string_view type = "x-omnibus-type";  ///< likewise
inline constexpr std::string_view time = "x-omnibus-time";  ///< nanoseconds since 1970
inline constexpr std::string_view epoch = "x-omnibus-epoch";
inline constexpr std::string_view number = "x-omnibus-number";
inline constexpr std::string_view attempts = "x-omnibus-attempts";  ///< before this copy was made
inline constexpr std::string_view wait = "x-omnibus-wait";  ///< left of its delay, nanoseconds
}  // namespace own_header

/// Properties of AMQP that appear as headers of these names, in both directions, in the order in which
/// they are sent, with their bits in the flags.
struct TextProperty {
  std::string_view name;
  int bit;
};
inline constexpr std::array<TextProperty, 5> text_properties{{{"content-type", 15},
                                                              {"content-encoding", 14},
                                                              {"correlation-id", 10},
                                                              {"reply-to", 9},
                                                              {"app-id", 3}}};

/// What a copy that waits carries besides its message.
struct Carried {
  std::uint32_t attempts = 0;  ///< how often it has been tried
  Duration wait{};             ///< what is left of its delay after this queue
  std::string_view expires{};  ///< milliseconds after which it may be dropped; empty: never
};

inline void put_field(std::string& out, std::string_view name, std::string_view bytes) {
  put_short(out, name);
  put8(out, 'S');
  put_long(out, bytes);
}
inline void put_field(std::string& out, std::string_view name, std::int64_t number) {
  put_short(out, name);
  put8(out, 'l');
  put64(out, static_cast<std::uint64_t>(number));
}

/// The headers that travel as properties: the first of each name that fits.
using TextProperties = std::array<std::string_view, text_properties.size()>;

inline TextProperties find_text_properties(HeadersView headers) noexcept {
  TextProperties found{};
  for (const Header header : headers) {
    for (std::size_t i = 0; i < found.size(); ++i) {
      if (found[i].empty() && header.name == text_properties[i].name && header.value.size() <= 255) {
        found[i] = header.value;
      }
    }
  }
  return found;
}

/// The table of headers: our own, and those that travel as no property.
inline void put_headers(std::string& out, const MessageView& message, const Carried& carried,
                        const TextProperties& properties) {
  const std::size_t begin = out.size();
  put32(out, 0);
  if (!message.key.empty()) put_field(out, own_header::key, message.key);
  put_field(out, own_header::time,
            std::chrono::nanoseconds{message.time.time_since_epoch()}.count());
  if (message.id.size() > 255) put_field(out, own_header::id, message.id);
  if (message.type.size() > 255) put_field(out, own_header::type, message.type);
  if (message.sequence.epoch != 0) {
    put_field(out, own_header::epoch, static_cast<std::int64_t>(message.sequence.epoch));
    put_field(out, own_header::number, static_cast<std::int64_t>(message.sequence.number));
  }
  if (carried.attempts != 0) put_field(out, own_header::attempts, std::int64_t{carried.attempts});
  if (carried.wait > Duration::zero()) {
    put_field(out, own_header::wait, std::int64_t{carried.wait.count()});
  }
  for (const Header header : message.headers) {
    bool elsewhere = false;
    for (const std::string_view value : properties) {
      elsewhere |= !value.empty() && value.data() == header.value.data();
    }
    if (!elsewhere) put_field(out, header.name, header.value);
  }
  const std::uint32_t size = __builtin_bswap32(static_cast<std::uint32_t>(out.size() - begin - 4));
  __builtin_memcpy(out.data() + begin, &size, sizeof size);
}

/// A whole message: basic.publish, content header, and the body in frames of at most `frame_max`
/// bytes. Always mandatory and persistent. False when the headers do not fit into one frame.
inline bool append_publish(std::string& out, std::uint16_t channel, std::string_view exchange,
                           std::string_view routing_key, const MessageView& message,
                           const Carried& carried, std::size_t frame_max) {
  auto frame = begin_frame(out, FrameType::method, channel);
  put32(out, 0x003C0028);  // class 60, method 40
  put16(out, 0);
  put_short(out, exchange);
  put_short(out, routing_key);
  put8(out, 1);  // mandatory
  end_frame(out, frame);

  frame = begin_frame(out, FrameType::header, channel);
  put16(out, 60);
  put16(out, 0);
  put64(out, message.payload.size());
  const TextProperties text = find_text_properties(message.headers);
  const bool id_fits = message.id.size() <= 255;
  const std::string_view type = message.type.size() <= 255 ? message.type : std::string_view{};
  unsigned flags = 1u << 13 | 1u << 12 | 1u << 6;  // headers, delivery-mode, timestamp
  if (!carried.expires.empty()) flags |= 1u << 8;
  if (id_fits) flags |= 1u << 7;
  if (!type.empty()) flags |= 1u << 5;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (!text[i].empty()) flags |= 1u << text_properties[i].bit;
  }
  const auto put_text = [&](std::size_t index) {
    if (!text[index].empty()) put_short(out, text[index]);
  };
  put16(out, static_cast<std::uint16_t>(flags));
  put_text(0);
  put_text(1);
  put_headers(out, message, carried, text);
  put8(out, 2);  // delivery-mode: persistent
  put_text(2);
  put_text(3);
  if (!carried.expires.empty()) put_short(out, carried.expires);
  if (id_fits) put_short(out, message.id);
  const auto since = std::chrono::duration_cast<std::chrono::seconds>(message.time.time_since_epoch());
  put64(out, static_cast<std::uint64_t>(since.count()));
  if (!type.empty()) put_short(out, type);
  put_text(4);
  end_frame(out, frame);

  const std::size_t most = frame_max - frame_overhead;
  if (out.size() - frame - 1 > most) return false;
  for (std::string_view rest = message.payload; !rest.empty();) {
    const std::string_view part = rest.substr(0, most);
    frame = begin_frame(out, FrameType::body, channel);
    out.append(part);
    end_frame(out, frame);
    rest.remove_prefix(part.size());
  }
  return true;
}

}  // namespace omnibus::rabbitmq
