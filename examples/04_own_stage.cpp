// SPDX-License-Identifier: MIT
// A stage of your own is a lambda: it gets what comes next and the delivery, and decides.
#include <chrono>
#include <iostream>
#include <omnibus/omnibus.hpp>
#include <stdexcept>
#include <string>

namespace ob = omnibus;
using namespace std::chrono_literals;

/// Logs each attempt and how long it took.
const auto timed = [](ob::Next next, ob::Delivery& delivery) -> ob::Result<> {
  const auto start = std::chrono::steady_clock::now();
  ob::Result<> result = next(delivery);
  const auto took = std::chrono::steady_clock::now() - start;
  std::cout << "attempt " << delivery.attempt() << " took "
            << std::chrono::duration_cast<std::chrono::microseconds>(took).count()
            << " us: " << (result ? "ok" : result.error().message()) << '\n';
  return result;
};

/// Lets nothing through that has no tenant.
const auto tenant_only = [](ob::Next next, ob::Delivery& delivery) -> ob::Result<> {
  if (!delivery.headers().contains("tenant")) return ob::permanent("no tenant");
  return next(delivery);
};

int main() {
  ob::EventBus<ob::Memory> bus{{.group = "search"}};

  const auto index = [&bus](const std::string& page, const ob::Delivery& delivery) {
    if (delivery.attempt() == 1) throw std::runtime_error{"the index is locked"};
    std::cout << "indexed " << page << " of " << delivery.headers().get("tenant") << '\n';
    bus.stop();
  };
  auto search = bus.subscribe(
      "pages", index | ob::stage(tenant_only) | timed | ob::retry({.attempts = 3, .initial = 1ms}));

  bus.publish("pages", "draft").value();
  bus.publish("pages", "manual", {.headers = {{"tenant", "eu"}}}).value();
  bus.run().value();
}
