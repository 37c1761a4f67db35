// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include <omnibus/backends/kafka/producer.hpp>

// Why messages have no ending in time. librdkafka tries again without a word while a partition has no
// leader or too few replicas, so that somebody has to look.

namespace omnibus::kafka {

/// What is wrong with what the broker says of a topic; empty: nothing. A leader that waits for replicas
/// answers nothing else meanwhile.
inline std::string flaw_of(const std::string& name, const Result<TopicFacts>& facts) {
  if (!facts && facts.error().code == Errc::unavailable) {
    return "topic \"" + name + "\" has no leader, or one that waits for replicas: " + facts.error().context;
  }
  if (!facts) return facts.error().operation + ": " + facts.error().context;
  if (facts->fewest_in_sync >= facts->replicas) return {};
  return "topic \"" + name + "\" has a partition with " + std::to_string(facts->fewest_in_sync) + " of " +
         std::to_string(facts->replicas) + " replicas in sync, and it may ask for more";
}

/// Looks for a reason, at most once in a while: it blocks for a moment the thread that hears of all messages.
/// Thread safety: one thread.
class Reasons {
 public:
  /// The reason for messages of these topics; what was found last, when that was a short while ago.
  const std::string& of(const Producer& producer, const std::vector<std::string>& names, Instant now) {
    if (now < look_again_) return found_;
    found_ = look(producer, names);
    look_again_ = now + std::chrono::seconds{5};
    return found_;
  }

 private:
  static std::string look(const Producer& producer, const std::vector<std::string>& names) {
    constexpr std::size_t most = 3;
    constexpr int patience_ms = 200;
    for (std::size_t i = 0; i < names.size() && i < most; ++i) {
      const Topic topic = producer.topic(names[i]);
      std::string flaw = flaw_of(names[i], describe(producer.get(), topic.get(), patience_ms));
      if (!flaw.empty()) return flaw;
    }
    return "the broker confirms slowly";
  }

  std::string found_;
  Instant look_again_ = Instant::min();
};

}  // namespace omnibus::kafka
