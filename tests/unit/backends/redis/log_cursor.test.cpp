// SPDX-License-Identifier: MIT
#include <omnibus/backends/redis/log_cursor.hpp>

#include <string>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::redis;
using namespace omnibus::unit;

namespace {

void inform(LogCursor& cursor, const char* last, const char* first, std::int64_t length,
            std::int64_t added) {
  cursor.info(0, "length");
  cursor.info(1, length);
  cursor.info(2, "last-generated-id");
  cursor.info(3, last);
  cursor.info(4, "entries-added");
  cursor.info(5, added);
  cursor.info(6, "recorded-first-entry-id");
  cursor.info(7, first);
}

}  // namespace

TEST_CASE("redis: a reader begins at the beginning, at the end, at a position or at a time") {
  LogCursor first{{}, 0};
  inform(first, "9-9", "1-0", 5, 5);
  CHECK_FALSE(first.begin());
  CHECK(first.after() == Position{});

  LogCursor newest{{Start::From::latest}, 0};
  inform(newest, "9-9", "8-0", 2, 5);
  CHECK_FALSE(newest.begin());
  CHECK(newest.after() == Position{9, 9});

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
  LogCursor first{{}, 0};
  inform(first, "9-9", "5-0", 5, 9);
  CHECK(first.begin());
  (void)first.wants({6, 0}, Time{});
  inform(first, "9-9", "5-0", 5, 9);
  CHECK_FALSE(first.begin());  // another connection, and nothing has changed
  inform(first, "9-9", "6-0", 4, 9);
  CHECK_FALSE(first.begin());  // what was removed had been read
  inform(first, "9-9", "8-0", 2, 9);
  CHECK(first.begin());  // meanwhile something was lost

  const Start at{Start::From::position, {{0, {5, 0}}}};
  LogCursor lost{at, 0};
  inform(lost, "9-9", "5-1", 5, 9);
  CHECK(lost.begin());
  LogCursor there{at, 0};
  inform(there, "9-9", "5-0", 5, 9);
  CHECK_FALSE(there.begin());
  LogCursor empty{{}, 0};
  inform(empty, "9-9", "0-0", 0, 9);
  CHECK(empty.begin());
}

TEST_CASE("redis: where groups begin") {
  using Texts = std::vector<std::string>;
  CHECK(starts_of({}, 2) == Texts{"0", "0"});
  CHECK(starts_of({Start::From::latest}, 2) == Texts{"$", "$"});
  CHECK(starts_of({Start::From::position, {{1, {5, 2}}, {7, {1, 1}}, {-1, {1, 1}}}}, 2) ==
        Texts{"0", "5-1"});
  CHECK(starts_of({Start::From::time, {}, Time{1s}}, 1) == Texts{"999-18446744073709551615"});
}
