// SPDX-License-Identifier: MIT
// Four workers handle different accounts at once; the messages of one account stay in order, even
// when one of them fails and has to be tried again.
#include <iostream>
#include <latch>
#include <map>
#include <mutex>
#include <omnibus/omnibus.hpp>
#include <stdexcept>
#include <string>

namespace ob = omnibus;
using namespace std::chrono_literals;

int main() {
  const std::string accounts[] = {"alice", "bob", "carol", "dave"};
  constexpr int steps = 5;

  std::mutex mutex;
  std::map<std::string, std::string, std::less<>> history;
  std::latch left{static_cast<std::ptrdiff_t>(std::size(accounts)) * steps};

  const auto post = [&](const std::string& step, const ob::Delivery& delivery) {
    if (delivery.key() == "carol" && step == "2" && delivery.attempt() < 3) {
      throw std::runtime_error{"carol's account is locked"};
    }
    std::lock_guard lock{mutex};
    history[std::string{delivery.key()}] += step;
    left.count_down();
  };
  ob::EventBus<ob::Memory> bus{{.group = "ledger"}};
  auto ledger = bus.subscribe("postings", post | ob::retry({.initial = 1ms}), {.concurrency = 4});

  for (int step = 0; step < steps; ++step) {
    for (const auto& account : accounts) {
      bus.publish("postings", std::to_string(step), {.key = account}).value();
    }
  }
  left.wait();

  for (const auto& [account, order] : history) std::cout << account << ": " << order << '\n';
  ledger.stop().value();
  std::cout << "retried: " << ledger.stats().retried << '\n';
}
