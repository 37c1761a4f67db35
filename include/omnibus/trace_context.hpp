// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <omnibus/detail/uuid.hpp>
#include <omnibus/headers.hpp>

// The W3C trace context (Recommendation "Trace Context", sections 3.2 and 3.3; spec/20-http_request_header_
// format.md in w3c/trace-context). Headers are the publisher's and stay as they are: a `traceparent` arrives
// with every attempt, stands in the dead letter and comes back with a redrive. What a handler publishes
// itself has the headers that the handler gives it:
//
//     auto charge = [&bus](const OrderPlaced& order, const ob::Delivery& delivery) {
//       bus.publish("invoices", Invoice{order}, {.headers = ob::child_trace(delivery.headers())}).value();
//     };
//
// A tracer reports spans, omnibus does not: with one, write its span's context with `format_traceparent`.

namespace omnibus {

inline constexpr std::string_view traceparent_header = "traceparent";
inline constexpr std::string_view tracestate_header = "tracestate";

/// Where a message stands in a trace.
struct TraceContext {
  std::uint64_t trace_high = 0;  ///< the trace's id; not both halves are zero
  std::uint64_t trace_low = 0;
  std::uint64_t span = 0;        ///< the id of the span it came from; not zero
  bool sampled = false;          ///< the caller may have recorded it
  bool operator==(const TraceContext&) const = default;
};

namespace detail {

/// The number that lower-case hexadecimal digits say, at most sixteen of them; nothing when one is none.
inline std::optional<std::uint64_t> read_hex(std::string_view digits) noexcept {
  std::uint64_t value = 0;
  for (const char c : digits) {
    const bool digit = c >= '0' && c <= '9';
    if (!digit && (c < 'a' || c > 'f')) return std::nullopt;
    value = value << 4 | static_cast<std::uint64_t>(digit ? c - '0' : c - 'a' + 10);
  }
  return value;
}

inline void append_hex(std::string& out, std::uint64_t value, unsigned digits) {
  while (digits-- > 0) out += "0123456789abcdef"[value >> (4 * digits) & 15];
}

}  // namespace detail

/// Reads the value of a `traceparent` header. Nothing when it is malformed: then it is to be ignored. Of a
/// version after 00, its beginning is read, which may be followed by a dash and more. A pure function.
inline std::optional<TraceContext> parse_traceparent(std::string_view text) noexcept {
  constexpr std::size_t size = 55;  // version-trace-span-flags: 2, 32, 16 and 2 digits
  if (text.size() < size || text[2] != '-' || text[35] != '-' || text[52] != '-') return std::nullopt;
  const auto version = detail::read_hex(text.substr(0, 2));
  if (!version || *version == 0xff) return std::nullopt;
  if (text.size() > size && (*version == 0 || text[size] != '-')) return std::nullopt;
  const auto high = detail::read_hex(text.substr(3, 16));
  const auto low = detail::read_hex(text.substr(19, 16));
  const auto span = detail::read_hex(text.substr(36, 16));
  const auto flags = detail::read_hex(text.substr(53, 2));
  if (!high || !low || !span || !flags || (*high == 0 && *low == 0) || *span == 0) return std::nullopt;
  return TraceContext{*high, *low, *span, (*flags & 1) != 0};
}

/// The value of a `traceparent` header, in version 00: flags that it does not know are not set. A pure
/// function.
inline std::string format_traceparent(const TraceContext& context) {
  std::string text = "00-";
  detail::append_hex(text, context.trace_high, 16);
  detail::append_hex(text, context.trace_low, 16);
  text += '-';
  detail::append_hex(text, context.span, 16);
  return text.append(context.sampled ? "-01" : "-00");
}

/// A span of the same trace. Its id is random; of `random`, only a zero would be none.
inline TraceContext child_of(const TraceContext& parent,
                             std::uint64_t random = detail::entropy64()) noexcept {
  TraceContext child = parent;
  child.span = random != 0 ? random : 1;
  return child;
}

/// What the headers of a message say; nothing without a `traceparent`, or with one that is malformed.
inline std::optional<TraceContext> trace_of(HeadersView headers) noexcept {
  return parse_traceparent(headers.get(traceparent_header));
}

/// Headers for a message that is published because of another: its trace goes on, with a new span, and
/// `tracestate` as it was. Empty when that one has no trace: none is begun.
inline Headers child_trace(HeadersView of) {
  Headers headers;
  const auto parent = trace_of(of);
  if (!parent) return headers;
  headers.add(traceparent_header, format_traceparent(child_of(*parent)));
  for (const Header header : of) {
    if (header.name == tracestate_header) headers.add(header.name, header.value);
  }
  return headers;
}

}  // namespace omnibus
