// SPDX-License-Identifier: MIT
// memory.idempotent: what the idempotent stage with the memory store costs a message that is new:
// fingerprint of 256 bytes, claim and complete. `ns` is of a store that fills with 100,000 keys,
// `ns_full` of one of 20,000 that forgets an old key for each new one, `ns_million` of a store that
// fills with 1,000,000 keys, where each claim waits for main memory.

#include <string>
#include <vector>

#include <omnibus/omnibus.hpp>

#include "bench.hpp"
#include "stage_context.hpp"

namespace ob = omnibus;

namespace {

double ns_per_message(ob::MemoryKeyStore& store, const std::vector<ob::detail::UuidText>& ids,
                      const std::string& payload) {
  bench::NoContext context;
  auto pipeline = ob::detail::compose([](const ob::Delivery&) {} | ob::idempotent(store));
  const bench::Stopwatch watch;
  for (const auto& id : ids) {
    const ob::MessageView message{{id.data(), id.size()}, "", "key", {}, payload, {}, {}};
    ob::Delivery delivery{{&message, "orders", 0, {}, 0, 0}, context};
    if (!pipeline(delivery)) return 0;
  }
  return watch.seconds() / static_cast<double>(ids.size()) * 1e9;
}

}  // namespace

int main() {
  const std::string payload(256, 'x');
  ob::detail::UuidGenerator generator;
  const auto new_ids = [&generator](std::size_t messages) {
    std::vector<ob::detail::UuidText> ids;
    for (std::size_t i = 0; i < messages; ++i) {
      ids.push_back(generator.next(std::chrono::system_clock::now()));
    }
    return ids;
  };
  const auto filling = [&](std::size_t messages) {
    return bench::median_of_five([&] {
      const auto ids = new_ids(messages);
      ob::MemoryKeyStore store;
      return ns_per_message(store, ids, payload);
    });
  };
  ob::MemoryKeyStore full{{.capacity = 20'000}};
  const double forgetting = bench::median_of_five(
      [&] { return ns_per_message(full, new_ids(100'000), payload); });
  bench::print("memory.idempotent", {{"ns", filling(100'000)},
                                     {"ns_full", forgetting},
                                     {"ns_million", filling(1'000'000)}});
}
