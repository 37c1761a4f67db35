// expect: the event's codec cannot decode. Write static omnibus::Result<Event> decode
// SPDX-License-Identifier: MIT
#include <omnibus/omnibus.hpp>

#include "orders.hpp"

struct Sent {};
template <>
struct omnibus::Codec<Sent> {
  static constexpr std::string_view type = "sent";
  static void encode(const Sent&, std::string&) {}
#ifdef CORRECTED
  static omnibus::Result<Sent> decode(std::string_view) { return Sent{}; }
#endif
};

void use(Bus& bus) {
  auto subscription = bus.subscribe("orders", [](const Sent&) {});
}
