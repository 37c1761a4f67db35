// SPDX-License-Identifier: MIT
#include <stdexcept>
#include <string>
#include <vector>

#include "catch.hpp"
#include "timeline.hpp"

using namespace campaign;

TEST_CASE("Names are numbered from zero, and given back") {
  Names names;
  for (std::uint32_t i = 0; i < 1000; ++i) CHECK(names["name " + std::to_string(i)] == i);
  CHECK(names[""] == 1000);
  CHECK(names["name 7"] == 7);
  CHECK(names.word(999) == "name 999");
  CHECK(names.word(1000).empty());
  CHECK(names.size() == 1001);
}

TEST_CASE("Events of several processes come in the order of their times") {
  Timeline timeline;
  timeline.add({.kind = Kind::gauge, .at = 5, .process = "a", .value = 5});
  timeline.add({.kind = Kind::gauge, .at = 2, .process = "a", .value = 2});
  timeline.add({.kind = Kind::gauge, .at = 1, .process = "b", .value = 1});
  timeline.add({.kind = Kind::gauge, .at = 4, .process = "b", .incarnation = 2, .value = 4});
  timeline.add({.kind = Kind::gauge, .at = 4, .process = "b", .incarnation = 2, .value = 104});
  timeline.add({.kind = Kind::gauge, .at = 3, .process = "b", .value = 3});
  timeline.arrange();
  std::vector<std::uint64_t> seen;
  timeline.replay([&](const Event& event) { seen.push_back(event.value); });
  CHECK(seen == std::vector<std::uint64_t>{1, 2, 3, 4, 104, 5});
}

TEST_CASE("A message has a copy in each group of its topic") {
  Timeline timeline;
  const auto add = [&timeline](Kind kind, std::string_view id, std::string_view topic,
                               std::string_view group) {
    timeline.add({.kind = kind, .process = "p", .id = id, .topic = topic, .group = group, .key = "k"});
  };
  add(Kind::publish, "x", "orders", "");
  add(Kind::publish, "y", "orders", "");
  add(Kind::publish, "z", "refunds", "");
  add(Kind::deliver, "x", "orders", "billing");
  add(Kind::deliver, "x", "orders", "mail");
  add(Kind::deliver, "z", "refunds", "billing");
  add(Kind::deliver, "y", "wrong", "mail");  // counts where the message belongs
  timeline.arrange();
  CHECK(timeline.copies == 5);
  CHECK(timeline.streams == 3);
  std::vector<std::size_t> copies;
  timeline.replay([&](const Event& event) {
    if (event.kind == Kind::deliver) copies.push_back(timeline.copy_of(event));
  });
  CHECK(copies == std::vector<std::size_t>{0, 1, 4, 3});
}

TEST_CASE("A line that says too little is no record") {
  Timeline timeline;
  timeline.add({.kind = Kind::publish, .process = "p"});
  timeline.add({.kind = Kind::publish, .id = "x"});
  timeline.add({.kind = Kind::deliver, .process = "p", .id = "x"});
  timeline.add({.kind = Kind::join, .process = "p", .group = "g", .note = "order=loose"});
  timeline.add_line("nonsense\t;");
  CHECK(timeline.malformed == 5);
  CHECK(timeline.first_malformed == "publish");
  CHECK(timeline.torn == 0);
  timeline.add_line("nonsense");
  CHECK(timeline.torn == 1);
  CHECK_THROWS_AS(timeline.add_file("/nowhere/history"), std::runtime_error);
}
