// SPDX-License-Identifier: MIT
#include <omnibus/event_store/query.hpp>

#include <initializer_list>

#include "catch.hpp"

using namespace omnibus;

namespace {

bool means(const EventQuery& query, std::string_view type, std::initializer_list<std::string_view> tags) {
  return matches(query, type, {tags.begin(), tags.size()});
}

}  // namespace

TEST_CASE("a filter means events of any of its types with all of its tags") {
  const EventQuery query{{{.types = {"Opened", "Closed"}, .tags = {"course:1", "student:2"}}}};
  CHECK(means(query, "Opened", {"student:2", "course:1", "more"}));
  CHECK(means(query, "Closed", {"course:1", "student:2"}));
  CHECK_FALSE(means(query, "Moved", {"course:1", "student:2"}));
  CHECK_FALSE(means(query, "Opened", {"course:1"}));
  CHECK_FALSE(means(query, "Opened", {"course:1", "student:22"}));
  CHECK_FALSE(means(query, "Opened", {}));
}

TEST_CASE("what a filter does not name is of no matter") {
  CHECK(means({{{.types = {"Opened"}}}}, "Opened", {"any"}));
  CHECK_FALSE(means({{{.types = {"Opened"}}}}, "", {"any"}));
  CHECK(means({{{.tags = {"a"}}}}, "Any", {"b", "a"}));
  CHECK(means({{EventFilter{}}}, "Any", {}));
}

TEST_CASE("a query means what any of its filters does, and without one everything") {
  const EventQuery query{{{.types = {"Opened"}}, {.tags = {"a"}}}};
  CHECK(means(query, "Opened", {}));
  CHECK(means(query, "Closed", {"a"}));
  CHECK_FALSE(means(query, "Closed", {"b"}));
  CHECK(means({}, "Closed", {"b"}));
  CHECK(means({}, "", {}));
}
