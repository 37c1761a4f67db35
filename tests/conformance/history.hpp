// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tools.hpp"

// The order of one group's deliveries, checked while they happen: the payload of a message is its
// number within its key. Of one key no two run at once, no message begins before all earlier ones
// have been handled, and a replay goes on without gaps from where it began.

namespace conformance {

/// Shared objects are safe.
class History {
 public:
  /// `marked`: a message that comes again says so.
  explicit History(bool marked) : marked_{marked} {}

  /// A handler begins. False when its process is dead: it must then do nothing more.
  bool begin(int member, const ob::Delivery& delivery) {
    std::lock_guard lock{mutex_};
    if (dead_.contains(member)) return false;
    ++deliveries_;
    const std::string name{delivery.key()};
    Key& key = keys_[name];
    const auto number = static_cast<std::size_t>(std::stoul(std::string{delivery.payload()}));
    if (key.runner >= 0) note(name, number, "begins while another of its key runs");
    if (number > key.handled) note(name, number, "begins before an earlier one was handled");
    if (number > key.expected) note(name, number, "leaves a gap in a replay");
    if (number < key.begun && marked_ && !delivery.redelivered()) {
      note(name, number, "comes again and does not say so");
    }
    key.begun = std::max(key.begun, number + 1);
    key.runner = member;
    return true;
  }
  /// A handler ends. False as above.
  bool end(int member, const ob::Delivery& delivery, bool well) {
    std::lock_guard lock{mutex_};
    if (dead_.contains(member)) return false;
    Key& key = keys_[std::string{delivery.key()}];
    const auto number = static_cast<std::size_t>(std::stoul(std::string{delivery.payload()}));
    key.runner = -1;
    key.expected = well ? number + 1 : number;
    if (well) {
      if (number < key.handled) ++handled_again_;
      if (number == key.handled) {
        ++key.handled;
        ++handled_;
      }
    }
    signal_.notify_all();
    return true;
  }
  /// From here on nothing that this member does counts.
  void kill(int member) {
    std::lock_guard lock{mutex_};
    dead_.insert(member);
    for (auto& [name, key] : keys_) {
      if (key.runner == member) key.runner = -1;
    }
  }

  /// Waits until so many different messages were handled, or something is wrong.
  template <class F>
  void wait_for(F& f, std::size_t count) {
    std::unique_lock lock{mutex_};
    const bool in_time =
        signal_.wait_for(lock, f.deadline, [&] { return handled_ >= count || !problem_.empty(); });
    if (!problem_.empty()) throw Violation{problem_};
    if (!in_time) violated(handled_, " of ", count, " messages were handled at the deadline");
  }
  /// Messages that were handled more than once.
  std::size_t handled_again() const {
    std::lock_guard lock{mutex_};
    return handled_again_;
  }
  std::size_t deliveries() const {
    std::lock_guard lock{mutex_};
    return deliveries_;
  }
  void check() const {
    std::lock_guard lock{mutex_};
    if (!problem_.empty()) throw Violation{problem_};
  }

 private:
  struct Key {
    std::size_t handled = 0;   ///< all below have been handled
    std::size_t begun = 0;     ///< all below have begun at least once
    std::size_t expected = 0;  ///< the highest number that may begin now
    int runner = -1;
  };

  void note(const std::string& key, std::size_t number, const char* what) {
    if (!problem_.empty()) return;
    problem_ = "message " + std::to_string(number) + " of " + key + " " + what;
    signal_.notify_all();
  }

  const bool marked_;
  mutable std::mutex mutex_;
  std::condition_variable signal_;
  std::map<std::string, Key> keys_;
  std::set<int> dead_;
  std::string problem_;
  std::size_t handled_ = 0;
  std::size_t handled_again_ = 0;
  std::size_t deliveries_ = 0;
};

/// Messages of `keys` keys, in an order of their own, numbered within each key.
inline std::vector<ob::Message> numbered_by_key(std::size_t count, std::size_t keys, Dice& dice) {
  std::vector<std::size_t> next(keys);
  std::vector<ob::Message> made;
  for (std::size_t i = 0; i < count; ++i) {
    const auto key = dice.roll(keys);
    made.push_back(message(std::to_string(next[key]++), "key-" + std::to_string(key)));
  }
  return made;
}

}  // namespace conformance
