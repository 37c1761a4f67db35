// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

// The keys of a subscription in `parked` order that have dead letters, as far as it knows: what its store
// said when it was asked, and what it has done since.

namespace omnibus::detail {

/// Thread safety: shared objects are safe; one key from one thread at a time.
class ParkingLot {
 public:
  using Instant = std::chrono::steady_clock::time_point;

  /// What is known of a parked key. Lifetime: the name of the topic lives as long as the lot.
  struct Parked {
    const std::string* topic;
    std::string died_in;  ///< the redrive in which one of its letters has died again
    Instant look_at;      ///< when to ask the store about it again
  };

  /// True when no key is parked.
  bool empty() const noexcept { return size_.load(std::memory_order_acquire) == 0; }
  std::optional<Parked> find(std::string_view key) const {
    std::lock_guard lock{mutex_};
    const auto found = keys_.find(key);
    return found == keys_.end() ? std::nullopt : std::optional{found->second};
  }
  /// False when so many are parked that no other key can be.
  bool has_room_for(std::string_view key) const {
    std::lock_guard lock{mutex_};
    return keys_.size() < capacity || keys_.contains(key);
  }

  /// A letter of the key goes to `topic`; from now on others go where its first one went.
  void park(std::string_view key, std::string_view topic, std::string_view died_in, Instant look_at) {
    std::lock_guard lock{mutex_};
    put(std::string{key}, topic, died_in, look_at);
    if (loading_) touched_.try_emplace(std::string{key});
  }
  void look_at(std::string_view key, Instant when) {
    std::lock_guard lock{mutex_};
    if (const auto found = keys_.find(key); found != keys_.end()) found->second.look_at = when;
  }
  /// It waits for no letter any more.
  void free(std::string_view key) {
    std::lock_guard lock{mutex_};
    if (const auto found = keys_.find(key); found != keys_.end()) keys_.erase(found);
    if (loading_) touched_.try_emplace(std::string{key});
    size_.store(keys_.size(), std::memory_order_release);
  }

  /// Between asking the store for all keys and its answer: what is done meanwhile is newer than that.
  void begin_load() {
    std::lock_guard lock{mutex_};
    loading_ = true;
    touched_.clear();
  }
  /// There is no answer.
  void cancel_load() {
    std::lock_guard lock{mutex_};
    loading_ = false;
  }
  /// The answer: a range of values with `key`, `dead_letter_topic` and `died_in`.
  template <class Keys>
  void end_load(const Keys& loaded) {
    std::lock_guard lock{mutex_};
    std::erase_if(keys_, [this](const auto& each) { return !touched_.contains(each.first); });
    for (const auto& each : loaded) {
      if (!touched_.contains(each.key)) put(each.key, each.dead_letter_topic, each.died_in, Instant::min());
    }
    loading_ = false;
    size_.store(keys_.size(), std::memory_order_release);
  }

  static constexpr std::size_t capacity = 65'536;

 private:
  struct Nothing {};
  using Names = std::map<std::string, Nothing, std::less<>>;  // a set, whose header nothing else here needs

  void put(std::string key, std::string_view topic, std::string_view died_in, Instant look_at) {
    Parked& entry = keys_.try_emplace(std::move(key), Parked{nullptr, {}, look_at}).first->second;
    if (entry.topic == nullptr) {
      const auto known = topics_.find(topic);
      entry.topic = known != topics_.end() ? &known->first : &topics_.try_emplace(std::string{topic}).first->first;
    }
    if (!died_in.empty()) entry.died_in = died_in;
    size_.store(keys_.size(), std::memory_order_release);
  }

  std::atomic<std::size_t> size_{0};
  mutable std::mutex mutex_;
  std::map<std::string, Parked, std::less<>> keys_;
  Names topics_;  ///< few, and they stay
  Names touched_;
  bool loading_ = false;
};

}  // namespace omnibus::detail
