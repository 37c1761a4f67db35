// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <ostream>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "chaos.hpp"

// Load, and what must have become of it: endings of publishes and deliveries, held against each
// other.

namespace chaos {

/// Publishes messages numbered by key, asynchronously, until it is told to stop.
class Load {
 public:
  using How = ChaosBus::PublishOptions;

  Load(Broker& f, ChaosBus& bus, std::string topic, How how = {.timeout = 60s},
       std::size_t keys = 20)
      : f_{f},
        topic_{std::move(topic)},
        how_{how},
        thread_{[this, &bus, keys] { run(bus, keys); }} {}
  ~Load() { stop(); }
  Load(const Load&) = delete;

  void stop() {
    {
      std::lock_guard lock{shared_->mutex};
      shared_->over = true;
      shared_->signal.notify_all();
    }
    if (thread_.joinable()) thread_.join();
  }

  std::size_t ok() const {
    std::lock_guard lock{shared_->mutex};
    return shared_->ok;
  }
  /// Waits for so many more good endings.
  void wait_for_more(std::size_t count) {
    const std::size_t until = ok() + count;
    eventually(
        f_, [&] { return ok() >= until; }, count, " more publishes to be ok");
  }
  /// Waits until so many publishes have ended as unknown.
  void wait_for_unknown(std::size_t count) {
    eventually(
        f_,
        [&] {
          std::lock_guard lock{shared_->mutex};
          return shared_->unknown >= count;
        },
        count, " publishes to be unknown");
  }
  /// Waits until so many more publishes have ended, well or not.
  void wait_for_ended(std::size_t count) {
    const auto ended = [this] {
      std::lock_guard lock{shared_->mutex};
      return shared_->ended;
    };
    const std::size_t until = ended() + count;
    eventually(
        f_, [&] { return ended() >= until; }, count, " more publishes to end");
  }
  /// When the first publish after `from` ended well.
  Clock::time_point first_ok_after(Clock::time_point from) {
    std::unique_lock lock{shared_->mutex};
    std::optional<Clock::time_point> found;
    if (!shared_->signal.wait_for(lock, f_.deadline, [&] {
          const auto at =
              std::upper_bound(shared_->ok_times.begin(), shared_->ok_times.end(), from);
          if (at != shared_->ok_times.end()) found = *at;
          return found.has_value();
        })) {
      violated("no publish was ok after the fault");
    }
    return *found;
  }

  /// The longest time after `from` in which no publish ended well.
  Clock::duration longest_pause_after(Clock::time_point from) const {
    std::lock_guard lock{shared_->mutex};
    Clock::duration longest{};
    for (const auto at : shared_->ok_times) {
      if (at < from) continue;
      longest = std::max(longest, at - from);
      from = at;
    }
    return longest;
  }

  /// How many were ok from then on.
  std::size_t ok_since(Clock::time_point then) const {
    std::lock_guard lock{shared_->mutex};
    return static_cast<std::size_t>(std::count_if(shared_->ok_times.begin(), shared_->ok_times.end(),
                                                  [then](Clock::time_point each) { return each >= then; }));
  }

  struct Sent {
    std::string key;
    std::size_t number = 0;
    int calls = 0;
    ob::Result<ob::Receipt> ending = ob::Receipt{};
  };
  /// Stops and waits until everything has its ending; every publish must have exactly one.
  std::vector<Sent> finish() {
    stop();
    std::unique_lock lock{shared_->mutex};
    if (!shared_->signal.wait_for(lock, f_.deadline + 60s,
                                  [&] { return shared_->ended == shared_->sent.size(); })) {
      violated(shared_->sent.size() - shared_->ended, " publishes never got an ending");
    }
    for (const Sent& each : shared_->sent) expect_equal(each.calls, 1, "the number of endings");
    return shared_->sent;
  }

 private:
  struct Shared {
    mutable std::mutex mutex;
    std::condition_variable signal;
    bool over = false;
    std::vector<Sent> sent;
    std::vector<Clock::time_point> ok_times;
    std::size_t ok = 0;
    std::size_t unknown = 0;
    std::size_t ended = 0;
  };

  void run(ChaosBus& bus, std::size_t keys) {
    Dice dice{f_.seed};
    std::vector<std::size_t> next(keys);
    while (true) {
      std::size_t index = 0;
      const auto key = dice.roll(keys);
      const Sent sent{"key-" + std::to_string(key), next[key]++};
      {
        std::unique_lock lock{shared_->mutex};
        // A pace that leaves the machine to the broker.
        const bool pause = shared_->sent.size() % 4 == 0;
        if (pause) shared_->signal.wait_for(lock, 2ms, [this] { return shared_->over; });
        if (shared_->over) return;
        index = shared_->sent.size();
        shared_->sent.push_back(sent);
      }
      bus.publish_async(
          topic_, message(std::to_string(sent.number), sent.key),
          [shared = shared_, index](ob::Result<ob::Receipt> ending) {
            std::lock_guard lock{shared->mutex};
            Sent& mine = shared->sent[index];
            ++mine.calls;
            ++shared->ended;
            if (ending) {
              ++shared->ok;
              shared->ok_times.push_back(Clock::now());
            } else if (ending.error().code == ob::Errc::outcome_unknown) {
              ++shared->unknown;
            }
            mine.ending = std::move(ending);
            shared->signal.notify_all();
          },
          how_);
    }
  }

