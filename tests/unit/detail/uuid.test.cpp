// SPDX-License-Identifier: MIT
#include <omnibus/detail/uuid.hpp>

#include <algorithm>
#include <thread>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;
using detail::UuidGenerator;

namespace {

std::string text(const detail::UuidText& uuid) { return {uuid.data(), uuid.size()}; }

bool well_formed(std::string_view uuid) {
  for (std::size_t i = 0; i < uuid.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash != (uuid[i] == '-')) return false;
    if (!dash && "0123456789abcdef"sv.find(uuid[i]) == std::string_view::npos) return false;
  }
  return uuid.size() == 36 && uuid[14] == '7' && "89ab"sv.find(uuid[19]) != std::string_view::npos;
}

}  // namespace

TEST_CASE("a UUID has the layout of RFC 9562, version 7") {
  // The time of the example in its appendix A.6: 0x017F22E279B0 milliseconds.
  constexpr std::uint64_t milliseconds = 0x017F22E279B0;
  CHECK(text(UuidGenerator::text(milliseconds << 20, 0)) == "017f22e2-79b0-7000-8000-000000000000");
  CHECK(text(UuidGenerator::text(milliseconds << 20, UINT64_MAX)) ==
        "017f22e2-79b0-7000-803f-ffffffffffff");
  CHECK(text(UuidGenerator::text((milliseconds << 20) | 0xfffff, 0)) ==
        "017f22e2-79b0-7fff-bfc0-000000000000");
  CHECK(text(UuidGenerator::text((milliseconds << 20) | 0x00100, 0)) ==
        "017f22e2-79b0-7001-8000-000000000000");
  CHECK(text(UuidGenerator::text((milliseconds << 20) | 0x00001, 0)) ==
        "017f22e2-79b0-7000-8040-000000000000");
}

TEST_CASE("ids begin with the time and are well formed") {
  UuidGenerator ids;
  const std::string id = text(ids.next(Time{std::chrono::milliseconds{0x017F22E279B0}}));
  CHECK(id.starts_with("017f22e2-79b0-7"));
  for (int i = 0; i < 1000; ++i) REQUIRE(well_formed(text(ids.next(Time{1h * i}))));
}

TEST_CASE("ids grow with each call, also when the clock stands still or goes back") {
  UuidGenerator ids;
  std::string last = text(ids.next(Time{1000s}));
  for (int i = 0; i < 5000; ++i) {
    const Time now = i < 2000 ? Time{1000s} : i < 3000 ? Time{10s} : Time{1000s + 1ms * i};
    const std::string next = text(ids.next(now));
    REQUIRE(last < next);
    last = next;
  }
}

TEST_CASE("two generators do not make the same ids") {
  UuidGenerator one;
  UuidGenerator two;
  CHECK(text(one.next(Time{1000s})) != text(two.next(Time{1000s})));
}

TEST_CASE("ids are unique over threads, and grow within each") {
  UuidGenerator ids;
  constexpr std::size_t each = 5000;
  std::vector<std::vector<std::string>> made(4);
  std::vector<std::thread> threads;
  for (auto& mine : made) {
    threads.emplace_back([&] {
      for (std::size_t i = 0; i < each; ++i) mine.push_back(text(ids.next(Time{1000s})));
    });
  }
  for (auto& thread : threads) thread.join();
  std::vector<std::string> all;
  for (const auto& mine : made) {
    CHECK(std::is_sorted(mine.begin(), mine.end()));
    all.insert(all.end(), mine.begin(), mine.end());
  }
  std::sort(all.begin(), all.end());
  CHECK(std::adjacent_find(all.begin(), all.end()) == all.end());
}
