// SPDX-License-Identifier: MIT
#include <omnibus/detail/latch.hpp>

#include <atomic>
#include <csignal>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus::detail;
using namespace omnibus::unit;

TEST_CASE("a latch of zero is open") {
  Latch latch{0};
  latch.wait();
  latch.wait();
}

TEST_CASE("a latch opens when all have arrived, before the wait or during it") {
  for (int round = 0; round < 300; ++round) {
    std::atomic<int> arrived{0};
    std::vector<std::thread> threads;
    {
      Latch latch{3};
      for (int i = 0; i < 3; ++i) {
        threads.emplace_back([&latch, &arrived] {
          ++arrived;
          latch.arrive();
        });
      }
      if (round % 2 == 0) {
        CHECK(eventually([&] { return arrived.load() == 3; }));
      }
      latch.wait();
      REQUIRE(arrived.load() == 3);
    }  // destroyed while the last arrive may still return
    for (auto& thread : threads) thread.join();
  }
}

TEST_CASE("a raised stop signal lets one wait return, now or later") {
  StopSignal signal;
  signal.raise();
  signal.wait();
  std::thread raiser{[&signal] { signal.raise(); }};
  signal.wait();
  raiser.join();
}

TEST_CASE("a wait goes on after a signal that has nothing to do with it") {
  StopSignal signal;
  const auto before = std::signal(SIGUSR2, [](int) {});
  std::atomic<bool> waiting{false};
  std::atomic<bool> returned{false};
  std::thread waiter{[&] {
    waiting = true;
    signal.wait();
    returned = true;
  }};
  CHECK(eventually([&] { return waiting.load(); }));
  for (int i = 0; i < 20; ++i) pthread_kill(waiter.native_handle(), SIGUSR2);
  CHECK_FALSE(returned.load());
  signal.raise();
  waiter.join();
  std::signal(SIGUSR2, before);
}
