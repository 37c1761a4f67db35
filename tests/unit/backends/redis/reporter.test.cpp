// SPDX-License-Identifier: MIT
#include <omnibus/backends/redis/reporter.hpp>

#include <string>

#include "catch.hpp"
#include "tools.hpp"

using namespace omnibus;
using namespace omnibus::redis;
using namespace omnibus::unit;

TEST_CASE("redis: a consumer says what is wrong, and once that it is well") {
  Basket basket;
  Reporter reporter{"orders"};
  reporter.well(nullptr);
  CHECK_FALSE(reporter.registered());
  reporter.well(&basket);
  reporter.well(&basket);
  CHECK(basket.reports == std::vector<std::string>{"well"});
  reporter.tell(&basket, Error::make(Errc::unavailable, "connect", "refused"));
  CHECK_FALSE(reporter.registered());
  CHECK(basket.reports.back() == "subscribe orders: connect: refused (unavailable, retryable)");
  reporter.tell(nullptr, problems::gone(2, "s"));
  reporter.well(&basket);
  CHECK(basket.reports.size() == 3);
}

TEST_CASE("redis: what was lost is counted where the server counts") {
  CHECK(problems::dropped(5, "s").context.find("5 entries of \"s\"") == 0);
  CHECK(problems::too_large({1, 2}, "s").context.find("entry 1-2") == 0);
  CHECK(problems::shards(8, 4).code == Errc::topology_mismatch);
}

TEST_CASE("redis: how long nobody listened") {
  const Error missed = problems::missed(12, "gone");
  CHECK(missed.code == Errc::position_lost);
  CHECK(missed.context == "messages may have been missed for 12 ms: gone");
}
