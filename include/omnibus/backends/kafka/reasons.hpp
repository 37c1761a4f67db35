// SPDX-License-Identifier: MIT
#pragma once

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

/// Asks the broker about the topics, one after the other. Blocks for a moment.
inline std::string reason_of_delay(const Producer& producer, const std::vector<std::string>& names) {
  constexpr std::size_t most = 3;
  constexpr int patience_ms = 200;
  for (std::size_t i = 0; i < names.size() && i < most; ++i) {
    const Topic topic = producer.topic(names[i]);
    std::string flaw = flaw_of(names[i], describe(producer.get(), topic.get(), patience_ms));
    if (!flaw.empty()) return flaw;
  }
  return "the broker confirms slowly";
}

}  // namespace omnibus::kafka
