// SPDX-License-Identifier: MIT
#include <omnibus/backends/kafka/progress.hpp>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <vector>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::kafka;
using namespace omnibus::unit;

namespace {

/// "committable; what is marked beyond it".
std::string state(const Progress& progress) {
  std::string text = std::to_string(progress.committable()) + ";";
  progress.marks().for_all([&](std::int64_t offset) { text += " " + std::to_string(offset); });
  return text;
}

/// With records of these offsets, numbered from 0.
Progress with(std::int64_t start, std::initializer_list<std::int64_t> offsets) {
  Progress progress{start};
  for (const std::int64_t offset : offsets) (void)progress.add(offset);
  return progress;
}

}  // namespace

TEST_CASE("kafka: nothing can be committed while nothing is known") {
  Progress progress;
  CHECK(progress.committable() == Progress::none);
  CHECK(progress.open() == 0);
  CHECK(progress.finished() == 0);
  CHECK(progress.marks().text().empty());
  CHECK_FALSE(progress.was_done_before(0));
}

TEST_CASE("kafka: a partition without a start begins at the record that comes first") {
  Progress progress;
  CHECK(progress.add(40) == 0);
  CHECK(state(progress) == "40;");
  progress.done(0);
  CHECK(state(progress) == "41;");
}

TEST_CASE("kafka: a start is committed as it is until something is done") {
  Progress progress{17};
  CHECK(state(progress) == "17;");
  (void)progress.add(20);
  CHECK(state(progress) == "17;");
  progress.done(0);
  CHECK(state(progress) == "21;");
}

TEST_CASE("kafka: records are numbered in order") {
  Progress progress{0};
  CHECK(progress.add(0) == 0);
  CHECK(progress.add(1) == 1);
  progress.done(0);
  progress.done(1);
  CHECK(progress.add(2) == 2);
  CHECK(progress.open() == 1);
  CHECK(progress.finished() == 2);
}

TEST_CASE("kafka: only what is done without a gap before it can be committed") {
  Progress progress = with(10, {10, 11, 12, 13, 14});
  progress.done(1);
  CHECK(state(progress) == "10; 11");
  progress.done(3);
  CHECK(state(progress) == "10; 11 13");
  CHECK(progress.open() == 5);
  progress.done(0);
  CHECK(state(progress) == "12; 13");
  CHECK(progress.open() == 3);
  progress.done(4);
  CHECK(state(progress) == "12; 13 14");
  progress.done(2);
  CHECK(state(progress) == "15;");
  CHECK(progress.open() == 0);
  CHECK(progress.finished() == 5);
}

TEST_CASE("kafka: offsets that never come hold up nothing") {
  Progress progress = with(5, {5, 8, 20});
  progress.done(0);
  CHECK(state(progress) == "6;");
  progress.done(2);
  CHECK(state(progress) == "6; 20");
  progress.done(1);
  CHECK(state(progress) == "21;");
}

TEST_CASE("kafka: what predecessors did is known, and written again until it has come") {
  Marks before{100};
  for (const std::int64_t offset : {102, 104, 110}) before.add(offset);
  Progress progress{100, {100, before.text()}};
  CHECK(state(progress) == "100; 102 104 110");
  CHECK(progress.was_done_before(102));
  CHECK_FALSE(progress.was_done_before(103));
  for (const std::int64_t offset : {100, 101, 102, 103}) {
    const std::uint64_t number = progress.add(offset);
    if (progress.was_done_before(offset)) progress.done(number);
  }
  CHECK(state(progress) == "100; 102 104 110");
  progress.done(0);
  progress.done(1);
  CHECK(state(progress) == "103; 104 110");
  progress.done(3);
  CHECK(state(progress) == "104; 104 110");  // 104 has not come again yet
}

TEST_CASE("kafka: after a restart nothing of before counts") {
  Marks before{100};
  before.add(103);
  Progress progress{100, before};
  for (const std::int64_t offset : {100, 101, 102}) (void)progress.add(offset);
  progress.done(1);
  progress.restart(0);
  CHECK(state(progress) == "0;");
  CHECK(progress.open() == 0);
  CHECK_FALSE(progress.was_done_before(103));
  const std::uint64_t finished = progress.finished();
  progress.done(0);  // of the topic that is gone
  progress.done(2);
  CHECK(state(progress) == "0;");
  CHECK(progress.finished() == finished);
  CHECK(progress.add(0) == 3);
  progress.done(3);
  CHECK(state(progress) == "1;");
}

TEST_CASE("kafka: as many records as there are may be open, and end in any order") {
  Progress progress{0};
  constexpr std::int64_t count = 1000;
  for (std::int64_t offset = 0; offset < count; ++offset) (void)progress.add(offset);
  CHECK(progress.open() == 1000);
  for (std::int64_t offset = count - 1; offset > 0; --offset) {
    progress.done(static_cast<std::uint64_t>(offset));
  }
  CHECK(progress.committable() == 0);
  CHECK(progress.open() == 1000);
  progress.done(0);
  CHECK(progress.committable() == count);
  CHECK(progress.open() == 0);
}

