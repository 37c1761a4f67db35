// SPDX-License-Identifier: MIT
// redis.letters: parking and redriving beside a real Redis; see broker_letters.hpp.

#include "broker_letters.hpp"
#include "redis_bench.hpp"

int main(int argc, char** argv) {
  return bench::broker_main(argc, argv, "redis.letters", 20'000, bench::measure_letters<bench::RedisBus, bench::RedisCase>);
}
