// expect: this hears of no sequence. Write a callable \(const omnibus::Delivery&, const
// SPDX-License-Identifier: MIT
#include <omnibus/omnibus.hpp>

#include "orders.hpp"

void use(Bus& bus) {
  ob::SequenceTracker tracker;
#ifdef CORRECTED
  const auto hear = [](const ob::Delivery&, const ob::SequenceReport&) {};
#else
  const auto hear = [](const ob::SequenceReport&) {};
#endif
  auto subscription = bus.subscribe("orders", charge | ob::sequenced(tracker, hear));
}
