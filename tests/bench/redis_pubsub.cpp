// SPDX-License-Identifier: MIT
// redis.pubsub: 256-byte messages from one publisher to one subscriber, against hiredis doing the same with
// a connection and a thread for each side. The server drops who does not keep up, so both publish a
// chunk, and the next one when that was heard. Connections are open before the clock starts.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <future>
#include <semaphore>
#include <stdexcept>
#include <string>
#include <string_view>

#include <omnibus/backends/redis_pubsub.hpp>

#include "redis_bench.hpp"

namespace {

constexpr std::size_t chunk = 10'000;

const std::string payload(256, 'x');
const auto keys = bench::ten_thousand_keys();

/// Counts what is heard, a chunk at a time.
class Heard {
 public:
  void one() {
    if ((count_.fetch_add(1, std::memory_order_relaxed) + 1) % chunk == 0) whole_.release();
  }
  void wait_for_chunk() {
    if (!whole_.try_acquire_for(std::chrono::seconds{30})) {
      throw std::runtime_error{"messages are missing"};
    }
  }

 private:
  std::atomic<std::size_t> count_{0};
  std::counting_semaphore<> whole_{0};
};

/// What travels for each message of omnibus, for the twin to send as much.
std::string frame() {
  omnibus::Message message;
  message.id = bench::RedisTwin::id;
  message.key = keys[0];
  message.payload = payload;
  message.time = omnibus::Time::clock::now();
  std::string bytes;
  omnibus::redis::append_frame(bytes, message.view());
  return bytes;
}

bench::Run twin(bench::RedisCase& its) {
  const std::string channel = its.new_topic("twin");
  const std::string bytes = frame();
  const std::size_t chunks = its.messages / chunk;
  bench::RedisTwin publisher{its.endpoint}, subscriber{its.endpoint};
  subscriber.subscribe(channel);
  Heard heard;
  auto listening = std::async(std::launch::async, [&] {
    subscriber.listen((1 + chunks) * chunk, [&heard](std::string_view) { heard.one(); });
  });
  const auto publish_chunk = [&] {
    for (std::size_t i = 0; i < chunk; ++i) publisher.pass_on(channel, bytes);
    publisher.flush();
    heard.wait_for_chunk();
  };
  publish_chunk();
  const bench::Run run = bench::timed(its.messages, [&] {
    for (std::size_t i = 0; i < chunks; ++i) publish_chunk();
  });
  listening.get();
  return run;
}

bench::Run bus(bench::RedisCase& its) {
  const std::string topic = its.new_topic("omnibus");
  omnibus::EventBus<omnibus::RedisPubSub> bus{{.endpoint = its.endpoint}};
  Heard heard;
  const auto subscription = bus.subscribe(
      topic, [&heard](const omnibus::Delivery&) { heard.one(); }, {.concurrency = 1});
  bench::wait_until_ok(subscription);
  const auto publish_chunk = [&] {
    bench::publish_all(bus, topic, payload, keys, chunk);
    heard.wait_for_chunk();
  };
  publish_chunk();
  return bench::timed(its.messages, [&] {
    for (std::size_t i = 0; i < its.messages / chunk; ++i) publish_chunk();
  });
}

void measure(bench::RedisCase& its) {
  its.messages = std::max<std::size_t>(1, its.messages / chunk) * chunk;
  bench::compare(its, {{"", twin}}, bus);
}

}  // namespace

int main(int argc, char** argv) {
  return bench::broker_main(argc, argv, "redis.pubsub", 300'000, measure);
}
