// SPDX-License-Identifier: MIT
// sqlite.publish: 256-byte messages with keys, on the disk when publish returns: by 128 threads that wait
// for each (rate, and p50_ms of a call), by one (rate_one), and by one that does not wait (rate_async).
// twin_one: one by one in a transaction of its own through plain SQLite. flush_us: what flushing a page takes.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include <omnibus/backends/sqlite.hpp>
#include <omnibus/event_bus.hpp>

#include "bench.hpp"
#include "sqlite_bench.hpp"

namespace ob = omnibus;

namespace {

const std::string payload(256, 'x');

std::string key_of(int number) { return "order-" + std::to_string(number * 7919 % 10'000); }

struct Run {
  double rate = 0;
  double p50_ms = 0;
};

Run by_threads(const std::string& path, int threads, int messages) {
  ob::EventBus<ob::Sqlite> bus{{.endpoint = path}};
  bus.publish("orders", payload).value();  // the file is made
  std::atomic<int> next{0};
  std::vector<std::vector<double>> took(static_cast<std::size_t>(threads));
  std::vector<std::thread> all;
  const bench::Stopwatch watch;
  for (auto& mine : took) {
    all.emplace_back([&] {
      for (int number = next++; number < messages; number = next++) {
        const bench::Stopwatch call;
        bus.publish("orders", payload, {.key = key_of(number)}).value();
        mine.push_back(call.seconds());
      }
    });
  }
  for (auto& each : all) each.join();
  const double seconds = watch.seconds();
  std::vector<double> calls;
  for (const auto& each : took) calls.insert(calls.end(), each.begin(), each.end());
  return {messages / seconds, bench::median(std::move(calls)) * 1e3};
}

double async(const std::string& path, int messages) {
  ob::EventBus<ob::Sqlite> bus{{.endpoint = path}};
  bus.publish("orders", payload).value();
  std::atomic<int> stored{0};
  const bench::Stopwatch watch;
  for (int i = 0; i < messages; ++i) {
    bus.publish_async(
        "orders", payload, [&](const ob::Result<ob::Receipt>& result) { stored += result ? 1 : 0; },
        {.key = key_of(i)});
  }
  bus.flush(std::chrono::minutes{1}).value();
  if (stored != messages) throw std::runtime_error{"a message was not stored"};
  return messages / watch.seconds();
}

double twin(const std::string& path, int messages) {
  namespace sqlite = ob::detail::sqlite;
  sqlite::Database database;
  sqlite::Statement insert;
  const auto check = [&](int code) {
    if (code != SQLITE_OK && code != SQLITE_DONE) throw std::runtime_error{database.problem()};
  };
  check(database.open(path, std::chrono::seconds{1}));
  check(database.run("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
                     "CREATE TABLE messages(row INTEGER PRIMARY KEY, time INTEGER, id BLOB, key BLOB, payload BLOB)"));
  check(insert.prepare(database, "INSERT INTO messages(time, id, key, payload) VALUES(?1, ?2, ?3, ?4)"));
  const bench::Stopwatch watch;
  for (int i = 0; i < messages; ++i) {
    const std::string key = key_of(i);
    insert.bind(1, std::int64_t{i}).bind(2, "01234567-89ab-cdef-0123-456789abcdef").bind(3, key).bind(4, payload);
    check(insert.step());
    insert.reset();
  }
  return messages / watch.seconds();
}

}  // namespace

int main() {
  const bench::Folder folder;
  std::vector<double> many, p50, one, unawaited, twins, flush;
  for (int i = 0; i < 5; ++i) {
    const std::string path = folder.file(std::to_string(i));
    flush.push_back(bench::flush_us(path + ".page"));
    twins.push_back(twin(path + ".twin", 2'000));
    one.push_back(by_threads(path + ".one", 1, 2'000).rate);
    const Run run = by_threads(path + ".many", 128, 60'000);
    many.push_back(run.rate);
    p50.push_back(run.p50_ms);
    unawaited.push_back(async(path + ".async", 200'000));
  }
  bench::print("sqlite.publish", {{"rate", bench::median(many)},
                                  {"p50_ms", bench::median(p50)},
                                  {"rate_one", bench::median(one)},
                                  {"twin_one", bench::median(twins)},
                                  {"rate_async", bench::median(unawaited)},
                                  {"flush_us", bench::median(flush)}});
}
