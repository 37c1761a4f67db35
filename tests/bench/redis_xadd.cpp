// SPDX-License-Identifier: MIT
// redis.xadd: from the first publish to the last reply, 256-byte messages, against hiredis doing the
// same with a pipeline. Connections are open before the clock starts.

#include <string>

#include "redis_bench.hpp"

namespace {

const std::string payload(256, 'x');
const auto keys = bench::ten_thousand_keys();

bench::Run twin(bench::RedisCase& its) {
  const bench::RedisStream stream{its, "twin"};
  bench::RedisTwin client{its.endpoint};
  client.publish(stream.name(), keys[0], payload);
  client.flush();
  bench::settle();
  return bench::timed(its.messages, [&] {
    for (std::size_t i = 0; i < its.messages; ++i) {
      client.publish(stream.name(), bench::key_of(keys, i), payload);
    }
    client.flush();
  });
}

bench::Run bus(bench::RedisCase& its) {
  const bench::RedisTopic topic{its, "omnibus"};
  bench::RedisBus bus{its.config()};
  bus.publish(topic.name(), payload).value();
  bench::settle();
  return bench::timed(its.messages, [&] {
    bench::publish_all(bus, topic.name(), payload, keys, its.messages);
  });
}

void measure(bench::RedisCase& its) { bench::compare(its, {{"", twin}}, bus); }

}  // namespace

int main(int argc, char** argv) {
  return bench::broker_main(argc, argv, "redis.xadd", 300'000, measure);
}
