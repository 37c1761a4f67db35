// SPDX-License-Identifier: MIT
#include <omnibus/backends/kafka/marks.hpp>

#include <random>
#include <set>
#include <vector>

#include "catch.hpp"
#include "unit/backends/kafka/tools.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::kafka;
using namespace omnibus::unit;

namespace {

/// The broker's limit for what stands beside an offset (offset.metadata.max.bytes).
constexpr std::size_t broker_takes = 4096;

std::vector<std::int64_t> marked(const Marks& marks) {
  std::vector<std::int64_t> all;
  marks.for_all([&](std::int64_t offset) { all.push_back(offset); });
  return all;
}

Marks with(std::int64_t base, std::initializer_list<std::int64_t> offsets) {
  Marks marks{base};
  for (const std::int64_t offset : offsets) marks.add(offset);
  return marks;
}

}  // namespace

TEST_CASE("kafka: nothing marked is no text") {
  CHECK(Marks{}.text().empty());
  CHECK(Marks{17}.text().empty());
  CHECK(marked(Marks{17}).empty());
  CHECK_FALSE(Marks{17}.contains(17));
  CHECK(marked(Marks{17, ""}).empty());
}

TEST_CASE("kafka: marks are six offsets a character, the first in its lowest bit") {
  CHECK(with(100, {100}).text() == "omnibus1:B");
  CHECK(with(100, {101}).text() == "omnibus1:C");
  CHECK(with(100, {105}).text() == "omnibus1:g");
  CHECK(with(100, {106}).text() == "omnibus1:AB");
  CHECK(with(100, {100, 101, 102, 103, 104, 105}).text() == "omnibus1:_");
  CHECK(with(100, {103, 101, 103}).text() == "omnibus1:K");
}

TEST_CASE("kafka: what is marked, and nothing else") {
  const Marks marks = with(1000, {1001, 1005, 1006, 1017, 1600});
  CHECK(marked(marks) == std::vector<std::int64_t>{1001, 1005, 1006, 1017, 1600});
  CHECK(marks.contains(1001));
  CHECK_FALSE(marks.contains(1002));
  CHECK_FALSE(marks.contains(1601));
  CHECK_FALSE(marks.contains(1'000'000));
  CHECK_FALSE(marks.contains(999));
  CHECK_FALSE(marks.contains(-1));
}

TEST_CASE("kafka: what lies before the base is not marked") {
  const Marks marks = with(1000, {999, 0, -1, INT64_MIN});
  CHECK(marked(marks).empty());
  CHECK(marks.text().empty());
}

TEST_CASE("kafka: the text never grows beyond what brokers take") {
  Marks marks{1};
  constexpr auto most = static_cast<std::int64_t>(Marks::most * 6);
  for (std::int64_t offset = 1; offset <= most + 100; ++offset) marks.add(offset);
  marks.add(INT64_MAX);
  CHECK(marks.text().size() <= broker_takes);
  CHECK(marks.contains(most));
  CHECK_FALSE(marks.contains(most + 1));
  CHECK(marked(marks).size() == static_cast<std::size_t>(most));
  CHECK(marked(Marks{1, marks.text()}) == marked(marks));
}

TEST_CASE("kafka: a text of the broker that is longer is cut to what we would write") {
  const std::string text = "omnibus1:" + std::string(100'000, '_');
  const Marks marks{0, text};
  CHECK(marked(marks).size() == Marks::most * 6);
  CHECK(marks.text().size() <= broker_takes);
}

TEST_CASE("kafka: marks at the last of offsets end there") {
  const Marks marks{INT64_MAX - 2, "omnibus1:____"};
  CHECK(marked(marks) == std::vector<std::int64_t>{INT64_MAX - 2, INT64_MAX - 1, INT64_MAX});
  CHECK(marks.contains(INT64_MAX));
  CHECK_FALSE(marks.contains(INT64_MIN));
}

TEST_CASE("kafka: a text that is not ours marks nothing") {
  for (const std::string_view text :
       {"", "omnibus1", "omnibus1:", "omnibus2:B", "Omnibus1:B", " omnibus1:B", "B", "omnibus1:B ",
        "omnibus1:_\n", "omnibus1:B=", "omnibus1:+/", "omnibus1:\xff", "consumer-7 at 12:00",
        "omnibus1:___ä"}) {
    CAPTURE(text);
    const Marks marks{5, text};
    CHECK(marked(marks).empty());
    CHECK_FALSE(marks.contains(5));
    CHECK(marks.text().empty());
  }
  CHECK(marked(Marks{5, "omnibus1:\0B"sv}).empty());
}

TEST_CASE("kafka: over random marks what is read is what was written") {
  std::mt19937_64 random{6};
  for (int round = 0; round < 300; ++round) {
    const auto base = static_cast<std::int64_t>(random() >> (1 + random() % 62));
    const std::uint64_t spread = 1 + random() % 30'000;
    std::set<std::int64_t> model;
    Marks marks{base};
    for (auto left = random() % 200; left > 0; --left) {
      const std::int64_t offset = base + static_cast<std::int64_t>(random() % spread);
      marks.add(offset);
      if (offset - base < static_cast<std::int64_t>(Marks::most * 6)) model.insert(offset);
    }
    const std::vector<std::int64_t> expected{model.begin(), model.end()};
    if (marked(marks) != expected) FAIL("marked, round " << round);
    const Marks again{base, marks.text()};
    if (marked(again) != expected) FAIL("read, round " << round);
    if (again.text() != marks.text()) FAIL("text, round " << round);
    for (const std::int64_t offset : expected) {
      if (!again.contains(offset)) FAIL("contains, round " << round);
    }
  }
}

TEST_CASE("kafka: marks of random text are read without harm") {
  std::mt19937_64 random{7};
  const std::string_view letters =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  for (int round = 0; round < 20'000; ++round) {
    std::string text = random() % 8 == 0 ? "omnibus" : "omnibus1:";
    for (auto left = random() % 20; left > 0; --left) {
      text.push_back(random() % 40 == 0 ? static_cast<char>(random())
                                        : letters[random() % letters.size()]);
    }
    const Marks marks{static_cast<std::int64_t>(random() >> 1), text};
    const bool ours = text.starts_with("omnibus1:") &&
                      text.find_first_not_of(letters, 9) == std::string::npos;
    for (const std::int64_t offset : marked(marks)) {
      if (!ours || !marks.contains(offset)) FAIL(visible(text));
    }
    if (ours && text.size() > 9 && marks.text() != text) FAIL(visible(text));
  }
}
