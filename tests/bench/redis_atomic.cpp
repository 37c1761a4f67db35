// SPDX-License-Identifier: MIT
// redis.atomic: publish_atomic beside publish_async, to a real Redis; see atomic_bench.hpp.

#include "atomic_bench.hpp"
#include "redis_bench.hpp"

int main(int argc, char** argv) {
  return bench::broker_main(argc, argv, "redis.atomic", 50'000, +[](bench::RedisCase& its) {
    bench::RedisBus bus{its.config()};
    bench::measure_atomic(its.name, bus, its.messages, [&] { return its.new_topic("atomic"); });
  });
}
