// SPDX-License-Identifier: MIT
// store.sqlite: claim and complete, a pair for each message, by 64 workers at once (and by one), each call
// durable when it returns. flush_us: what writing a page and flushing it to the same disk takes by itself.

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include <omnibus/idempotency/sqlite.hpp>

#include "bench.hpp"
#include "sqlite_bench.hpp"

namespace ob = omnibus;

namespace {

double pairs_a_second(const std::string& path, int workers, int pairs) {
  ob::SqliteKeyStore store{{.path = path}};
  std::atomic<int> next{0};
  std::vector<std::thread> threads;
  const bench::Stopwatch watch;
  for (int i = 0; i < workers; ++i) {
    threads.emplace_back([&] {
      for (int number = next++; number < pairs; number = next++) {
        const std::string name = "message-" + std::to_string(number);
        const ob::IdempotencyKey key{"billing", "orders", name};
        const ob::Claim mine = store.claim(key, {1, 2}, std::chrono::minutes{5}).value();
        store.complete(key, mine).value();
      }
    });
  }
  for (auto& each : threads) each.join();
  return pairs / watch.seconds();
}

}  // namespace

int main() {
  const bench::Folder folder;
  std::vector<double> many, one, flush;
  for (int i = 0; i < 5; ++i) {
    const std::string path = folder.file(std::to_string(i));
    flush.push_back(bench::flush_us(path + ".page"));
    many.push_back(pairs_a_second(path + ".many", 64, 40'000));
    one.push_back(pairs_a_second(path + ".one", 1, 1'000));
  }
  bench::print("store.sqlite", {{"pairs", bench::median(many)},
                                {"pairs_one_worker", bench::median(one)},
                                {"flush_us", bench::median(flush)}});
}
