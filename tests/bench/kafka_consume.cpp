// SPDX-License-Identifier: MIT
// kafka.consume: 256-byte messages that wait in four partitions, through four lanes, against librdkafka
// in one thread: in batches and message by message. kafka.consume.header: both sides look at the header,
// where the message's id and type stand, as handlers of typed events do. The rate is that from the first
// message handled to the last; first_ms is what passes before, from the start of a consumer without a
// connection. The CPU time is that of all.

#include <librdkafka/rdkafka.h>

#include <cstddef>
#include <stdexcept>
#include <string>

#include "kafka_bench.hpp"

namespace {

const std::string payload(256, 'x');
const auto keys = bench::ten_thousand_keys();

/// Joining a group takes its time, in which nothing is consumed.
bench::Run from_first_message(const bench::KafkaCase& its, bench::Run run) {
  const auto messages = static_cast<double>(its.messages);
  run.rate = messages / (messages / run.rate - run.first_ms / 1e3);
  return run;
}

template <class Consume>
bench::Run twin(bench::KafkaCase& its, Consume consume) {
  const std::string topic = bench::full_topic(its, payload, keys).name();
  bench::Handled handled{its.messages};
  bench::settle();
  bench::Run run = bench::timed(its.messages, [&] {
    handled.begin();
    bench::KafkaTwinConsumer consumer{its.endpoint, its.new_topic("twin"), topic};
    consume(consumer, handled);
    handled.wait();
  });
  run.first_ms = handled.first_ms();
  return from_first_message(its, run);
}

bench::Run batches(bench::KafkaCase& its) {
  return twin(its, [&](bench::KafkaTwinConsumer& consumer, bench::Handled& handled) {
    consumer.consume_batches(its.messages, [&](const rd_kafka_message_t&) { handled.one(); });
  });
}

bench::Run one_by_one(bench::KafkaCase& its) {
  return twin(its, [&](bench::KafkaTwinConsumer& consumer, bench::Handled& handled) {
    consumer.consume(its.messages, [&](const rd_kafka_message_t&) { handled.one(); });
  });
}

/// Who wants the header has it parsed by librdkafka.
bench::Run batches_with_header(bench::KafkaCase& its) {
  return twin(its, [&](bench::KafkaTwinConsumer& consumer, bench::Handled& handled) {
    consumer.consume_batches(its.messages, [&](const rd_kafka_message_t& message) {
      rd_kafka_headers_t* headers = nullptr;
      bench::check(rd_kafka_message_headers(&message, &headers), "headers");
      const void* value = nullptr;
      std::size_t size = 0;
      bench::check(rd_kafka_header_get_last(headers, "omnibus", &value, &size), "header");
      handled.one();
    });
  });
}

template <class Look>
bench::Run through_bus(bench::KafkaCase& its, Look look) {
  const std::string topic = bench::full_topic(its, payload, keys).name();
  bench::KafkaBus bus{its.config()};
  bench::settle();
  return from_first_message(
      its, bench::consume_all(bus, topic, its.messages,
                              {.group = its.new_topic("omnibus"), .concurrency = 4}, look));
}
bench::Run bus(bench::KafkaCase& its) { return through_bus(its, bench::LookAtNothing{}); }
bench::Run bus_with_header(bench::KafkaCase& its) {
  return through_bus(its, [](const omnibus::Delivery& delivery) {
    if (delivery.id().empty()) throw std::runtime_error{"a message has no id"};
  });
}

void measure(bench::KafkaCase& its) {
  bench::compare(its, {{"batch", batches}, {"single", one_by_one}}, bus);
  its.name += ".header";
  bench::compare(its, {{"", batches_with_header}}, bus_with_header);
}

}  // namespace

int main(int argc, char** argv) {
  return bench::broker_main(argc, argv, "kafka.consume", 1'000'000, measure);
}
