// SPDX-License-Identifier: MIT
// Handlers and their policy, tested: publish, move virtual time, and look at what happened.
#include <chrono>
#include <iostream>
#include <omnibus/omnibus.hpp>
#include <omnibus/testing/harness.hpp>
#include <string>

namespace ob = omnibus;
using namespace std::chrono_literals;

int failures = 0;
void check(bool holds, const char* what) {
  std::cout << (holds ? "ok: " : "FAILED: ") << what << '\n';
  if (!holds) ++failures;
}

/// What the service does, on whichever bus it is given. This is what is tested.
template <class Bus>
ob::Subscription start_billing(Bus& bus, const bool& bank_is_open) {
  const auto charge = [&bank_is_open](const std::string& order) -> ob::Result<> {
    if (order == "stolen") return ob::permanent("the card is stolen");
    if (!bank_is_open) return ob::retryable("the bank is closed");
    return {};
  };
  return bus.subscribe("orders", charge |
                                     ob::retry({.initial = 1h, .max = 8h, .jitter = false, .total = 24h}) |
                                     ob::dead_letter("orders.dlq"));
}

int main() {
  ob::testing::Harness harness{{.group = "billing"}};
  bool bank_is_open = false;
  auto billing = start_billing(harness.bus(), bank_is_open);

  harness.publish("orders", "stolen");
  harness.settle();  // until all that can run has run
  const auto dead = harness.dead_lettered("orders");
  check(dead.size() == 1 && dead[0].attempt == 1, "a stolen card is not tried again");

  harness.publish("orders", "o-17");
  harness.advance(6h);  // takes no time
  check(harness.retried("orders").size() == 3, "while the bank is closed, o-17 waits 1h, 2h, 4h");

  bank_is_open = true;
  harness.advance(1h);
  const auto handled = harness.handled("orders");
  check(handled.size() == 1 && handled[0].at == 7h, "seven hours later, o-17 is charged");

  if (failures > 0) std::cout << harness.log();  // what happened, a line each
  return failures;
}
