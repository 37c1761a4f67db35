// SPDX-License-Identifier: MIT
#include <omnibus/parked/suite.hpp>

#include <omnibus/memory_parked_store.hpp>

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "catch.hpp"

using namespace omnibus;

namespace {

/// A store with one mistake.
class Wrong final : public ParkedStore {
 public:
  enum class Mistake : std::uint8_t { counts, forgets_redrive, keeps_topic, ignores_group, loads_all, frees_late };
  explicit Wrong(Mistake mistake) : mistake_{mistake} {}

  Result<std::vector<ParkedKey>> load(const ParkedPlace& place, std::size_t most) override {
    return store_.load(at(place), mistake_ == Mistake::loads_all ? SIZE_MAX : most);
  }
  Result<ParkedState> find(const ParkedPlace& place, std::string_view key, std::string_view id) override {
    return store_.find(at(place), key, id);
  }
  Result<> add(const ParkedPlace& place, const ParkedLetter& letter) override {
    ParkedLetter changed = letter;
    if (mistake_ == Mistake::forgets_redrive) changed.died_in = {};
    const std::string counted = "another " + std::to_string(++adds_);
    if (mistake_ == Mistake::counts) (void)store_.add(at(place), {letter.key, counted, "dlq"});
    if (mistake_ == Mistake::keeps_topic && letter.dead_letter_topic == "third.dlq") {
      changed.dead_letter_topic = "first.dlq";
    }
    return store_.add(at(place), changed);
  }
  Result<bool> remove(const ParkedPlace& place, std::string_view key, std::string_view id) override {
    const auto removed = store_.remove(at(place), key, id);
    return mistake_ == Mistake::frees_late ? Result<bool>{false} : removed;
  }

 private:
  ParkedPlace at(const ParkedPlace& place) const {
    return mistake_ == Mistake::ignores_group ? ParkedPlace{"", place.topic} : place;
  }
  Mistake mistake_;
  std::atomic<int> adds_{0};  // the suite adds from several threads
  MemoryParkedStore store_;
};

std::vector<std::string> tried(Wrong::Mistake mistake) {
  return ParkedStoreSuite{[mistake] { return std::make_unique<Wrong>(mistake); }}.run(50);
}
bool says(const std::vector<std::string>& words, std::string_view part) {
  return std::any_of(words.begin(), words.end(),
                     [part](const std::string& each) { return each.find(part) != std::string::npos; });
}

}  // namespace

TEST_CASE("the suite for parked stores sees what is wrong with one") {
  using Mistake = Wrong::Mistake;
  CHECK(says(tried(Mistake::counts), "not free with its last letter"));
  CHECK(says(tried(Mistake::forgets_redrive), "last redrive"));
  CHECK(says(tried(Mistake::keeps_topic), "a free key is remembered"));
  CHECK(says(tried(Mistake::ignores_group), "two names are taken for one"));
  CHECK(says(tried(Mistake::loads_all), "more are loaded"));
  CHECK(says(tried(Mistake::frees_late), "not free with its last letter"));
}
