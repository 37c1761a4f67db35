// SPDX-License-Identifier: MIT
#include <omnibus/middleware/limit_concurrency.hpp>

#include <atomic>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;

TEST_CASE("no more handlers run at once than there are places, in all pipelines together") {
  FakeContext context;
  ConcurrencyLimit limit{2};
  Watched<int> inside;
  std::atomic<int> most{0}, handled{0};
  Gate gate;
  const auto make = [&] {
    return detail::compose([&](const Delivery&) {
      const int now = inside.change([](int& count) { return ++count; });
      int before = most.load();
      while (before < now && !most.compare_exchange_weak(before, now)) {
      }
      gate.pass();
      inside.change([](int& count) { --count; });
    } | limit_concurrency(limit));
  };
  auto one = make(), other = make();
  std::vector<std::thread> threads;
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([&, i] {
      Received message{context, message_of("1", "k")};
      if ((i % 2 == 0 ? one : other)(message.delivery)) ++handled;
    });
  }
  CHECK(inside.wait([](int count) { return count == 2; }));
  gate.open();
  for (auto& thread : threads) thread.join();
  CHECK(most == 2);
  CHECK(handled == 6);
}

TEST_CASE("a place is given back by a handler that throws") {
  FakeContext context;
  ConcurrencyLimit limit{1};
  auto pipeline = detail::compose([](const Delivery&) { throw 42; } | limit_concurrency(limit));
  for (int i = 0; i < 3; ++i) {
    Received message{context, message_of("1", "k")};
    CHECK_FALSE(pipeline(message.delivery));
  }
}

TEST_CASE("a limit of nobody is refused") {
  CHECK(throws_saying<std::invalid_argument>([] { ConcurrencyLimit limit{0}; }, "concurrency limit"));
}
