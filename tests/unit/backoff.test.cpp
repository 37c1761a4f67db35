// SPDX-License-Identifier: MIT
#include <omnibus/backoff.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <random>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;

namespace {
constexpr std::uint64_t ones = UINT64_MAX;
}

TEST_CASE("backoff without jitter is exactly exponential, up to max") {
  const Backoff policy{.initial = 100ms, .max = 30s, .factor = 2.0, .jitter = false};
  CHECK(backoff(policy, 1, 0) == 100ms);
  CHECK(backoff(policy, 2, 0) == 200ms);
  CHECK(backoff(policy, 3, ones) == 400ms);
  CHECK(backoff(policy, 9, 0) == 25600ms);
  CHECK(backoff(policy, 10, 0) == 30s);
  CHECK(backoff(policy, 11, 0) == 30s);
}

TEST_CASE("attempt zero counts as the first") { CHECK(backoff({.jitter = false}, 0, 0) == 100ms); }

TEST_CASE("no attempt, policy or random bits lead out of zero to max") {
  const Duration longest = Duration::max();
  const Backoff policies[] = {
      {},
      {.jitter = false},
      {.initial = 1ns, .max = longest, .factor = 1e300, .jitter = false},
      {.initial = longest, .max = longest, .jitter = false},
      {.initial = longest, .max = longest},
      {.initial = 0ns, .max = 1s},
      {.initial = 0ns, .max = 0ns, .factor = 1e9},
      {.initial = 1s, .max = 1s, .factor = 1.0},
      {.initial = 1ns, .max = 2ns, .factor = std::numeric_limits<double>::infinity()},
  };
  for (const Backoff& policy : policies) {
    for (const std::uint32_t attempt : {0u, 1u, 2u, 31u, 32u, 33u, 63u, 64u, 65u, 1000u}) {
      for (const std::uint64_t bits : {std::uint64_t{0}, std::uint64_t{1}, ones >> 1, ones}) {
        const Duration delay = backoff(policy, attempt, bits);
        REQUIRE(delay >= 0ns);
        REQUIRE(delay <= policy.max);
      }
    }
  }
}

TEST_CASE("the last attempt there is has the longest delay") {
  CHECK(backoff({.jitter = false}, UINT32_MAX, 0) == 30s);
  const Duration jittered = backoff({}, UINT32_MAX, ones);
  CHECK(jittered <= 30s);
  CHECK(jittered > 29s);
}

TEST_CASE("factor one keeps the delay, and takes no time to compute for any attempt") {
  const Backoff policy{.initial = 70ms, .max = 1s, .factor = 1.0, .jitter = false};
  for (const std::uint32_t attempt : {1u, 2u, 1000u, 10'000u}) {
    CHECK(backoff(policy, attempt, 0) == 70ms);
  }
  const auto start = std::chrono::steady_clock::now();
  CHECK(backoff(policy, UINT32_MAX, 0) == 70ms);
  CHECK(std::chrono::steady_clock::now() - start < 1s);
}

TEST_CASE("an initial delay of zero never waits, and takes no time to compute") {
  const Backoff policy{.initial = 0ns, .max = 1s, .jitter = false};
  CHECK(backoff(policy, 1, ones) == 0ns);
  CHECK(backoff(policy, 50, ones) == 0ns);
  const auto start = std::chrono::steady_clock::now();
  CHECK(backoff(policy, UINT32_MAX, ones) == 0ns);
  CHECK(std::chrono::steady_clock::now() - start < 1s);
}

TEST_CASE("jitter is the share of the delay that the random bits say") {
  const Backoff policy{.initial = 1s, .max = 30s};
  CHECK(backoff(policy, 1, 0) == 0ns);
  CHECK(backoff(policy, 1, std::uint64_t{1} << 63) == 500ms);
  CHECK(backoff(policy, 2, std::uint64_t{1} << 62) == 500ms);
  CHECK(backoff(policy, 1, ones) < 1s);
}

TEST_CASE("jitter spreads delays evenly") {
  const Backoff policy{.initial = 1s, .max = 30s};
  std::mt19937_64 random{42};
  std::array<int, 10> tenths{};
  constexpr int draws = 100'000;
  for (int i = 0; i < draws; ++i) {
    const Duration delay = backoff(policy, 1, random());
    ++tenths[static_cast<std::size_t>(delay / 100ms)];
  }
  const auto [fewest, most] = std::minmax_element(tenths.begin(), tenths.end());
  CHECK(*fewest > draws / 10 * 95 / 100);
  CHECK(*most < draws / 10 * 105 / 100);
}
