// SPDX-License-Identifier: MIT
#include <omnibus/event_store/event.hpp>

#include <set>
#include <string>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;

TEST_CASE("a category is what stands before the first dash") {
  CHECK(category_of("order-17") == "order");
  CHECK(category_of("order-17-4") == "order");
  CHECK(category_of("order") == "order");
  CHECK(category_of("-17") == "");
  CHECK(category_of("") == "");
}

TEST_CASE("a page has events of its own, of any size, each byte as it was") {
  EventPage page;
  CHECK(page.empty());
  for (int round = 0; round < 3; ++round) {
    page.clear();
    for (std::size_t i = 0; i < 200; ++i) {
      const std::string payload(i * i * 7 % 90'000, static_cast<char>(i));
      const std::string name = "s-" + std::to_string(i);
      const Headers metadata{{"trace", name}, {"empty", ""}};
      const std::string_view tags[] = {"a", name, ""};
      page.add({name, i, i + 1, name, "t", payload, {tags, i % 4 == 3 ? 3 : i % 4}, metadata, Time{1us * i}});
    }
    REQUIRE(page.size() == 200);
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < 200; ++i) {
      const StoredEvent& each = page[i];
      const std::string name = "s-" + std::to_string(i);
      bytes += detail::bytes_of(each);
      REQUIRE(each.stream == name);
      REQUIRE(each.version == i);
      REQUIRE(each.position == i + 1);
      REQUIRE(each.id == name);
      REQUIRE(each.type == "t");
      REQUIRE(each.payload == std::string(i * i * 7 % 90'000, static_cast<char>(i)));
      REQUIRE(each.tags.size() == i % 4);
      if (i % 4 > 1) REQUIRE(each.tags[1] == name);
      REQUIRE(each.metadata.get("trace") == name);
      REQUIRE(each.metadata.size() == 2);
      REQUIRE(each.time == Time{1us * i});
    }
    CHECK(page.bytes() == bytes);
    CHECK(page.back().id == "s-199");
  }
}

TEST_CASE("a page that was moved shows what it showed") {
  EventPage first;
  first.add({"s", 1, 1, "a", "t", "payload"});
  const EventPage second = std::move(first);
  CHECK(second[0].payload == "payload");
}

TEST_CASE("a page that is filled again takes no more memory") {
  EventPage page;
  std::set<const char*> places;
  for (int round = 0; round < 5; ++round) {
    page.clear();
    for (int i = 0; i < 1000; ++i) page.add({"s", 1, 1, "a", "t", "0123456789"});
    for (const StoredEvent& each : page) places.insert(each.payload.data());
  }
  CHECK(places.size() == 1000);
}
