// SPDX-License-Identifier: MIT
#include <omnibus/detail/milestone.hpp>

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "catch.hpp"

using omnibus::detail::Milestone;

TEST_CASE("what was reached is not waited for") {
  Milestone milestone;
  milestone.wait(0);
  milestone.reach(5);
  milestone.wait(5);
  milestone.wait(3);
  // Also around the end of the numbers.
  milestone.reach(0x7FFF'FFFF);
  milestone.reach(0xFFFF'FFFF);
  milestone.reach(2);
  milestone.wait(0xFFFF'FFFE);
  SUCCEED();
}

TEST_CASE("all who wait go on once their number is reached, and none before") {
  Milestone milestone;
  constexpr std::uint32_t last = 2'000;
  std::atomic<std::uint32_t> reached{0};
  std::atomic<int> early{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (std::uint32_t number = 1; number <= last; ++number) {
        milestone.wait(number);
        if (reached.load() < number) ++early;
      }
    });
  }
  for (std::uint32_t number = 1; number <= last; ++number) {
    reached.store(number);
    milestone.reach(number);
    milestone.wake();
    if (number % 8 == 0) std::this_thread::yield();  // some of them fall asleep
  }
  for (auto& each : threads) each.join();
  CHECK(early == 0);
}
