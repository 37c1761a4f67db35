// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <concepts>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <omnibus/codec/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

#include "life_cycle.hpp"
#include "time.hpp"

// What happens to orders, one struct each, and how it is read from JSON and written.

namespace shop {

/// Money in hundredths, so that sums are exact.
using Cents = std::int64_t;

/// What all order events have.
struct OrderEvent {
  std::string order;
  Time time{};
};

struct OrderPlaced : OrderEvent {
  static constexpr std::string_view type = "order.placed";
  static constexpr State leads_to = State::placed;
};
struct OrderPaid : OrderEvent {
  static constexpr std::string_view type = "order.paid";
  static constexpr State leads_to = State::paid;
  std::optional<Cents> amount;  ///< real payments may lack it
};
struct OrderShipped : OrderEvent {
  static constexpr std::string_view type = "order.shipped";
  static constexpr State leads_to = State::shipped;
};
struct OrderDelivered : OrderEvent {
  static constexpr std::string_view type = "order.delivered";
  static constexpr State leads_to = State::delivered;
};
struct OrderCanceled : OrderEvent {
  static constexpr std::string_view type = "order.canceled";
  static constexpr State leads_to = State::canceled;
};
struct OrderUnavailable : OrderEvent {
  static constexpr std::string_view type = "order.unavailable";
  static constexpr State leads_to = State::unavailable;
};

/// A member that must be there and be a text. Errors: throws std::invalid_argument.
inline const std::string& text_of(const nlohmann::json& json, const char* name) {
  const auto found = json.find(name);
  if (found == json.end() || !found->is_string() || found->get_ref<const std::string&>().empty()) {
    throw std::invalid_argument{std::string{"the event has no "} + name};
  }
  return found->get_ref<const std::string&>();
}

inline void from_json(const nlohmann::json& json, OrderEvent& event) {
  event.order = text_of(json, "order");
  const std::string& text = text_of(json, "time");
  const auto time = parse_time(text);
  if (!time) throw std::invalid_argument{"\"" + text + "\" is no time"};
  event.time = *time;
}

inline void from_json(const nlohmann::json& json, OrderPaid& event) {
  from_json(json, static_cast<OrderEvent&>(event));
  const auto amount = json.find("amount");
  if (amount == json.end() || amount->is_null()) return;
  if (!amount->is_number()) throw std::invalid_argument{"the amount is no number"};
  const double cents = std::round(amount->get<double>() * 100);
  if (!(std::abs(cents) < 1e15)) throw std::invalid_argument{"the amount is out of range"};
  event.amount = static_cast<Cents>(cents);
}

inline void to_json(nlohmann::json& json, const OrderEvent& event) {
  json = {{"order", event.order}, {"time", time_text(event.time)}};
}

inline void to_json(nlohmann::json& json, const OrderPaid& event) {
  to_json(json, static_cast<const OrderEvent&>(event));
  if (event.amount) json["amount"] = static_cast<double>(*event.amount) / 100;
}

}  // namespace shop

/// One codec for all order events: JSON, under the name that the event has, keyed by the order.
template <std::derived_from<shop::OrderEvent> E>
struct omnibus::Codec<E> : omnibus::JsonCodec<E> {
  static constexpr std::string_view type = E::type;
  static std::string_view key(const E& event) { return event.order; }
};
