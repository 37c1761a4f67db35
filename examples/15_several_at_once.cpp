// SPDX-License-Identifier: MIT
// Several messages at once: one ending for all of them, and, where the backend can, all or nothing.
#include <condition_variable>
#include <iostream>
#include <mutex>
#include <omnibus/omnibus.hpp>
#include <string>

namespace ob = omnibus;

int main() {
  ob::EventBus<ob::Memory> bus{{.group = "shop"}};
  ob::MessageBatch batch;
  batch.add("orders", "o-17 is placed", {.key = "o-17"}).value();
  batch.add("invoices", "o-17 costs 42", {.key = "o-17"}).value();

  bus.publish_all(batch).value();     // on every backend: one ending for all of them
  bus.publish_atomic(batch).value();  // readers see both, or neither

  std::mutex mutex;
  std::condition_variable signal;
  int orders = 0, invoices = 0;
  ob::MemoryKeyStore seen;  // a batch that is published again keeps its ids
  const auto count = [&](int& counter) {
    return [&](const std::string&) {
      const std::lock_guard lock{mutex};
      ++counter;
      signal.notify_one();
    };
  };
  const auto first = bus.subscribe("orders", count(orders) | ob::idempotent(seen));
  const auto second = bus.subscribe("invoices", count(invoices) | ob::idempotent(seen));
  {
    std::unique_lock lock{mutex};
    signal.wait(lock, [&] { return orders > 0 && invoices > 0; });
  }

  batch.add("orders", std::string(2 << 20, 'x')).value();
  std::cout << "refused: " << bus.publish_atomic(batch).error().context << "\n";
  std::cout << "orders: " << orders << ", invoices: " << invoices << "\n";
}
