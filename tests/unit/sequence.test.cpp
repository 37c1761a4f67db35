// SPDX-License-Identifier: MIT
#include <omnibus/sequence.hpp>

#include <map>
#include <random>
#include <string>

#include "catch.hpp"

using namespace omnibus;
using enum SequenceFinding;

TEST_CASE("a number is judged by the last one of its key") {
  struct Case {
    Sequence last, got;
    SequenceFinding finding;
    std::uint64_t missing;
  };
  constexpr Case cases[] = {
      {{}, {5, 17}, in_order, 0},  // nothing is known
      {{5, 3}, {5, 4}, in_order, 0},
      {{5, 3}, {5, 5}, gap, 1},
      {{5, 3}, {5, 14}, gap, 10},
      {{5, 3}, {5, 3}, repeated, 0},
      {{5, 3}, {5, 0}, repeated, 0},
      {{5, UINT64_MAX}, {5, UINT64_MAX}, repeated, 0},
      {{5, UINT64_MAX}, {5, 0}, repeated, 0},
      {{5, 3}, {6, 0}, in_order, 0},  // the producer has started again
      {{5, 3}, {6, 2}, gap, 2},
      {{5, 3}, {4, 4}, stale, 0},
      {{5, 3}, {4, 9}, stale, 0},
  };
  for (const Case& each : cases) {
    const SequenceReport report = judge(each.last, each.got);
    INFO(report.text());
    CHECK(report.finding == each.finding);
    CHECK(report.missing == each.missing);
    CHECK(report.got == each.got);
  }
}

TEST_CASE("a report says in words what it found") {
  CHECK(judge({12, 4}, {12, 7}).text() == "2 messages are missing before number 7 of epoch 12");
  CHECK(judge({12, 4}, {12, 6}).text() == "1 message is missing before number 6 of epoch 12");
  CHECK(judge({12, 4}, {12, 2}).text() == "number 2 of epoch 12 came again, where 5 was expected");
  CHECK(judge({12, 4}, {11, 9}).text() ==
        "number 9 of epoch 11 is of a producer that was replaced: its key is at epoch 12");
  CHECK(judge({12, 4}, {12, 5}).text() == "number 5 of epoch 12 is in order");
}

TEST_CASE("messages are numbered from 0 for each key of each topic") {
  Numbering numbering{10, 7};
  CHECK(numbering.next("orders", "a") == Sequence{7, 0});
  CHECK(numbering.next("orders", "a") == Sequence{7, 1});
  CHECK(numbering.next("orders", "b") == Sequence{7, 0});
  CHECK(numbering.next("payments", "a") == Sequence{7, 0});
  CHECK(numbering.next("orders", "a") == Sequence{7, 2});
}

TEST_CASE("a key that was forgotten begins a new epoch") {
  Numbering numbering{2, 7};
  CHECK(numbering.next("t", "a") == Sequence{7, 0});
  CHECK(numbering.next("t", "b") == Sequence{7, 0});
  CHECK(numbering.next("t", "b") == Sequence{7, 1});
  CHECK(numbering.next("t", "c").number == 0);  // in the place of a
  CHECK(numbering.next("t", "b") == Sequence{7, 2});
  const Sequence again = numbering.next("t", "a");
  CHECK(again.number == 0);
  CHECK(again.epoch > 7);
}

TEST_CASE("whatever is forgotten, who receives all of a key finds it in order") {
  std::mt19937_64 random{2};
  for (const std::size_t keys : {1u, 3u, 10u, 30u}) {
    Numbering numbering{keys, 1};
    std::map<std::string, Sequence> last;
    for (int i = 0; i < 5000; ++i) {
      const std::string key = std::to_string(random() % 20);
      const Sequence number = numbering.next("t", key);
      if (judge(last[key], number).finding != in_order) FAIL(judge(last[key], number).text());
      last[key] = number;
    }
  }
}
