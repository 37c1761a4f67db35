// SPDX-License-Identifier: MIT
#include <omnibus/backends/redis/log_cursor.hpp>

#include <string>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::redis;
using namespace omnibus::unit;

namespace {

void inform(LogCursor& cursor, const char* last, const char* deleted) {
  std::size_t index = 0;
  for (const char* each : {"length", "3", "last-generated-id", last, "max-deleted-entry-id", deleted}) {
    cursor.info(index++, each);
  }
}

}  // namespace

TEST_CASE("redis: a reader begins at the beginning, at the end, at a position or at a time") {
  LogCursor earliest{{}, 0};
  inform(earliest, "9-9", "0-0");
  CHECK_FALSE(earliest.begin());
  CHECK(earliest.after() == Position{});

  LogCursor latest{{Start::From::latest}, 0};
  inform(latest, "9-9", "8-0");
  CHECK_FALSE(latest.begin());
  CHECK(latest.after() == Position{9, 9});

  const Start at{Start::From::position, {{1, {5, 2}}}};
  CHECK(LogCursor{at, 1}.after() == Position{5, 1});
  CHECK(LogCursor{at, 0}.after() == Position{});

  LogCursor since{{Start::From::time, {}, Time{100s}}, 0};
  CHECK(since.after() == id_before({40'000, 0}));  // clocks differ
  CHECK_FALSE(since.wants({50'000, 0}, Time{99s}));
  CHECK(since.wants({51'000, 0}, Time{100s}));
  CHECK(since.wants({52'000, 0}, Time{99s}));  // it has begun
  CHECK(since.after() == Position{52'000, 0});
}

TEST_CASE("redis: who wanted what was trimmed away is told, once") {
  LogCursor earliest{{}, 0};
  inform(earliest, "9-9", "4-0");
  CHECK(earliest.begin());
  (void)earliest.wants({5, 0}, Time{});
  inform(earliest, "9-9", "4-0");
  CHECK_FALSE(earliest.begin());  // another connection, and nothing has changed
  inform(earliest, "9-9", "7-0");
  CHECK(earliest.begin());  // meanwhile something was lost

  const Start at{Start::From::position, {{0, {5, 0}}}};
  LogCursor lost{at, 0};
  inform(lost, "9-9", "5-0");
  CHECK(lost.begin());
  LogCursor there{at, 0};
  inform(there, "9-9", "4-9");
  CHECK_FALSE(there.begin());
}

TEST_CASE("redis: where groups begin") {
  using Texts = std::vector<std::string>;
  CHECK(starts_of({}, 2) == Texts{"0", "0"});
  CHECK(starts_of({Start::From::latest}, 2) == Texts{"$", "$"});
  CHECK(starts_of({Start::From::position, {{1, {5, 2}}, {7, {1, 1}}, {-1, {1, 1}}}}, 2) ==
        Texts{"0", "5-1"});
  CHECK(starts_of({Start::From::time, {}, Time{1s}}, 1) == Texts{"999-18446744073709551615"});
}
