// SPDX-License-Identifier: MIT
// redis.keys: how many keys are claimed in a second by 64 workers (and by one), each call answered by the
// server when it returns, against hiredis with a pipeline of SET NX PX, which claims without a lease that can
// be given back, a fence or a fingerprint. pairs: claim and complete.

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <omnibus/idempotency/redis.hpp>

#include "redis_bench.hpp"

namespace ob = omnibus;

namespace {

ob::RedisKeyStoreOptions options(bench::RedisCase& its) {
  return {.endpoint = its.endpoint, .prefix = its.new_topic("keys"), .keep = std::chrono::minutes{1}};
}

/// `work(store, key)` for each key, in a second.
template <class Work>
double a_second(bench::RedisCase& its, int workers, int keys, Work work) {
  ob::RedisKeyStore store{options(its)};
  (void)store.claim({"billing", "orders", "first"}, {}, std::chrono::seconds{1}).value();
  std::atomic<int> next{0};
  std::vector<std::thread> threads;
  const bench::Stopwatch watch;
  for (int i = 0; i < workers; ++i) {
    threads.emplace_back([&] {
      for (int number = next++; number < keys; number = next++) {
        const std::string name = "message-" + std::to_string(number);
        work(store, ob::IdempotencyKey{"billing", "orders", name});
      }
    });
  }
  for (auto& each : threads) each.join();
  return keys / watch.seconds();
}

ob::Claim claim(ob::RedisKeyStore& store, const ob::IdempotencyKey& key) {
  return store.claim(key, {1, 2}, std::chrono::minutes{1}).value();
}
void claim_only(ob::RedisKeyStore& store, const ob::IdempotencyKey& key) { (void)claim(store, key); }
void claim_and_complete(ob::RedisKeyStore& store, const ob::IdempotencyKey& key) {
  store.complete(key, claim(store, key)).value();
}

double twin(bench::RedisCase& its, int keys) {
  bench::RedisTwin client{its.endpoint};
  const std::string prefix = "{" + its.new_topic("keys") + "}:7.6:billing/orders/message-";
  const bench::Stopwatch watch;
  for (int i = 0; i < keys; ++i) client.set_if_absent(prefix + std::to_string(i), std::string(25, 'x'), "60000");
  client.flush();
  return keys / watch.seconds();
}

void measure(bench::RedisCase& its) {
  const int keys = static_cast<int>(its.messages);
  std::vector<double> plain, many, one, pairs;
  for (int i = 0; i < 5; ++i) {
    plain.push_back(twin(its, keys));
    many.push_back(a_second(its, 64, keys, claim_only));
    pairs.push_back(a_second(its, 64, keys / 2, claim_and_complete));
    one.push_back(a_second(its, 1, keys / 20, claim_only));
  }
  const double rate = bench::median(many), twin_rate = bench::median(plain);
  bench::print(its.name, {{"claims", rate},
                          {"twin_claims", twin_rate},
                          {"rate_ratio", rate / twin_rate},
                          {"claims_one_worker", bench::median(one)},
                          {"pairs", bench::median(pairs)}});
}

}  // namespace

int main(int argc, char** argv) {
  return bench::broker_main(argc, argv, "redis.keys", 100'000, measure);
}
