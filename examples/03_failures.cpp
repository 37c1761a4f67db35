// SPDX-License-Identifier: MIT
// What fails is tried again, what still fails is parked with its reason, and nothing is done twice.
// An observer tells the story.
#include <iostream>
#include <latch>
#include <omnibus/omnibus.hpp>
#include <stdexcept>
#include <string>

namespace ob = omnibus;
using namespace std::chrono_literals;

/// Charges an order. A busy gateway may work next time; a declined card never will.
ob::Result<> charge(const std::string& order, const ob::Delivery& delivery) {
  if (order == "o-2" && delivery.attempt() < 3) throw std::runtime_error{"the gateway is busy"};
  if (order == "o-3") return ob::permanent("the card was declined");
  return {};
}

/// Says how each delivery ended, and counts the endings.
struct Narrator {
  std::latch endings{4};

  void handled(const ob::Delivery& delivery) { end(delivery, "charged"); }
  void retrying(const ob::Delivery& delivery, const ob::Error& error) {
    std::cout << delivery.payload() << ": attempt " << delivery.attempt() << " failed, "
              << error.context << "; it will be tried again\n";
  }
  void duplicate(const ob::Delivery& delivery) { end(delivery, "a duplicate, not charged again"); }
  void dead_lettered(const ob::Delivery& delivery, const ob::Error& error) {
    end(delivery, "parked in orders.dlq because " + error.context);
  }
  void end(const ob::Delivery& delivery, const std::string& how) {
    std::cout << delivery.payload() << ": " << how << '\n';
    endings.count_down();
  }
};

int main() {
  Narrator narrator;
  ob::MemoryKeyStore seen;
  ob::EventBus<ob::Memory, Narrator> bus{{.group = "billing"}, narrator};

  auto reliable = ob::retry({.attempts = 5, .initial = 1ms})  // try again, backing off
                  | ob::dead_letter("orders.dlq")             // park what still fails
                  | ob::idempotent(seen);                     // and never do it twice
  auto billing = bus.subscribe("orders", charge | reliable);

  bus.publish("orders", "o-1", {.key = "o-1"}).value();
  bus.publish("orders", "o-2", {.key = "o-2", .id = "payment-2"}).value();
  bus.publish("orders", "o-2", {.key = "o-2", .id = "payment-2"}).value();
  bus.publish("orders", "o-3", {.key = "o-3"}).value();
  narrator.endings.wait();
}
