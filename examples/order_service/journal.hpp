// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <omnibus/omnibus.hpp>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

// The observer of the service: counts how deliveries end in each group, and keeps the story of
// each order for the diagram.

namespace shop {

/// What happened to one message of an order.
struct Happening {
  enum class What : std::uint8_t {
    published,
    delivered,
    handled,
    retrying,
    dead_lettered,
    duplicate,
  };
  What what;
  std::string group{};  ///< empty for `published`
  std::string type{};
  std::uint32_t attempt = 0;
  std::string why{};                 ///< of a failure
  std::chrono::microseconds wait{};  ///< of `retrying`: until the next attempt
};

/// The happenings of one order, as they came.
using Story = std::vector<Happening>;

/// How the deliveries of one group ended.
struct Endings {
  std::uint64_t handled = 0;
  std::uint64_t dead_lettered = 0;
  std::uint64_t duplicates = 0;
  std::uint64_t retries = 0;  ///< no ending: attempts that were followed by another
  std::uint64_t sum() const noexcept { return handled + dead_lettered + duplicates; }
};

/// Thread safety: all members may be called from any thread.
class Journal {
 public:
  /// Keeps the story of this order; of the first 20,000 orders when it is empty.
  explicit Journal(std::string order) : only_{std::move(order)} {}

  /// To be called before a message is published, so that the story begins with it.
  void publishing(const omnibus::Message& message) {
    std::lock_guard lock{mutex_};
    tell(message.key, {.what = Happening::What::published, .type = message.type});
  }

  void delivered(const omnibus::Delivery& delivery) {
    std::lock_guard lock{mutex_};
    tell(delivery, Happening::What::delivered);
  }
  void handled(const omnibus::Delivery& delivery) {
    end(delivery, Happening::What::handled, &Endings::handled);
  }
  void duplicate(const omnibus::Delivery& delivery) {
    end(delivery, Happening::What::duplicate, &Endings::duplicates);
  }
  void dead_lettered(const omnibus::Delivery& delivery, const omnibus::Error& error) {
    end(delivery, Happening::What::dead_lettered, &Endings::dead_lettered, &error);
  }
  void retrying(const omnibus::Delivery& delivery, const omnibus::Error& error) {
    end(delivery, Happening::What::retrying, &Endings::retries, &error);
  }

  /// How the deliveries of a group have ended so far.
  Endings endings(std::string_view group) const {
    std::lock_guard lock{mutex_};
    const auto found = endings_.find(group);
    return found == endings_.end() ? Endings{} : found->second;
  }

  /// Waits until `count` deliveries of a group have ended, calling `meanwhile` now and then.
  /// Returns false when nothing has ended for `patience`.
  template <class F>
  bool wait(std::string_view group, std::uint64_t count, std::chrono::seconds patience,
            F&& meanwhile) {
    using Clock = std::chrono::steady_clock;
    std::uint64_t before = 0;
    auto deadline = Clock::now() + patience;
    std::unique_lock lock{mutex_};
    const Endings& endings = endings_.try_emplace(std::string{group}).first->second;
    const auto ended = [&endings] { return endings.sum(); };
    while (!changed_.wait_for(lock, std::chrono::milliseconds{100},
                              [&] { return ended() >= count; })) {
      if (ended() > before) {
        before = ended();
        deadline = Clock::now() + patience;
      }
      if (Clock::now() > deadline) return false;
      lock.unlock();
      meanwhile();
      lock.lock();
    }
    return true;
  }

  /// The order that was asked for; else the first that had a retry, else a dead letter, else any.
  /// Empty name and story when there is none.
  std::pair<std::string, Story> choose_story() const {
    std::lock_guard lock{mutex_};
    const auto first_with = [this](Happening::What what) {
      return std::find_if(names_.begin(), names_.end(), [&](const std::string& name) {
        const Story& story = stories_.at(name);
        return std::any_of(story.begin(), story.end(),
                           [what](const Happening& each) { return each.what == what; });
      });
    };
    auto chosen = first_with(Happening::What::retrying);
    if (chosen == names_.end()) chosen = first_with(Happening::What::dead_lettered);
    if (chosen == names_.end()) chosen = names_.begin();
    if (chosen == names_.end()) return {};
    return {*chosen, stories_.at(*chosen)};
  }

 private:
  static constexpr std::size_t most_stories = 20'000;

  void end(const omnibus::Delivery& delivery, Happening::What what, std::uint64_t Endings::*count,
           const omnibus::Error* error = nullptr) {
    std::lock_guard lock{mutex_};
    auto found = endings_.find(delivery.group());
    if (found == endings_.end()) found = endings_.emplace(delivery.group(), Endings{}).first;
    ++(found->second.*count);
    tell(delivery, what, error);
    changed_.notify_all();
  }

  void tell(const omnibus::Delivery& delivery, Happening::What what,
            const omnibus::Error* error = nullptr) {
    if (delivery.topic() != "orders") return;
    Happening happening{.what = what,
                        .group = std::string{delivery.group()},
                        .type = std::string{delivery.type()},
                        .attempt = delivery.attempt()};
    if (error != nullptr) {
      happening.why = error->context;
      happening.wait = std::chrono::duration_cast<std::chrono::microseconds>(error->retry_after);
    }
    tell(delivery.key(), std::move(happening));
  }

  void tell(std::string_view order, Happening happening) {
    if (order.empty() || (!only_.empty() && order != only_)) return;
    auto found = stories_.find(std::string{order});
    if (found == stories_.end()) {
      if (stories_.size() >= most_stories) return;
      found = stories_.emplace(order, Story{}).first;
      names_.push_back(found->first);
    }
    found->second.push_back(std::move(happening));
  }

  const std::string only_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, Endings, std::less<>> endings_;
  std::unordered_map<std::string, Story> stories_;
  std::vector<std::string> names_;  ///< of the stories, in the order they began
};

}  // namespace shop
