// SPDX-License-Identifier: MIT
#include <omnibus/detail/waiters.hpp>

#include <atomic>
#include <thread>

#include "catch.hpp"
#include "unit/tools.hpp"

using omnibus::detail::Waiters;
using namespace omnibus;
using namespace omnibus::unit;

namespace {

constexpr auto yes = [] { return true; };
constexpr auto no = [] { return false; };

Instant now() { return std::chrono::steady_clock::now(); }

/// A publisher's state, and those who wait for it.
struct Bench {
  std::mutex mutex;
  Waiters waiters{mutex};
  std::atomic<bool> room{false};
  std::atomic<bool> closed{false};
  std::atomic<bool> ended{false};
  std::atomic<bool> asked{false};  // somebody waits, as soon as the mutex is free

  bool wait_for_room(Instant until) {
    std::unique_lock lock{mutex};
    return waiters.wait_for_room(
        lock, until,
        [this] {
          asked = true;
          return room.load();
        },
        [this] { return closed.load(); });
  }
  bool wait_for_end(Instant until) {
    std::unique_lock lock{mutex};
    return waiters.wait_for_end(lock, until, [this] {
      asked = true;
      return ended.load();
    });
  }
  /// True when `wake` lets another thread that waits return in time. Notes what its wait returned.
  template <class Wait, class Wake>
  bool wakes(Wait wait, Wake wake) {
    asked = false;
    const Instant deadline = now() + patience;
    std::thread waiter{[&] { returned = wait(deadline); }};
    while (!asked) std::this_thread::yield();
    { const std::lock_guard lock{mutex}; }
    wake();
    waiter.join();
    return now() < deadline;
  }
  bool returned = false;
};

}  // namespace

TEST_CASE("who waits for room returns at once when there is some, or there will be none") {
  Bench bench;
  bench.closed = true;
  CHECK_FALSE(bench.wait_for_room(Instant::max()));
  bench.closed = false;
  bench.room = true;
  CHECK(bench.wait_for_room(Instant::max()));
  CHECK(bench.wait_for_room(Instant::min()));
}

TEST_CASE("who waits for the end returns at once when everything has ended") {
  Bench bench;
  bench.ended = true;
  CHECK(bench.wait_for_end(Instant::max()));
  CHECK(bench.wait_for_end(Instant::min()));
}

TEST_CASE("a wait that nobody ends lasts until its deadline") {
  Bench bench;
  const Instant deadline = now() + 3ms;
  CHECK_FALSE(bench.wait_for_room(deadline));
  CHECK(now() >= deadline);
  const Instant next = now() + 3ms;
  CHECK_FALSE(bench.wait_for_end(next));
  CHECK(now() >= next);
}

TEST_CASE("who waits for room is woken when there is much, or when nothing more is to come") {
  const bool quiet = GENERATE(false, true);
  Bench bench;
  const auto wait = [&bench](Instant until) { return bench.wait_for_room(until); };
  CHECK(bench.wakes(wait, [&] {
    bench.waiters.tell(quiet, no, yes);  // neither room nor end for who waits: it sleeps on
    bench.room = true;
    bench.waiters.tell(quiet, quiet ? no : yes, no);
  }));
  CHECK(bench.returned);
}

TEST_CASE("who waits for the end is woken when all have ended, or when nothing more is to come") {
  const bool quiet = GENERATE(false, true);
  Bench bench;
  const auto wait = [&bench](Instant until) { return bench.wait_for_end(until); };
  CHECK(bench.wakes(wait, [&] {
    bench.waiters.tell(quiet, yes, no);
    bench.ended = true;
    bench.waiters.tell(quiet, no, quiet ? no : yes);
  }));
  CHECK(bench.returned);
}

TEST_CASE("who waits for room hears that the publisher was closed") {
  Bench bench;
  const auto wait = [&bench](Instant until) { return bench.wait_for_room(until); };
  CHECK(bench.wakes(wait, [&bench] {
    const std::lock_guard lock{bench.mutex};
    bench.closed = true;
    bench.waiters.tell_all();
  }));
  CHECK_FALSE(bench.returned);
}

TEST_CASE("room that is made without the mutex is missed by nobody") {
  Bench bench;
  constexpr int rounds = 3000;
  std::atomic<int> made{0};
  std::atomic<int> taken{0};
  std::thread publisher{[&] {
    for (int round = 1; round <= rounds; ++round) {
      made = round;
      bench.waiters.tell(false, yes, no);
      while (taken < round) std::this_thread::yield();
    }
  }};
  const Instant deadline = now() + patience;
  for (int round = 1; round <= rounds; ++round) {
    std::unique_lock lock{bench.mutex};
    (void)bench.waiters.wait_for_room(lock, deadline, [&] { return made >= round; }, no);
    taken = round;
  }
  publisher.join();
  CHECK(now() < deadline);
}
