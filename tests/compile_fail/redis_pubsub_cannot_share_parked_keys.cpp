// expect: this backend has no groups that share parked keys. Leave .parked_in out, or
// SPDX-License-Identifier: MIT
#include <omnibus/backends/redis_pubsub.hpp>
#include <omnibus/backends/redis_streams.hpp>
#include <omnibus/omnibus.hpp>

#include "orders.hpp"

#ifdef CORRECTED
void use(ob::EventBus<ob::RedisStreams>& bus, ob::ParkedStore& store) {
#else
void use(ob::EventBus<ob::RedisPubSub>& bus, ob::ParkedStore& store) {
#endif
  auto subscription = bus.subscribe("orders", charge, {.order = ob::parked, .parked_in = store});
}
