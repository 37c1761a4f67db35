// SPDX-License-Identifier: MIT
#pragma once

#include <map>
#include <mutex>
#include <omnibus/omnibus.hpp>
#include <set>
#include <string>
#include <utility>

// Where the dead letters are read, and sorted by what they died of.

namespace shop {

/// What a dead letter died of.
struct Cause {
  std::string group;
  std::string type;
  std::string code;
  std::string reason;
  auto operator<=>(const Cause&) const = default;
};

/// The dead letters of one cause.
struct Letters {
  std::size_t events = 0;
  std::size_t again = 0;  ///< duplicates of these events, which died as well
  std::string example;    ///< an order
};

/// Thread safety: all members may be called from any thread.
class DeadLetterDesk {
 public:
  void take(const omnibus::Delivery& letter) {
    std::lock_guard lock{mutex_};
    const auto died = omnibus::read_dead_letter(letter.headers());
    const Cause cause{std::string{died.group}, std::string{letter.type()}, std::string{died.code},
                      std::string{died.reason}};
    Letters& letters = causes_[cause];
    const bool fresh = seen_.emplace(cause.group, letter.id()).second;
    ++(fresh ? letters.events : letters.again);
    if (letters.example.empty()) letters.example = letter.key();
  }
  std::map<Cause, Letters> causes() const {
    std::lock_guard lock{mutex_};
    return causes_;
  }

 private:
  mutable std::mutex mutex_;
  std::map<Cause, Letters> causes_;
  std::set<std::pair<std::string, std::string>> seen_;  ///< group and message id
};

}  // namespace shop
