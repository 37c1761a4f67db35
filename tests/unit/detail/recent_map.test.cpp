// SPDX-License-Identifier: MIT
#include <omnibus/detail/recent_map.hpp>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <random>

#include "catch.hpp"

using namespace omnibus::detail;

namespace {

/// Few different homes, so that keys are in each other's way.
Hash128 crowded(std::uint64_t key) { return {key % 7, key}; }

}  // namespace

TEST_CASE("a recent map keeps what is written to a key, and says whether it is new") {
  RecentMap<int> map{3};
  auto first = map[{1, 2}];
  CHECK(first.is_new);
  CHECK(first.value == 0);
  first.value = 5;
  CHECK(map[{1, 3}].is_new);
  CHECK_FALSE(map[{1, 2}].is_new);
  CHECK(map[{1, 2}].value == 5);
  CHECK(map.size() == 2);
  CHECK(map.forgotten() == 0);
}

TEST_CASE("in a full recent map the key gives way that was not asked for the longest") {
  RecentMap<int> map{2};
  map[{1, 0}].value = 1;
  map[{2, 0}].value = 2;
  map[{1, 0}].value = 3;
  CHECK(map[{3, 0}].is_new);
  CHECK(map.forgotten() == 1);
  CHECK(map[{1, 0}].value == 3);
  CHECK(map[{2, 0}].is_new);
  CHECK(map[{2, 0}].value == 0);
  CHECK(map.size() == 2);
}

TEST_CASE("a recent map of one key knows the last one") {
  RecentMap<int> map{1};
  for (int i = 0; i < 5; ++i) {
    auto found = map[{static_cast<std::uint64_t>(i), 0}];
    CHECK(found.is_new);
    found.value = i;
    CHECK(map[{static_cast<std::uint64_t>(i), 0}].value == i);
  }
}

TEST_CASE("a recent map does what a plain one with a list of uses does, for random keys") {
  std::mt19937_64 random{1};
  for (const std::size_t most : {1u, 2u, 5u, 40u, 300u}) {
    RecentMap<int> map{most};
    std::map<std::uint64_t, int> plain;
    std::deque<std::uint64_t> uses;  // the most recent is last
    std::uint64_t forgotten = 0;
    for (int step = 1; step < 4000; ++step) {
      const std::uint64_t key = random() % (most * 2);
      if (!plain.contains(key) && plain.size() == most) {
        plain.erase(uses.front());
        uses.pop_front();
        ++forgotten;
      }
      const bool is_new = plain.try_emplace(key, 0).second;
      if (!is_new) uses.erase(std::find(uses.begin(), uses.end(), key));
      uses.push_back(key);
      auto found = map[crowded(key)];
      if (found.is_new != is_new || found.value != plain[key]) FAIL("step " << step);
      found.value = plain[key] = step;
    }
    CHECK(map.forgotten() == forgotten);
    CHECK(map.size() == plain.size());
  }
}
