// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <omnibus/detail/hash.hpp>
#include <omnibus/parked_store.hpp>

// What a store of parked keys has to show, for those who write one. Needs no test framework. Not part of
// omnibus.hpp.

namespace omnibus {

/// Tries a ParkedStore. `make()` returns a pointer to a new and empty one.
///
///     for (const std::string& each : ob::ParkedStoreSuite{make}.run()) complain(each);
template <class Make>
class ParkedStoreSuite {
 public:
  explicit ParkedStoreSuite(Make make) : make_{std::move(make)} {}

  /// Runs all cases. Returns what was violated, in words; nothing: the store is right. Blocks: as long as
  /// the store does. `steps`: how many operations the random history has.
  std::vector<std::string> run(int steps = 500) {
    violations_.clear();
    a_key_waits_until_its_last_letter_is_taken_out();
    what_is_done_twice_changes_nothing();
    the_first_topic_and_the_last_redrive_are_the_keys();
    all_parts_of_a_name_count();
    no_more_is_loaded_than_was_asked_for();
    threads_do_not_lose_letters();
    a_random_history_ends_as_it_should(steps);
    return violations_;
  }

 private:
  static constexpr ParkedPlace orders{"billing", "orders"};
  static constexpr std::size_t any = 1'000'000;

  bool expect(bool good, std::string_view words) {
    constexpr std::size_t enough = 20;
    if (!good && violations_.size() < enough) violations_.emplace_back(words);
    return good;
  }
  template <class T>
  T value(Result<T> result, T otherwise) {
    if (!result) expect(false, "an operation failed: " + result.error().message());
    return result ? *std::move(result) : std::move(otherwise);
  }
  template <class Store>
  void add(Store& store, const ParkedPlace& place, const ParkedLetter& letter) {
    if (const Result<> added = store.add(place, letter); !added) {
      expect(false, "a letter cannot be added: " + added.error().message());
    }
  }
  template <class Store>
  bool remove(Store& store, const ParkedPlace& place, std::string_view key, std::string_view id) {
    return value(store.remove(place, key, id), false);
  }
  template <class Store>
  ParkedState find(Store& store, const ParkedPlace& place, std::string_view key, std::string_view id) {
    return value(store.find(place, key, id), {});
  }
  template <class Store>
  std::map<std::string, ParkedKey> load(Store& store, const ParkedPlace& place) {
    std::map<std::string, ParkedKey> loaded;
    for (ParkedKey& each : value(store.load(place, any), {})) {
      const std::string key = each.key;
      expect(loaded.emplace(key, std::move(each)).second, "a key is loaded twice");
    }
    return loaded;
  }

  void a_key_waits_until_its_last_letter_is_taken_out() {
    auto store = make_();
    expect(load(*store, orders).empty(), "a new store is not empty");
    expect(!find(*store, orders, "k", "1").parked, "a new key is parked");
    add(*store, orders, {"k", "1", "dlq"});
    add(*store, orders, {"k", "2", "dlq"});
    const ParkedState first = find(*store, orders, "k", "1"), other = find(*store, orders, "k", "3");
    expect(first.parked && first.letter, "a letter that was added is not there");
    expect(other.parked && !other.letter, "a key waits for a letter that was not added");
    expect(load(*store, orders).size() == 1, "a parked key is not loaded");
    expect(!remove(*store, orders, "k", "1"), "a key is free while a letter is out");
    expect(find(*store, orders, "k", "2").letter, "another letter was taken out");
    expect(!find(*store, orders, "k", "1").letter, "a letter that was taken out is there");
    expect(remove(*store, orders, "k", "2"), "a key is not free with its last letter");
    expect(!find(*store, orders, "k", "2").parked && load(*store, orders).empty(), "a free key is parked");
  }

  void what_is_done_twice_changes_nothing() {
    auto store = make_();
    expect(remove(*store, orders, "k", "1"), "a key that was never parked is not free");
    for (int i = 0; i < 2; ++i) add(*store, orders, {"k", "1", "dlq"});
    add(*store, orders, {"k", "2", "dlq"});
    expect(!remove(*store, orders, "k", "3"), "a letter that is not there frees a key");
    for (int i = 0; i < 2; ++i) {
      expect(!remove(*store, orders, "k", "1"), "a letter that was taken out twice frees a key");
    }
    for (int i = 0; i < 2; ++i) {
      expect(remove(*store, orders, "k", "2"), "a letter that was added twice parks its key for ever");
    }
  }

  void the_first_topic_and_the_last_redrive_are_the_keys() {
    auto store = make_();
    add(*store, orders, {"k", "1", "first.dlq"});
    expect(load(*store, orders)["k"].died_in.empty(), "a key has died in a redrive that never was");
    add(*store, orders, {"k", "2", "second.dlq", "one"});
    add(*store, orders, {"k", "2", "first.dlq", "two"});
    add(*store, orders, {"k", "3", "first.dlq"});
    const ParkedKey key = load(*store, orders)["k"];
    expect(key.dead_letter_topic == "first.dlq", "a key's later letters change where it goes");
    expect(key.died_in == "two", "the last redrive in which a letter died again is not known");
    for (const char* id : {"1", "2", "3"}) (void)remove(*store, orders, "k", id);
    add(*store, orders, {"k", "4", "third.dlq"});
    const ParkedKey again = load(*store, orders)["k"];
    expect(again.dead_letter_topic == "third.dlq" && again.died_in.empty(), "a free key is remembered");
  }

