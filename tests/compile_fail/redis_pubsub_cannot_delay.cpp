// expect: this backend cannot delay messages. Leave .delay out, or choose a backend
// SPDX-License-Identifier: MIT
#include <omnibus/backends/redis_pubsub.hpp>
#include <omnibus/omnibus.hpp>

#include "orders.hpp"

void use(ob::EventBus<ob::RedisPubSub>& bus) {
#ifdef CORRECTED
  bus.publish("orders", OrderPlaced{}, {.key = "k"}).value();
#else
  bus.publish("orders", OrderPlaced{}, {.key = "k", .delay = 5s}).value();
#endif
}
