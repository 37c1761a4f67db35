// SPDX-License-Identifier: MIT
#include <omnibus/detail/tag_table.hpp>

#include <cstdint>
#include <map>
#include <random>

#include "catch.hpp"

using omnibus::detail::TagTable;

namespace {

/// The number of the entry that has the tag and is this one.
std::uint32_t find(const TagTable& table, std::uint32_t tag, std::uint32_t wanted) {
  return table.find(tag, [&](std::uint32_t index) { return index == wanted; });
}

}  // namespace

TEST_CASE("a tag table tells entries of one tag apart, and asks about no others") {
  TagTable table;
  table.insert(7, 0, 1);
  table.insert(7, 1, 2);
  table.insert(7 + 64, 2, 3);  // its home is the same
  CHECK(find(table, 7, 0) == 0);
  CHECK(find(table, 7, 1) == 1);
  CHECK(find(table, 7, 2) == TagTable::none);
  CHECK(find(table, 7 + 64, 2) == 2);
  CHECK(find(table, 8, 0) == TagTable::none);
}

TEST_CASE("a tag table agrees with a map, with entries in each other's way and while it grows") {
  constexpr std::uint32_t crowd = 11;
  TagTable table;
  std::map<std::uint32_t, std::uint32_t> model;  // the tag of each entry
  std::mt19937 random{1};
  for (std::uint32_t step = 0; step < 20'000; ++step) {
    const std::uint32_t index = static_cast<std::uint32_t>(random() % 400);
    const auto known = model.find(index);
    if (known == model.end()) {
      // Homes at the end of the table, too: a run goes on at its beginning.
      const std::uint32_t tag = static_cast<std::uint32_t>(0U - random() % crowd);
      model[index] = tag;
      table.insert(tag, index, model.size());
    } else {
      REQUIRE(find(table, known->second, index) == index);
      table.remove(known->second, index);
      REQUIRE(find(table, known->second, index) == TagTable::none);
      model.erase(known);
    }
  }
  for (const auto& [index, tag] : model) CHECK(find(table, tag, index) == index);
}
