// SPDX-License-Identifier: MIT
// redis.latency: from just before the call that publishes to the entry of the handler, 500 messages of
// 256 bytes a second, against hiredis doing the same with a connection and a thread for each side.
// wait_: how long a call takes that publishes and waits for the reply, one after the other.

#include <cstddef>
#include <future>
#include <string>
#include <string_view>

#include "broker_latency.hpp"
#include "redis_bench.hpp"

namespace {

const auto keys = bench::ten_thousand_keys();

bench::Quantiles twin(bench::RedisCase& its) {
  const bench::RedisStream stream{its, "twin"};
  bench::RedisTwin publisher{its.endpoint}, consumer{its.endpoint};
  consumer.make_group(stream.name(), "bench");
  bench::settle();
  bench::Latencies latencies{its.messages};
  auto consumed = std::async(std::launch::async, [&] {
    consumer.consume(stream.name(), "bench", bench::kWarmUp + its.messages,
                     [&latencies](std::string_view payload) { latencies.note(payload); });
  });
  bench::at_500_a_second(its.messages, [&](std::size_t i, bench::Clock::time_point) {
    publisher.publish(stream.name(), keys[i % keys.size()], bench::stamped());
    publisher.flush();
  });
  consumed.get();
  return latencies.quantiles();
}

bench::Quantiles bus(bench::RedisCase& its) {
  const bench::RedisTopic topic{its, "omnibus"};
  bench::RedisBus bus{its.config()};
  return bench::bus_latency(bus, topic.name(), its.messages);
}

bench::Quantiles twin_that_waits(bench::RedisCase& its) {
  const bench::RedisStream stream{its, "twin"};
  bench::RedisTwin publisher{its.endpoint};
  const auto publish = [&](std::size_t i) {
    publisher.publish(stream.name(), keys[i % keys.size()], bench::stamped());
    publisher.flush();
  };
  (void)bench::call_latency(bench::kWarmUp, publish);
  return bench::call_latency(its.messages, publish);
}

bench::Quantiles bus_that_waits(bench::RedisCase& its) {
  const bench::RedisTopic topic{its, "omnibus"};
  bench::RedisBus bus{its.config()};
  const auto publish = [&](std::size_t i) {
    bus.publish(topic.name(), bench::stamped(), {.key = keys[i % keys.size()]}).value();
  };
  (void)bench::call_latency(bench::kWarmUp, publish);
  return bench::call_latency(its.messages, publish);
}

void measure(bench::RedisCase& its) {
  bench::compare_latency(its, {{"", bus, twin}, {"wait_", bus_that_waits, twin_that_waits}});
}

}  // namespace

int main(int argc, char** argv) {
  return bench::broker_main(argc, argv, "redis.latency", 2'000, measure);
}
