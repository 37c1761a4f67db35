// SPDX-License-Identifier: MIT
// A whole policy: the bank is away for a while, one order is lost on the way, and no charge is made twice.
#include <atomic>
#include <chrono>
#include <iostream>
#include <omnibus/omnibus.hpp>
#include <string>

namespace ob = omnibus;
using namespace std::chrono_literals;

int main() {
  ob::EventBus<ob::Memory> bus{{.group = "billing"}, {.numbered_keys = 1000}};
  ob::MemoryKeyStore seen;
  ob::SequenceTracker numbers;
  ob::CircuitBreaker bank{{.failures = 3, .open_for = 20ms}};
  ob::RateLimit hundred_a_second{{.per_second = 100, .burst = 10}};
  ob::RetryBudget budget;

  // clang-format off
  auto careful = ob::timeout(5s)                                        // an attempt may take so long
               | ob::retry({.attempts = 5, .budget = &budget})        // try again, backing off
               | ob::dead_letter("orders.dlq")                        // park what still fails
               | ob::idempotent(seen)                                 // and never do it twice
               | ob::sequenced(numbers)                               // say what is missing
               | ob::circuit_breaker(bank)                            // stop while the bank is away
               | ob::rate_limit(hundred_a_second);                    // and do not hurry
  // clang-format on

  std::atomic<int> asked{0}, charged{0};
  const auto charge = [&](const std::string& order) -> ob::Result<> {
    if (++asked <= 4) return ob::retryable("the bank is away");
    std::cout << "charged " << order << '\n';
    if (++charged == 3) bus.stop();
    return {};
  };
  auto billing = bus.subscribe("orders", charge | careful);

  bus.publish("orders", "o-1", {.key = "customer-7"}).value();
  bus.publish("orders", "o-2", {.key = "customer-7"}).value();
  ob::Message late;  // as if four others had been lost
  late.payload = "o-7";
  late.key = "customer-7";
  late.sequence = {~0ull, 4};
  bus.publish("orders", late).value();
  bus.run().value();

  std::cout << numbers.counts().missing << " messages are missing\n";
}
