// expect: Write handler \| transactional \| retry \| dead_letter \| idempotent, each at most once
// SPDX-License-Identifier: MIT
#include <omnibus/omnibus.hpp>

#include "orders.hpp"

void use(Bus& bus) {
  ob::RateLimit limit{{.per_second = 10}};
  ob::CircuitBreaker breaker;
#ifdef CORRECTED
  auto subscription = bus.subscribe("orders", charge | ob::circuit_breaker(breaker) | ob::rate_limit(limit));
#else
  auto subscription = bus.subscribe("orders", charge | ob::rate_limit(limit) | ob::rate_limit(limit));
#endif
}
