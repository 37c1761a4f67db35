// SPDX-License-Identifier: MIT
#include <omnibus/headers.hpp>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;

namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;
Pairs pairs(HeadersView headers) {
  Pairs all;
  for (const Header header : headers) all.emplace_back(header.name, header.value);
  return all;
}

}  // namespace

TEST_CASE("headers keep names and values in order, repeated names too") {
  Headers headers{{"a", "1"}, {"b", "2"}};
  headers.add("a", "3").add("c", "");
  CHECK(pairs(headers) == Pairs{{"a", "1"}, {"b", "2"}, {"a", "3"}, {"c", ""}});
  CHECK(headers.size() == 4);
  CHECK(headers.get("a") == "1");
  CHECK(headers.get("c").empty());
  CHECK(headers.contains("c"));
  CHECK_FALSE(headers.contains("d"));
  CHECK_FALSE(headers.contains("A"));
  CHECK(headers.get("d").empty());
}

TEST_CASE("no headers are empty") {
  const Headers none;
  CHECK(none.empty());
  CHECK(none.size() == 0);
  CHECK(none.begin() == none.end());
  CHECK(HeadersView{}.empty());
  CHECK(HeadersView{}.size() == 0);
  CHECK(HeadersView{}.begin() == HeadersView{}.end());
}

TEST_CASE("values and names may hold any bytes") {
  const Headers headers{{"\0\xff"sv, "\0\n\xff\0"sv}, {"", ""}};
  CHECK(headers.get("\0\xff"sv) == "\0\n\xff\0"sv);
  CHECK(headers.contains(""));
  CHECK(pairs(headers) == Pairs{{"\0\xff"s, "\0\n\xff\0"s}, {"", ""}});
}

TEST_CASE("set puts one value in place of all; remove takes all away") {
  Headers headers{{"a", "1"}, {"b", "2"}, {"a", "3"}};
  headers.set("a", "4");
  CHECK(pairs(headers) == Pairs{{"b", "2"}, {"a", "4"}});
  headers.set("c", "5");
  CHECK(headers.get("c") == "5");
  headers.remove("a").remove("not there");
  CHECK(pairs(headers) == Pairs{{"b", "2"}, {"c", "5"}});
  headers.remove("b").remove("c");
  CHECK(headers.empty());
}

TEST_CASE("a block carries all headers to a view and back") {
  const Headers headers{{"a", std::string(70'000, 'x')}, {"b", "\0"sv}};
  const std::string block{headers.view().block()};
  const HeadersView view{block};
  CHECK(pairs(view) == pairs(headers));
  const Headers copy{view};
  CHECK(pairs(copy) == pairs(headers));
}

TEST_CASE("an iterator can be copied and goes on by itself") {
  const Headers headers{{"a", "1"}, {"b", "2"}};
  auto it = headers.begin();
  const auto before = it++;
  CHECK((*before).name == "a");
  CHECK((*it).name == "b");
  CHECK(++it == headers.end());
}
