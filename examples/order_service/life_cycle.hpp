// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "time.hpp"

// The life cycle of an order, as a pure function:
//
//     placed ─► paid ─► shipped ─► delivered
//        │        │        │
//        │        │        └─► canceled
//        ├────────┴─► canceled
//        └────────┴─► unavailable

namespace shop {

/// Where an order stands. Each event leads to the state of the same name.
enum class State : std::uint8_t { none, placed, paid, shipped, delivered, canceled, unavailable };

constexpr std::string_view to_string(State state) noexcept {
  switch (state) {
    case State::none:
      return "none";
    case State::placed:
      return "placed";
    case State::paid:
      return "paid";
    case State::shipped:
      return "shipped";
    case State::delivered:
      return "delivered";
    case State::canceled:
      return "canceled";
    case State::unavailable:
      return "unavailable";
  }
  return "unknown";
}

/// An order as its accepted events describe it.
struct Order {
  State state = State::none;
  Time since{};  ///< when the last of them happened
};

/// Says why an order must not go to state `to` at time `at`; nothing when it may.
inline std::optional<std::string> contradiction(const Order& order, State to, Time at) {
  const auto says = [to](std::string_view relation, State other) {
    return std::string{to_string(to)}.append(relation).append(to_string(other));
  };
  const State from = order.state;
  if (from == to) return std::string{to_string(to)} + " twice";
  if (from == State::none && to != State::placed) return says(" before it was ", State::placed);

  const bool over = from == State::canceled || from == State::unavailable;
  const bool abandons = to == State::canceled || to == State::unavailable;
  const bool too_late =
      from == State::delivered || (from == State::shipped && to == State::unavailable);
  if (over || (abandons && too_late)) return says(" after it was ", from);

  if (!abandons) {
    const auto required = static_cast<State>(static_cast<int>(to) - 1);
    if (from > required) return says(" after it was ", from);
    if (from < required) return says(" before it was ", required);
  }
  if (at < order.since)
    return std::string{to_string(to)} + " at a time before the event it follows";
  return {};
}

}  // namespace shop
