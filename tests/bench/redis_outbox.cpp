// SPDX-License-Identifier: MIT
// redis.outbox: relaying an outbox to a real Redis; see broker_outbox.hpp.

#include "broker_outbox.hpp"
#include "redis_bench.hpp"

int main(int argc, char** argv) {
  return bench::broker_main(argc, argv, "redis.outbox", 100'000, +[](bench::RedisCase& its) {
    bench::measure_outbox<bench::RedisBus>(its, [](bench::RedisBus&, const std::string&) {});
  });
}
