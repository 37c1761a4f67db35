// expect: this backend keeps no dead letters. Choose a backend whose capabilities say
// SPDX-License-Identifier: MIT
#include <omnibus/backends/redis_pubsub.hpp>
#include <omnibus/backends/redis_streams.hpp>
#include <omnibus/letters.hpp>
#include <omnibus/omnibus.hpp>

#include "orders.hpp"

#ifdef CORRECTED
void use(ob::EventBus<ob::RedisStreams>& bus) {
#else
void use(ob::EventBus<ob::RedisPubSub>& bus) {
#endif
  ob::DeadLetters letters{bus, "orders.dlq"};
}
