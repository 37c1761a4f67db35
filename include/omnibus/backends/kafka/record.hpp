// SPDX-License-Identifier: MIT
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>

#include <omnibus/message.hpp>
#include <omnibus/time.hpp>

// What of a message has no place in a Kafka record stands in one header of it. One, because each costs
// librdkafka two allocations on either side. Key, payload, time and the user's headers are the
// record's own. Pure functions.

namespace omnibus::kafka {

/// The header's name. Its value is text: the id, the type, and what else there is, a line each; '%' and
/// line ends are written as in URLs.
inline constexpr std::string_view own_header = "omnibus";

/// What the header says.
struct Envelope {
  std::string_view id;
  std::string_view type;
  Sequence sequence{};
  std::int64_t due = 0;        ///< not before this, milliseconds since 1970; 0: at once
  std::uint32_t attempts = 0;  ///< before this copy was made
  std::string_view group;      ///< meant for this one alone; empty: for all
};

/// Appends text that may have any bytes.
inline void append_escaped(std::string& out, std::string_view text) {
  // Each alone is a memchr; find_first_of makes one for every character of the text.
  if (text.find('%') == std::string_view::npos && text.find('\n') == std::string_view::npos) {
    out.append(text);
    return;
  }
  for (const char c : text) {
    if (c == '%') {
      out.append("%25");
    } else if (c == '\n') {
      out.append("%0A");
    } else {
      out.push_back(c);
    }
  }
}

/// Appends the header's value.
inline void append_envelope(std::string& out, const Envelope& envelope) {
  append_escaped(out, envelope.id);
  out.push_back('\n');
  append_escaped(out, envelope.type);
  if (envelope.sequence.epoch != 0) {
    out.append("\ns").append(std::to_string(envelope.sequence.epoch));
    out.append(".").append(std::to_string(envelope.sequence.number));
  }
  if (envelope.due != 0) out.append("\nd").append(std::to_string(envelope.due));
  if (envelope.attempts != 0) out.append("\na").append(std::to_string(envelope.attempts));
  if (!envelope.group.empty()) out.append("\ng").append(envelope.group);
}

/// Reads the header's value. What is escaped is written out in `scratch`, which has to live as long as
/// the envelope does. What it does not know, it leaves out: the value may come from anywhere.
inline Envelope parse_envelope(std::string_view value, std::string& scratch) {
  scratch.clear();
  if (value.find('%') != std::string_view::npos) scratch.reserve(value.size());
  const auto line = [&] {
    const std::size_t end = value.find('\n');
    const std::string_view found = value.substr(0, end);
    value.remove_prefix(end == std::string_view::npos ? value.size() : end + 1);
    return found;
  };
  const auto plain = [&](std::string_view text) {
    if (text.find('%') == std::string_view::npos) return text;
    const std::size_t begin = scratch.size();
    for (std::size_t at = 0; at < text.size(); ++at) {
      if (text.substr(at, 3) == "%25") {
        scratch.push_back('%');
        at += 2;
      } else if (text.substr(at, 3) == "%0A") {
        scratch.push_back('\n');
        at += 2;
      } else {
        scratch.push_back(text[at]);
      }
    }
    return std::string_view{scratch}.substr(begin);
  };
  const auto number = [](std::string_view text, auto& to) {
    (void)std::from_chars(text.data(), text.data() + text.size(), to);
  };
  Envelope envelope;
  envelope.id = plain(line());
  envelope.type = plain(line());
  while (!value.empty()) {
    const std::string_view next = line();
    if (next.empty()) continue;
    const std::string_view rest = next.substr(1);
    switch (next.front()) {
      case 's': {
        const std::size_t dot = rest.find('.');
        if (dot == std::string_view::npos) break;
        number(rest.substr(0, dot), envelope.sequence.epoch);
        number(rest.substr(dot + 1), envelope.sequence.number);
        break;
      }
      case 'd': number(rest, envelope.due); break;
      case 'a': number(rest, envelope.attempts); break;
      case 'g': envelope.group = rest; break;
      default: break;
    }
  }
  return envelope;
}

/// Milliseconds since 1970, as records have them.
inline std::int64_t to_ms(Time time) noexcept {
  return std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
}
/// The moment of a record; outside of what a Time can say, its bounds.
inline Time from_ms(std::int64_t ms) noexcept {
  constexpr std::int64_t last = 9'000'000'000'000;  // what fits into nanoseconds
  return Time{std::chrono::milliseconds{ms > last ? last : ms < 0 ? 0 : ms}};
}

}  // namespace omnibus::kafka
