// SPDX-License-Identifier: MIT
// redis.xreadgroup: from the start of consuming until the last of the 256-byte messages that wait in
// the broker is handled, against hiredis reading and acknowledging in batches of the same size. Both
// begin without a connection; first_ms is what passes until the first message is handled.

#include <string>
#include <string_view>

#include "redis_bench.hpp"

namespace {

const std::string payload(256, 'x');
const auto keys = bench::ten_thousand_keys();

bench::Run twin(bench::RedisCase& its) {
  const bench::RedisStream stream{its, "twin"};
  {
    bench::RedisTwin publisher{its.endpoint};
    for (std::size_t i = 0; i < its.messages; ++i) {
      publisher.publish(stream.name(), bench::key_of(keys, i), payload);
    }
    publisher.flush();
  }
  bench::settle();
  bench::Handled handled{its.messages};
  bench::Run run = bench::timed(its.messages, [&] {
    handled.begin();
    bench::RedisTwin client{its.endpoint};
    client.make_group(stream.name(), "bench");
    client.consume(stream.name(), "bench", its.messages,
                   [&handled](std::string_view) { handled.one(); });
    handled.wait();
  });
  run.first_ms = handled.first_ms();
  return run;
}

bench::Run bus(bench::RedisCase& its) {
  const bench::RedisTopic topic{its, "omnibus"};
  bench::RedisBus bus{its.config()};
  bench::publish_all(bus, topic.name(), payload, keys, its.messages);
  bench::settle();
  return bench::consume_all(bus, topic.name(), its.messages, {.concurrency = 1});
}

void measure(bench::RedisCase& its) { bench::compare(its, {{"", twin}}, bus); }

}  // namespace

int main(int argc, char** argv) {
  return bench::broker_main(argc, argv, "redis.xreadgroup", 300'000, measure);
}
