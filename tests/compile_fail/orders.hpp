// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

#include <omnibus/omnibus.hpp>

// What a user's program has before it makes a mistake.

namespace ob = omnibus;
using namespace std::chrono_literals;
using Bus = ob::EventBus<ob::Memory>;

struct OrderPlaced {
  std::string id;
};

template <>
struct omnibus::Codec<OrderPlaced> {
  static constexpr std::string_view type = "order.placed";
  static void encode(const OrderPlaced& event, std::string& out) { out += event.id; }
  static omnibus::Result<OrderPlaced> decode(std::string_view bytes) {
    return OrderPlaced{std::string{bytes}};
  }
};

inline void charge(const OrderPlaced&) {}

/// An event whose codec nobody wrote.
struct Uncoded {};
