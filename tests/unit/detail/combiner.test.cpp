// SPDX-License-Identifier: MIT
#include <omnibus/detail/combiner.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus::unit;
using omnibus::detail::Combiner;

namespace {

struct Request {
  int number = 0;
  int answer = 0;
};

}  // namespace

TEST_CASE("a combiner does a lone request at once, on its caller's thread") {
  Combiner<Request> combiner;
  Request request{3};
  std::thread::id where;
  combiner.carry_out(request, [&](const std::vector<Request*>& batch) noexcept {
    where = std::this_thread::get_id();
    for (Request* each : batch) each->answer = each->number * 2;
  });
  CHECK(request.answer == 6);
  CHECK(where == std::this_thread::get_id());
}

TEST_CASE("a combiner does every request once, one batch at a time, and lets callers share batches") {
  Combiner<Request> combiner;
  std::atomic<int> at_work{0}, done{0}, wrong{0};
  std::atomic<std::size_t> largest{0};
  std::atomic<bool> over{false};
  const auto work = [&](const std::vector<Request*>& batch) noexcept {
    if (at_work.fetch_add(1) != 0) ++wrong;
    for (Request* each : batch) ++each->answer;
    done += static_cast<int>(batch.size());
    if (batch.size() > largest) largest = batch.size();
    --at_work;
  };
  std::atomic<int> asked{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      const auto until = std::chrono::steady_clock::now() + patience;
      // Until some have shared, however the machine runs these threads.
      for (int turn = 0; turn < 5'000 || !over; ++turn) {
        Request request{turn};
        combiner.carry_out(request, work);
        ++asked;
        if (request.answer != 1) ++wrong;
        if (largest > 1 || std::chrono::steady_clock::now() > until) over = true;
      }
    });
  }
  for (auto& each : threads) each.join();
  CHECK(wrong == 0);
  CHECK(done == asked);
  CHECK(largest > 1);
  CHECK(largest <= 4);
}
