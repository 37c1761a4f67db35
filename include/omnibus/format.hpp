// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

#include <fmt/format.h>

#include <omnibus/delivery.hpp>
#include <omnibus/detail/printable.hpp>
#include <omnibus/error.hpp>
#include <omnibus/message.hpp>
#include <omnibus/subscription.hpp>

// fmt formatters, opt-in: the one header that includes fmt. Payloads and header values are not
// printed, because they may hold secrets; broker-given text is printed without control characters.

namespace omnibus::detail {

/// A formatter that prints a string made from the value.
template <class T>
struct TextFormatter : fmt::formatter<std::string_view> {
  template <class Context>
  auto format(const T& value, Context& context) const {
    return fmt::formatter<std::string_view>::format(to_text(value), context);
  }

 private:
  static std::string to_text(Errc code) { return std::string{to_string(code)}; }
  static std::string to_text(const Error& error) { return printable(error.message()); }
  static std::string to_text(const Position& position) {
    return position.minor == 0 ? fmt::format("{}", position.major)
                               : fmt::format("{}-{}", position.major, position.minor);
  }
  static std::string to_text(const MessageView& message) {
    return fmt::format("{} {} key={} {} bytes", printable(message.id), printable(message.type),
                       printable(message.key), message.payload.size());
  }
  static std::string to_text(const Message& message) { return to_text(message.view()); }
  static std::string to_text(const Delivery& delivery) {
    return fmt::format("{}/{}@{} attempt {}: {}", delivery.topic(), delivery.partition(),
                       to_text(delivery.position()), delivery.attempt(), to_text(delivery.view()));
  }
  static std::string to_text(const SubscriptionStats& stats) {
    return fmt::format(
        "handled {}, retried {}, dead-lettered {}, dropped {}, duplicates {}, given back {}, in flight {}, "
        "waiting {}",
        stats.handled, stats.retried, stats.dead_lettered, stats.dropped, stats.duplicates, stats.given_back,
        stats.in_flight, stats.waiting);
  }
};

}  // namespace omnibus::detail

/// The code's name.
template <>
struct fmt::formatter<omnibus::Errc> : omnibus::detail::TextFormatter<omnibus::Errc> {};
/// One line: operation, context, code.
template <>
struct fmt::formatter<omnibus::Error> : omnibus::detail::TextFormatter<omnibus::Error> {};
/// "17", or "1700000000000-3" where a position has two halves.
template <>
struct fmt::formatter<omnibus::Position> : omnibus::detail::TextFormatter<omnibus::Position> {};
/// Id, type, key and size, without payload and headers.
template <>
struct fmt::formatter<omnibus::Message> : omnibus::detail::TextFormatter<omnibus::Message> {};
template <>
struct fmt::formatter<omnibus::MessageView> : omnibus::detail::TextFormatter<omnibus::MessageView> {};
/// Where it came from, which attempt it is, and the message.
template <>
struct fmt::formatter<omnibus::Delivery> : omnibus::detail::TextFormatter<omnibus::Delivery> {};
/// All counters by name.
template <>
struct fmt::formatter<omnibus::SubscriptionStats>
    : omnibus::detail::TextFormatter<omnibus::SubscriptionStats> {};
