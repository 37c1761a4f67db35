// expect: the event's codec cannot encode. Write static void encode
// SPDX-License-Identifier: MIT
#include <omnibus/omnibus.hpp>

#include "orders.hpp"

struct Received {};
template <>
struct omnibus::Codec<Received> {
  static constexpr std::string_view type = "received";
  static omnibus::Result<Received> decode(std::string_view) { return Received{}; }
#ifdef CORRECTED
  static void encode(const Received&, std::string&) {}
#endif
};

void use(Bus& bus) { bus.publish("orders", Received{}).value(); }
