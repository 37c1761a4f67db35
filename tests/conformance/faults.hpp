// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <omnibus/backend.hpp>

// What a faulty backend does wrong, and when. A fixture shares one Sabotage among all its buses.

namespace conformance {

namespace ob = omnibus;

/// One way to break a backend. Those that say "some" strike once in a few times.
enum class Fault {
  none,
  lose_message,          ///< some messages are settled and not delivered
  swap_pair,             ///< some messages are delivered behind the next one of their key
  deliver_twice,         ///< some messages are delivered twice, the second time as if for the first
  settle_early,          ///< a message counts as done when it is delivered
  settle_cumulatively,   ///< done means: and everything that was delivered before it
  ignore_release,        ///< what is given back stays where it was
  release_as_done,       ///< what is given back counts as done
  later_as_done,         ///< what is to come again later counts as done
  ignore_later_delay,    ///< what is to come again later comes again at once
  ignore_publish_delay,  ///< delayed messages are delivered at once
  forget_attempts,       ///< every delivery says it is the first
  cut_payload,           ///< payloads end at their first zero byte
  drop_headers,          ///< headers are not kept
  new_ids,               ///< every delivery has an id of its own
  lose_completion,       ///< some publishes have no ending within any deadline
  accept_without_storing,  ///< some publishes end well and are not stored
  unknown_as_ok,           ///< a lost answer counts as a good one
  unknown_as_rejected,     ///< a lost answer counts as a refusal
  flush_early,             ///< flush does not wait
  always_wait_for_room,    ///< a full window blocks who asked not to be blocked
  ignore_close,            ///< publishing goes on after close
  merge_topics,            ///< all topics are one
  merge_groups,            ///< all groups are one
  split_groups,            ///< every member is a group of its own
  ignore_start,            ///< every subscription starts at the earliest message
  look_and_take,           ///< who only looks is a member like any other
  never_registered,        ///< does not say when it is registered
  always_registered,       ///< does not say when it is not
  tear_batches,            ///< what is to be published as one is published one by one
  keep_half_a_batch,       ///< of what is refused as one, the first half stands
};

constexpr std::string_view to_string(Fault fault) noexcept {
  constexpr std::string_view names[] = {"none",
                                        "lose_message",
                                        "swap_pair",
                                        "deliver_twice",
                                        "settle_early",
                                        "settle_cumulatively",
                                        "ignore_release",
                                        "release_as_done",
                                        "later_as_done",
                                        "ignore_later_delay",
                                        "ignore_publish_delay",
                                        "forget_attempts",
                                        "cut_payload",
                                        "drop_headers",
                                        "new_ids",
                                        "lose_completion",
                                        "accept_without_storing",
                                        "unknown_as_ok",
                                        "unknown_as_rejected",
                                        "flush_early",
                                        "always_wait_for_room",
                                        "ignore_close",
                                        "merge_topics",
                                        "merge_groups",
                                        "split_groups",
                                        "ignore_start",
                                        "look_and_take",
                                        "never_registered",
                                        "always_registered",
                                        "tear_batches",
                                        "keep_half_a_batch"};
  return names[static_cast<std::size_t>(fault)];
}
inline constexpr auto all_faults = static_cast<std::size_t>(Fault::keep_half_a_batch) + 1;

/// Endings of publishes that come too late. Shared objects are safe.
class LateEndings {
 public:
  LateEndings() : thread_{[this] { run(); }} {}
  ~LateEndings() {
    {
      std::lock_guard lock{mutex_};
      stop_ = true;
      signal_.notify_all();
    }
    thread_.join();
    for (auto& [due, each] : waiting_) each.done(std::move(each.result));
  }

  void add(ob::Duration delay, ob::PublishDone done, ob::Result<ob::Receipt> result) {
    std::lock_guard lock{mutex_};
    const auto due = std::chrono::steady_clock::now() + delay;
    waiting_.emplace(due, Ending{std::move(done), std::move(result)});
    signal_.notify_all();
  }

 private:
  struct Ending {
    ob::PublishDone done;
    ob::Result<ob::Receipt> result;
  };

  void run() {
    std::unique_lock lock{mutex_};
    while (!stop_) {
      if (waiting_.empty()) {
        signal_.wait(lock);
        continue;
      }
      if (const auto due = waiting_.begin()->first; due > std::chrono::steady_clock::now()) {
        signal_.wait_until(lock, due);
        continue;
      }
      auto node = waiting_.extract(waiting_.begin());
      lock.unlock();
      node.mapped().done(std::move(node.mapped().result));
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable signal_;
  bool stop_ = false;
  std::multimap<std::chrono::steady_clock::time_point, Ending> waiting_;
  std::thread thread_;
};

/// Shared objects are safe.
class Sabotage {
 public:
  explicit Sabotage(Fault which) : fault{which} {}

  const Fault fault;
  LateEndings late;

  /// True some of the times.
  bool strikes() noexcept { return count_.fetch_add(1) % 4 == 3; }
  bool strikes(Fault which) noexcept { return fault == which && strikes(); }

  /// The next `times` publishes to `topic` end in `code`; negative: all. Of those that end in
  /// outcome_unknown every second one is stored all the same.
  void answer(const std::string& topic, ob::Errc code, int times) {
    std::lock_guard lock{mutex_};
    answers_[topic] = {code, times};
  }
  /// How often publishes to this topic were answered so.
  std::size_t answered(const std::string& topic) const {
    std::lock_guard lock{mutex_};
    const auto found = answers_.find(topic);
    return found == answers_.end() ? 0 : found->second.given;
  }
  /// The answer that a publish to this topic gets, if it is none of the broker's.
  bool answer_for(std::string_view topic, ob::Errc& code, bool& store) {
    std::lock_guard lock{mutex_};
    const auto found = answers_.find(topic);
    if (found == answers_.end() || found->second.left == 0) return false;
    if (found->second.left > 0) --found->second.left;
    code = found->second.code;
    store = code == ob::Errc::outcome_unknown && found->second.given % 2 == 1;
    ++found->second.given;
    return true;
  }

 private:
  struct Answer {
    ob::Errc code{};
    int left = 0;
    std::size_t given = 0;
  };
  std::atomic<std::size_t> count_{0};
  mutable std::mutex mutex_;
  std::map<std::string, Answer, std::less<>> answers_;
};

}  // namespace conformance
