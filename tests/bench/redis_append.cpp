// SPDX-License-Identifier: MIT
// redis.append: events of 256 bytes, one a call, each answered by the server when the call returns, by 64 callers and
// by one, and read back; against hiredis with a pipeline of XADD, which knows no versions and stores an id twice.
// What "answered" is worth is the server's appendfsync.

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include <omnibus/event_store/redis.hpp>

#include "redis_bench.hpp"

namespace ob = omnibus;

namespace {

const std::string payload(256, 'x');

struct Figures {
  double appends;
  double reads;
};

Figures append(bench::RedisCase& its, int callers, int events) {
  ob::RedisEventStore store{{.endpoint = its.endpoint, .prefix = its.new_topic("events")}};
  (void)ob::append(store, "warm-up", {}, {}).value();
  std::vector<std::thread> threads;
  const bench::Stopwatch watch;
  for (int caller = 0; caller < callers; ++caller) {
    threads.emplace_back([&, stream = "order-" + std::to_string(caller)] {
      for (int i = 0; i < events / callers; ++i) {
        const std::string id = "0193c7a1-7abc-8def-" + stream + "-" + std::to_string(i);
        const ob::NewEvent event{id, "OrderPlaced", payload};
        const auto version = static_cast<std::uint64_t>(i);
        (void)ob::append(store, stream, ob::ExpectedVersion::exactly(version), {&event, 1}).value();
      }
    });
  }
  for (auto& each : threads) each.join();
  const double appends = events / watch.seconds();
  ob::EventPage page;
  ob::ReadRange range;
  const bench::Stopwatch reading;
  for (bool end = false; !end;) {
    const ob::StoreRead read = store.read_all({}, range, page).value();
    range.from = read.next;
    end = read.end;
  }
  return {appends, events / reading.seconds()};
}

double twin(bench::RedisCase& its, int events) {
  const bench::RedisStream stream{its, "twin"};
  bench::RedisTwin client{its.endpoint};
  const bench::Stopwatch watch;
  for (int i = 0; i < events; ++i) client.publish(stream.name(), "order-1", payload);
  client.flush();
  return events / watch.seconds();
}

void measure(bench::RedisCase& its) {
  const int events = static_cast<int>(its.messages);
  std::vector<double> plain, many, one, reads;
  for (int i = 0; i < 5; ++i) {
    plain.push_back(twin(its, events));
    const Figures figures = append(its, 64, events);
    many.push_back(figures.appends);
    reads.push_back(figures.reads);
    one.push_back(append(its, 1, events / 10).appends);
  }
  const double rate = bench::median(many), twin_rate = bench::median(plain);
  bench::print(its.name, {{"events", rate},
                          {"twin_events", twin_rate},
                          {"rate_ratio", rate / twin_rate},
                          {"events_one_caller", bench::median(one)},
                          {"reads", bench::median(reads)}});
}

}  // namespace

int main(int argc, char** argv) {
  return bench::broker_main(argc, argv, "redis.append", 64'000, measure);
}