  Broker& f_;
  const std::string topic_;
  const How how_;
  const std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
  std::thread thread_;
};

/// How many endings of each kind, in words.
inline std::string kinds_of(const std::vector<Load::Sent>& sent) {
  std::map<std::string, std::size_t> count;
  for (const auto& each : sent) {
    ++count[each.ending ? "ok" : std::string{ob::to_string(each.ending.error().code)}];
  }
  std::string words;
  for (const auto& [kind, number] : count) {
    words.append(words.empty() ? "" : ", ").append(std::to_string(number) + " " + kind);
  }
  return words;
}

inline void expect_all_ok(const std::vector<Load::Sent>& sent) {
  for (const auto& each : sent) {
    if (!each.ending) violated("a publish ended badly: ", each.ending.error().message());
  }
}

/// What was handled, where publishes may fail: numbers of a key may be missing, but they grow, and
/// a replay leaves out nothing of what came before. Shared objects are safe.
class Ledger {
 public:
  void begin(int member, const std::string& key, std::size_t number) {
    std::lock_guard lock{mutex_};
    Key& of = keys_[key];
    if (of.runner >= 0 && !dead_.contains(of.runner)) {
      note(key, number, "begins while another of its key runs");
    }
    of.runner = member;
    const auto known = std::find(of.seen.begin(), of.seen.end(), number);
    if (known == of.seen.end()) {
      if (of.cursor != of.seen.size()) note(key, number, "comes before a replay is through");
      if (!of.seen.empty() && number < of.seen.back()) note(key, number, "comes too late");
      of.seen.push_back(number);
    } else {
      const auto at = static_cast<std::size_t>(known - of.seen.begin());
      if (at > of.cursor) note(key, number, "leaves a gap in a replay");
      of.cursor = at;
    }
  }
  void end(const std::string& key, std::size_t number) {
    std::lock_guard lock{mutex_};
    Key& of = keys_[key];
    of.runner = -1;
    if (of.cursor < of.seen.size()) ++of.cursor;
    if (!of.handled.insert(number).second) ++again_;
  }
  /// This member may be gone in the middle of anything from now on.
  void kill(int member) {
    std::lock_guard lock{mutex_};
    dead_.insert(member);
  }
  bool handled(const std::string& key, std::size_t number) const {
    std::lock_guard lock{mutex_};
    const auto of = keys_.find(key);
    return of != keys_.end() && of->second.handled.contains(number);
  }
  std::size_t handled_again() const {
    std::lock_guard lock{mutex_};
    return again_;
  }
  std::string problem() const {
    std::lock_guard lock{mutex_};
    return problem_;
  }
  auto handler() {
    return [this](const ob::Delivery& delivery) {
      const std::string key{delivery.key()};
      const auto number = std::stoul(std::string{delivery.payload()});
      begin(0, key, number);
      end(key, number);
    };
  }

 private:
  struct Key {
    std::vector<std::size_t> seen;
    std::size_t cursor = 0;  ///< the place in `seen` that may begin now
    std::set<std::size_t> handled;
    int runner = -1;
  };

  void note(const std::string& key, std::size_t number, const char* what) {
    if (!problem_.empty()) return;
    problem_ = "message " + std::to_string(number) + " of " + key + " " + what;
  }

  mutable std::mutex mutex_;
  std::map<std::string, Key> keys_;
  std::set<int> dead_;
  std::string problem_;
  std::size_t again_ = 0;
};

/// What of `sent` was ok and is not handled. It is looked at when it is printed.
class Unhandled {
 public:
  Unhandled(const std::vector<Load::Sent>& sent, const Ledger& ledger)
      : sent_{sent}, ledger_{ledger}, at_{sent.begin()} {}

  bool none() {
    at_ = std::find_if(at_, sent_.end(), [this](const auto& each) { return is(each); });
    return at_ == sent_.end();
  }

  friend std::ostream& operator<<(std::ostream& out, const Unhandled& all) {
    std::size_t count = 0;
    for (const auto& each : all.sent_) {
      if (!all.is(each) || ++count > 20) continue;
      out << each.key << "/" << each.number << " (partition " << each.ending->partition
          << ", position " << each.ending->position.major << "), ";
    }
    return out << count << " of " << all.sent_.size();
  }

 private:
  bool is(const Load::Sent& each) const {
    return each.ending && !ledger_.handled(each.key, each.number);
  }

  const std::vector<Load::Sent>& sent_;
  const Ledger& ledger_;
  std::vector<Load::Sent>::const_iterator at_;
};

/// Every publish that was ok is handled sooner or later.
inline void expect_ok_handled(Broker& f, const std::vector<Load::Sent>& sent,
                              const Ledger& ledger) {
  Unhandled unhandled{sent, ledger};
  eventually(
      f, [&] { return unhandled.none(); }, "every ok message to be handled, which was not: ",
      unhandled);
}

/// What was said not to be on the broker has not come from there.
inline void expect_failed_absent(const std::vector<Load::Sent>& sent, const Ledger& ledger) {
  for (const auto& each : sent) {
    if (each.ending || each.ending.error().code == ob::Errc::outcome_unknown) continue;
    if (ledger.handled(each.key, each.number)) {
      violated("a message came whose publish had failed: ", each.ending.error().message());
    }
  }
}

}  // namespace chaos
