// SPDX-License-Identifier: MIT
#include <omnibus/backends/sqlite/rows.hpp>

#include <map>
#include <string>

#include "catch.hpp"

namespace {

using namespace omnibus::sqlite;
using namespace std::chrono_literals;

TEST_CASE("rows of a partition stand side by side, in the order of their positions") {
  CHECK(row_of(0, 1) == 1);
  CHECK(position_of(row_of(7, 42)) == 42);
  CHECK(row_of(7, 42) < row_of(7, 43));
  CHECK(row_of(7, last_position) < row_of(8, 0));
  CHECK(row_of(7, UINT64_MAX) == row_of(7, last_position));
  CHECK(row_of(most_partitions, last_position) > 0);
}

TEST_CASE("the shard of a key never changes") {
  omnibus::MessageView message;
  message.id = "an id";
  std::map<std::string, std::int32_t> known{{"", 4}, {"order-17", 2}, {"order-18", 7}, {"k", 6}};
  for (auto& [key, shard] : known) {
    message.key = key;
    CAPTURE(key);
    CHECK(shard_of(message, 8) == shard);
  }
}

TEST_CASE("delays are rounded up") {
  CHECK(to_us(1ns) == 1);
  CHECK(to_us(1us) == 1);
  CHECK(to_us(1001ns) == 2);
}

TEST_CASE("a moment of the wall clock becomes one of the machine's, for an hour at most") {
  const omnibus::Instant now{1h};
  CHECK(instant_of(5, 7, now) == now);
  CHECK(instant_of(7, 5, now) == now + 2us);
  CHECK(instant_of(INT64_MAX, 0, now) == now + 1h);
}

TEST_CASE("times keep their nanoseconds") {
  const omnibus::Time time{1'700'000'000'123'456'789ns};
  CHECK(from_ns(to_ns(time)) == time);
  CHECK(from_ns(to_ns(omnibus::Time{})) == omnibus::Time{});
}

}  // namespace
