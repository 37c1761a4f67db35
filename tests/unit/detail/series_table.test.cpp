// SPDX-License-Identifier: MIT
#include <omnibus/detail/series_table.hpp>

#include <string>
#include <thread>
#include <vector>

#include "catch.hpp"

using omnibus::detail::SeriesTable;
using Counters = SeriesTable<std::atomic<int>>;

namespace {

/// What stands in a table, as "first/second=value ".
std::string contents(const Counters& table) {
  std::string all;
  table.each([&all](std::string_view first, std::string_view second, const std::atomic<int>& value) {
    all.append(first).append("/").append(second).append("=");
    all.append(std::to_string(value.load())).append(" ");
  });
  return all;
}

}  // namespace

TEST_CASE("a name finds its own value, again and again") {
  Counters table{10};
  CHECK(contents(table).empty());
  table("orders", "billing") += 1;
  table("orders", "shipping") += 10;
  table("orders", "billing") += 100;
  table("billing", "orders") += 1000;
  table("ordersb", "illing") += 5;
  CHECK(contents(table) == "orders/billing=101 orders/shipping=10 billing/orders=1000 ordersb/illing=5 ");
}

TEST_CASE("a value stays where it is while others are made") {
  Counters table{2000};
  std::atomic<int>& first = table("first", "");
  for (int i = 0; i < 1000; ++i) table("topic", std::to_string(i)) = i;
  CHECK(&first == &table("first", ""));
  for (int i = 0; i < 1000; ++i) CHECK(table("topic", std::to_string(i)) == i);
}

TEST_CASE("those for whom there is no room share a value without a name") {
  Counters table{2};
  table("a", "g") += 1;
  CHECK(contents(table) == "a/g=1 ");
  table("b", "g") += 2;
  CHECK(contents(table) == "a/g=1 b/g=2 ");
  table("c", "g") += 3;
  table("d", "g") += 4;
  table("a", "g") += 10;
  CHECK(contents(table) == "a/g=11 b/g=2 /=7 ");
  Counters none{0};
  none("a", "g") += 1;
  CHECK(contents(none) == "/=1 ");
}

TEST_CASE("threads that ask for the same name at once get the same value") {
  constexpr int threads = 4, rounds = 2000;
  Counters table{20};
  std::vector<std::thread> all;
  for (int t = 0; t < threads; ++t) {
    all.emplace_back([&table] {
      for (int i = 0; i < rounds; ++i) ++table("topic", std::to_string(i % 40));
    });
  }
  for (auto& thread : all) thread.join();
  int sum = 0, series = 0, others = 0;
  table.each([&](std::string_view first, std::string_view, const std::atomic<int>& value) {
    sum += value;
    ++(first.empty() ? others : series);
  });
  CHECK(sum == threads * rounds);
  CHECK(series == 20);
  CHECK(others == 1);
}
