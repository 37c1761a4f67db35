// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <omnibus/detail/hash.hpp>
#include <omnibus/error.hpp>
#include <omnibus/parked_store.hpp>

// Parked keys in memory: for one process, and as long as it lives.

namespace omnibus {

/// A ParkedStore that ends with its process. A subscription that is given no store has one of its own; give
/// one to several subscriptions, and they share it.
/// Bounded: `most_letters`, of 64 bytes or so each, because it keeps a hash of 128 bits of each id; and the
/// names of their keys. Errors: rejected, for a letter beyond that.
class MemoryParkedStore final : public ParkedStore {
 public:
  explicit MemoryParkedStore(std::size_t most_letters = std::size_t{1} << 20) : most_letters_{most_letters} {}

  Result<std::vector<ParkedKey>> load(const ParkedPlace& place, std::size_t most) override {
    std::lock_guard lock{mutex_};
    std::vector<ParkedKey> loaded;
    const auto keys = places_.find(place);
    if (keys == places_.end()) return loaded;
    if (keys->second.size() > most) return too_many_parked(most);
    loaded.reserve(keys->second.size());
    for (const auto& [key, entry] : keys->second) loaded.push_back({key, entry.topic, entry.died_in});
    return loaded;
  }

  Result<ParkedState> find(const ParkedPlace& place, std::string_view key, std::string_view id) override {
    std::lock_guard lock{mutex_};
    const Parked* entry = find_key(place, key);
    if (entry == nullptr) return ParkedState{};
    return ParkedState{true, entry->letters.contains(detail::hash128(id))};
  }

  Result<> add(const ParkedPlace& place, const ParkedLetter& letter) override {
    std::lock_guard lock{mutex_};
    const detail::Hash128 id = detail::hash128(letter.id);
    Parked* entry = find_key(place, letter.key);
    const bool is_new = entry == nullptr || !entry->letters.contains(id);
    if (is_new && letters_ >= most_letters_) {
      return Error::make(Errc::rejected, "park a key",
                         "keys wait for " + std::to_string(letters_) + " letters already: redrive or discard some");
    }
    if (entry == nullptr) {
      const auto keys = places_.try_emplace({std::string{place.group}, std::string{place.topic}}).first;
      entry = &keys->second.try_emplace(std::string{letter.key}).first->second;
      entry->topic = letter.dead_letter_topic;
    }
    if (!letter.died_in.empty()) entry->died_in = letter.died_in;
    if (is_new) {
      entry->letters.try_emplace(id);
      ++letters_;
    }
    return {};
  }

  Result<bool> remove(const ParkedPlace& place, std::string_view key, std::string_view id) override {
    std::lock_guard lock{mutex_};
    const auto keys = places_.find(place);
    if (keys == places_.end()) return true;
    const auto found = keys->second.find(key);
    if (found == keys->second.end()) return true;
    letters_ -= found->second.letters.erase(detail::hash128(id));
    if (!found->second.letters.empty()) return false;
    keys->second.erase(found);
    return true;
  }

 private:
  struct Nothing {};
  struct ByHash {
    bool operator()(const detail::Hash128& a, const detail::Hash128& b) const noexcept {
      return a.low != b.low ? a.low < b.low : a.high < b.high;
    }
  };
  struct Parked {
    std::string topic;
    std::string died_in;
    std::map<detail::Hash128, Nothing, ByHash> letters;  // a set, whose header nothing else here needs
  };
  using Keys = std::map<std::string, Parked, std::less<>>;
  struct ByPlace {
    using is_transparent = void;
    template <class A, class B>
    bool operator()(const A& a, const B& b) const noexcept {
      return parts(a) < parts(b);
    }
    static std::pair<std::string_view, std::string_view> parts(const ParkedPlace& place) noexcept {
      return {place.group, place.topic};
    }
    static std::pair<std::string_view, std::string_view> parts(
        const std::pair<std::string, std::string>& place) noexcept {
      return {place.first, place.second};
    }
  };

  Parked* find_key(const ParkedPlace& place, std::string_view key) {
    const auto keys = places_.find(place);
    if (keys == places_.end()) return nullptr;
    const auto found = keys->second.find(key);
    return found == keys->second.end() ? nullptr : &found->second;
  }

  const std::size_t most_letters_;
  std::mutex mutex_;
  std::map<std::pair<std::string, std::string>, Keys, ByPlace> places_;
  std::size_t letters_ = 0;
};

}  // namespace omnibus
