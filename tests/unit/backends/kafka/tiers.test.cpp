// SPDX-License-Identifier: MIT
#include <omnibus/backends/kafka/tiers.hpp>

#include <set>

#include "catch.hpp"
#include "unit/tools.hpp"

#include <omnibus/limits.hpp>

using namespace omnibus;
using namespace omnibus::kafka;
using namespace omnibus::unit;

TEST_CASE("kafka: a delay waits in the tier of the longest bound that it reaches") {
  struct Row {
    Duration delay;
    std::string_view name;
  };
  const Row rows[] = {
      {-1h, "0s"},     {0ns, "0s"},       {1ns, "0s"},       {1s - 1ns, "0s"},
      {1s, "1s"},      {5s - 1ns, "1s"},  {5s, "5s"},        {30s - 1ns, "5s"},
      {30s, "30s"},    {119s, "30s"},     {2min, "2m"},      {10min - 1ns, "2m"},
      {10min, "10m"},  {59min, "10m"},    {1h, "1h"},        {6h - 1ns, "1h"},
      {6h, "6h"},      {24h - 1ns, "6h"}, {24h, "1d"},       {longest_delay, "1d"},
      {Duration::min(), "0s"},            {Duration::max(), "1d"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.delay.count());
    CHECK(tiers.at(tier_of(row.delay)).name == row.name);
  }
}

TEST_CASE("kafka: tiers begin at no delay, and grow") {
  CHECK(tiers.front().from == Duration::zero());
  std::set<std::string_view> names;
  for (std::size_t tier = 0; tier < tiers.size(); ++tier) {
    names.insert(tiers[tier].name);
    CHECK(tier_of(tiers[tier].from) == tier);
    if (tier > 0) CHECK(tiers[tier - 1].from < tiers[tier].from);
  }
  CHECK(names.size() == tiers.size());
}

TEST_CASE("kafka: what waits longest is kept longer") {
  CHECK(later_retention > longest_delay + 24h);
}

TEST_CASE("kafka: topics that wait stand beside their topic, under names that brokers take") {
  CHECK(later_topic("orders", 0) == "orders.later.0s");
  CHECK(later_topic("orders", 8) == "orders.later.1d");
  std::set<std::string> names;
  for (std::size_t tier = 0; tier < tiers.size(); ++tier) {
    const std::string name = later_topic(std::string(230, 'x'), tier);
    names.insert(name);
    CHECK(is_topic_name(name));  // up to 249 characters, as brokers have it
    CHECK(name.find(':') == std::string::npos);
  }
  CHECK(names.size() == tiers.size());
}