TEST_CASE("kafka: marks leave out what is too far away, which comes again then") {
  Progress progress{0};
  constexpr auto count = static_cast<std::int64_t>(Marks::most * 6) + 50;
  for (std::int64_t offset = 0; offset < count; ++offset) {
    const std::uint64_t number = progress.add(offset);
    if (offset > 0) progress.done(number);
  }
  CHECK(progress.marks().contains(count - 51));
  CHECK_FALSE(progress.marks().contains(count - 1));
  CHECK(progress.marks().text().size() <= 4096);
}

namespace {

/// A partition, and members of a group that take it over from one another.
class Life {
 public:
  explicit Life(std::uint64_t seed) : random_{seed} {
    std::int64_t offset = static_cast<std::int64_t>(random_() % 1000);
    for (int i = 0; i < 400; ++i) {
      log_.push_back(offset);
      offset += random_() % 5 == 0 ? 1 + static_cast<std::int64_t>(random_() % 9) : 1;
    }
  }

  std::string run() {
    take_over();
    for (int step = 0; step < 4000 && flaw_.empty(); ++step) {
      const std::uint64_t what = random_() % 100;
      if (what < 45) {
        comes();
      } else if (what < 98) {
        ends();
      } else if (what < 99) {
        take_over();
      } else {
        committed_ = {progress_.committable(), progress_.marks().text()};
      }
      check();
    }
    while (flaw_.empty() && (next_ < log_.size() || !open_.empty())) {
      comes();
      ends();
      check();
    }
    if (progress_.committable() != log_.back() + 1) expect(false, "the end is not reached");
    for (const std::int64_t offset : log_) expect(handled_[offset] > 0, "a record was left out");
    return flaw_;
  }

 private:
  void expect(bool good, const char* what) {
    if (!good && flaw_.empty()) flaw_ = what;
  }
  /// Another member goes on at what was committed; what is in the hands of this one is forgotten.
  void take_over() {
    const auto& [offset, text] = committed_;
    expect(offset == Progress::none || offset >= last_committed_, "a commit goes back");
    last_committed_ = offset;
    progress_ = offset == Progress::none ? Progress{} : Progress{offset, {offset, text}};
    next_ = 0;
    while (next_ < log_.size() && log_[next_] < offset) ++next_;
    resumed_ = next_;
    open_.clear();
    ended_.clear();
    // What is committed was handled, and all that was done by then is.
    for (std::size_t i = 0; i < log_.size(); ++i) {
      const bool before = log_[i] < offset || progress_.was_done_before(log_[i]);
      if (before) expect(handled_[log_[i]] > 0, "a commit passes what was not handled");
      if (before) ended_.insert(log_[i]);
    }
  }
  void comes() {
    if (next_ == log_.size()) return;
    const std::int64_t offset = log_[next_++];
    const std::uint64_t number = progress_.add(offset);
    open_.emplace_back(number, offset);
    if (!progress_.was_done_before(offset)) return;
    open_.pop_back();
    progress_.done(number);
  }
  void ends() {
    if (open_.empty()) return;
    const auto index = random_() % std::min<std::uint64_t>(open_.size(), 1 + random_() % 50);
    const auto at = open_.begin() + static_cast<std::ptrdiff_t>(index);
    expect(!ended_.contains(at->second), "what was done comes again");
    ++handled_[at->second];
    ended_.insert(at->second);
    progress_.done(at->first);
    open_.erase(at);
  }
  void check() {
    if (progress_.committable() == Progress::none) return expect(next_ == 0, "nothing is known");
    std::int64_t committable = last_committed_ == Progress::none ? log_.front() : last_committed_;
    std::size_t index = resumed_;
    while (index < next_ && ended_.contains(log_[index])) committable = log_[index++] + 1;
    expect(progress_.committable() == committable, "committable");
    expect(progress_.open() == next_ - index, "open");
    std::vector<std::int64_t> marked, expected;
    progress_.marks().for_all([&](std::int64_t offset) { marked.push_back(offset); });
    for (const std::int64_t offset : ended_) {
      if (offset >= committable) expected.push_back(offset);
    }
    expect(marked == expected, "marks");
  }

  std::mt19937_64 random_;
  std::vector<std::int64_t> log_;
  std::map<std::int64_t, int> handled_;
  std::pair<std::int64_t, std::string> committed_{Progress::none, ""};
  std::int64_t last_committed_ = Progress::none;
  std::size_t next_ = 0, resumed_ = 0;
  std::vector<std::pair<std::uint64_t, std::int64_t>> open_;
  std::set<std::int64_t> ended_;  // as this member knows it
  Progress progress_;
  std::string flaw_;
};

}  // namespace

TEST_CASE("kafka: over random lives what is committed was done, and what is marked is done once") {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    if (const std::string flaw = Life{seed}.run(); !flaw.empty()) FAIL(flaw << ", seed " << seed);
  }
}
