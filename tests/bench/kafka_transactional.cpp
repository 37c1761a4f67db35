// SPDX-License-Identifier: MIT
// kafka.transactional: from one topic to another, 256-byte messages that wait in four partitions, through a handler
// behind transactional() that publishes by publish_with, beside the twin: a handler with no transactions that waits
// for its publish_async. Both have 16 lanes. The rate is that from the first message handled to the last output seen
// by a reader, who sees what is committed; first_ms is what passes before, in which the group is joined.

#include <cstddef>
#include <future>
#include <optional>
#include <string>

#include "kafka_bench.hpp"

namespace {

namespace ob = omnibus;

const std::string payload(256, 'x');
const auto keys = bench::ten_thousand_keys();

/// `make(bus, out, begun)` makes a handler that publishes to `out`.
template <class Make>
bench::Run pass_on(bench::KafkaCase& its, Make make) {
  const std::string in = bench::full_topic(its, payload, keys).name();
  const bench::KafkaTopic out{its, "out"};
  bench::KafkaBus bus{its.config()};
  bench::Handled begun{its.messages}, came{its.messages};
  const auto reader = bus.subscribe(out.name(), [&](const ob::Delivery&) { came.one(); },
                                    {.group = its.new_topic("reader"), .concurrency = 4});
  bench::wait_until_ok(reader);
  bench::settle();
  std::optional<ob::Subscription> passing;  // it ends after the clock has stopped
  bench::Run run = bench::timed(its.messages, [&] {
    begun.begin();
    passing = bus.subscribe(in, make(bus, out.name(), begun),
                            {.group = its.new_topic("group"), .concurrency = 16});
    came.wait();
  });
  const auto messages = static_cast<double>(its.messages);
  run.first_ms = begun.first_ms();
  run.rate = messages / (messages / run.rate - run.first_ms / 1e3);
  return run;
}

bench::Run transactional(bench::KafkaCase& its) {
  return pass_on(its, [](bench::KafkaBus&, const std::string& out, bench::Handled& begun) {
    return [&begun, out](const ob::Delivery& delivery) {
             begun.one();
             return ob::publish_with(delivery, out, delivery.payload(), {.key = delivery.key()});
           } | ob::transactional();
  });
}

bench::Run waiting(bench::KafkaCase& its) {
  return pass_on(its, [](bench::KafkaBus& bus, const std::string& out, bench::Handled& begun) {
    return [&bus, &begun, out](const ob::Delivery& delivery) -> ob::Result<> {
      begun.one();
      std::promise<ob::Result<>> ended;
      bus.publish_async(
          out, delivery.payload(),
          [&ended](const ob::Result<ob::Receipt>& result) {
            ended.set_value(result ? ob::Result<>{} : ob::Result<>{result.error()});
          },
          {.key = delivery.key()});
      return ended.get_future().get();
    };
  });
}

}  // namespace

int main(int argc, char** argv) {
  return bench::broker_main(argc, argv, "kafka.transactional", 20'000, +[](bench::KafkaCase& its) {
    bench::compare(its, {{"", waiting}}, transactional);
  });
}