  void all_parts_of_a_name_count() {
    auto store = make_();
    const std::string zeros("a\0b", 3), bytes("\xff\xfe\n%", 4), longest(1000, 'k');
    const std::array<std::array<std::string_view, 4>, 16> all{
        {{"g", "t", "k", "i"},   {"g2", "t", "k", "i"},   {"g", "t2", "k", "i"},  {"g", "t", "k2", "i"},
         {"g", "t", "k", "i2"},  {"", "gt", "k", "i"},    {"gt", "", "k", "i"},   {"g", "tk", "", "i"},
         {"g", "t", "ki", ""},   {"g", "t", zeros, "i"},  {"g", "t", "a", "i"},   {"g", "t", "a", zeros},
         {"g", "t", "a", "a"},   {"g", "t", bytes, bytes}, {"g", "t", longest, longest}, {zeros, bytes, "k", "i"}}};
    for (const auto& [group, topic, key, id] : all) {
      expect(!find(*store, {group, topic}, key, id).letter, "two names are taken for one");
      add(*store, {group, topic}, {key, id, bytes, zeros});
    }
    const auto loaded = load(*store, {"g", "t"});
    const auto found = loaded.find(zeros);
    expect(loaded.size() == 7, "a place has keys of another one");
    expect(found != loaded.end() && found->second.dead_letter_topic == bytes && found->second.died_in == zeros,
           "what was said of a key is not what is loaded");
    for (const auto& [group, topic, key, id] : all) {
      expect(find(*store, {group, topic}, key, id).letter, "a name is not remembered");
      (void)remove(*store, {group, topic}, key, id);
      expect(!find(*store, {group, topic}, key, id).letter, "a name is not taken out");
    }
  }

  void no_more_is_loaded_than_was_asked_for() {
    auto store = make_();
    for (const char* key : {"a", "b", "c"}) add(*store, orders, {key, "1", "dlq"});
    expect(value(store->load(orders, 3), {}).size() == 3, "as many as were asked for are not loaded");
    const auto refused = store->load(orders, 2);
    expect(!refused && refused.error().code == Errc::too_large, "more are loaded than were asked for");
  }

  void threads_do_not_lose_letters() {
    auto store = make_();
    constexpr int threads = 4, letters = 25;
    std::atomic<int> freed{0}, failed{0};
    add(*store, orders, {"k", "the first", "dlq"});
    std::vector<std::thread> all;
    for (int thread = 0; thread < threads; ++thread) {
      all.emplace_back([&, thread] {
        for (int i = 0; i < letters; ++i) {
          const std::string id = std::to_string(thread) + "-" + std::to_string(i);
          if (!store->add(orders, {"k", id, "dlq"})) ++failed;
        }
        for (int i = 0; i < letters; ++i) {
          const auto removed = store->remove(orders, "k", std::to_string(thread) + "-" + std::to_string(i));
          if (!removed) ++failed;
          if (removed && *removed) ++freed;
        }
      });
    }
    for (std::thread& each : all) each.join();
    expect(failed == 0, "operations of several threads fail");
    expect(freed == 0, "a key is freed while a letter is out, by several threads");
    expect(remove(*store, orders, "k", "the first"), "several threads leave a letter behind");
  }

  /// Three keys and four ids, against a set of pairs.
  void a_random_history_ends_as_it_should(int steps) {
    auto store = make_();
    std::map<std::string, std::set<std::string>> model;
    std::uint64_t random = 1;
    for (int step = 0; step < steps; ++step) {
      random = detail::mix64(random);
      const std::string key(1, static_cast<char>('a' + random % 3));
      const std::string id = std::to_string(random / 3 % 4);
      if (random / 12 % 2 == 0) {
        add(*store, orders, {key, id, "dlq"});
        model[key].insert(id);
      } else {
        model[key].erase(id);
        if (!expect(remove(*store, orders, key, id) == model[key].empty(), "a key is freed at another time")) return;
      }
      const ParkedState state = find(*store, orders, key, id);
      if (!expect(state.parked != model[key].empty() && state.letter == model[key].contains(id),
                  "a letter is not what it should be, at some time")) {
        return;
      }
    }
    std::set<std::string> parked_keys, loaded;
    for (const auto& [key, ids] : model) {
      if (!ids.empty()) parked_keys.insert(key);
    }
    for (const auto& each : load(*store, orders)) loaded.insert(each.first);
    expect(parked_keys == loaded, "other keys are loaded than are parked");
  }

  Make make_;
  std::vector<std::string> violations_;
};

}  // namespace omnibus
