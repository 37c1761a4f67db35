// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <omnibus/error.hpp>
#include <omnibus/time.hpp>

// What has been counted so far: plain values, to be looked at, written to a page or sent on.

namespace omnibus {

/// How long something took, so many times.
struct DurationHistogram {
  /// Upper bounds, each one inclusive: what OpenTelemetry advises for messaging.process.duration
  /// (semantic-conventions, docs/messaging/messaging-metrics.md).
  static constexpr std::array<Duration, 14> bounds{
      std::chrono::milliseconds{5},    std::chrono::milliseconds{10},   std::chrono::milliseconds{25},
      std::chrono::milliseconds{50},   std::chrono::milliseconds{75},   std::chrono::milliseconds{100},
      std::chrono::milliseconds{250},  std::chrono::milliseconds{500},  std::chrono::milliseconds{750},
      std::chrono::milliseconds{1000}, std::chrono::milliseconds{2500}, std::chrono::milliseconds{5000},
      std::chrono::milliseconds{7500}, std::chrono::milliseconds{10000}};

  std::array<std::uint64_t, bounds.size() + 1> counts{};  ///< up to each bound, and over the last one
  Duration sum{};

  std::uint64_t count() const noexcept {
    std::uint64_t all = 0;
    for (const std::uint64_t each : counts) all += each;
    return all;
  }
  /// Which of `counts` a duration belongs to.
  static constexpr std::size_t bucket_of(Duration took) noexcept {
    std::size_t bucket = 0;
    while (bucket < bounds.size() && took > bounds[bucket]) ++bucket;
    return bucket;
  }
};

/// What became of the messages published to a topic.
struct TopicMetrics {
  struct Failure {
    Errc code;
    std::uint64_t count;
  };
  std::string topic;             ///< empty: all topics for which there was no room, see `Metrics`
  std::uint64_t published = 0;   ///< the broker holds them
  std::uint64_t unknown = 0;     ///< nobody can tell whether it does: Errc::outcome_unknown
  std::vector<Failure> failed{}; ///< it does not, and why; codes that were met alone
};

/// What a group did with the messages of a topic. Each attempt ends as handled, retried, dead_lettered,
/// dropped or duplicates.
struct GroupMetrics {
  struct Failure {
    Errc code;
    DurationHistogram took;
  };
  std::string topic;                  ///< empty: all for which there was no room, see `Metrics`
  std::string group;                  ///< empty: readers without a group
  std::uint64_t consumed = 0;         ///< messages that came from the broker and were begun
  std::uint64_t delivered = 0;        ///< attempts: those messages, and each of them again
  std::uint64_t handled = 0;          ///< attempts in which the handler ended well
  std::uint64_t retried = 0;          ///< attempts that failed and are followed by another
  std::uint64_t dead_lettered = 0;    ///< messages that stand in a dead-letter topic
  std::uint64_t dropped = 0;          ///< messages that a stage ended well without the handler
  std::uint64_t duplicates = 0;       ///< messages whose key had been completed before
  std::uint64_t given_back = 0;       ///< messages that went back to the broker unhandled
  std::uint64_t out_of_sequence = 0;  ///< messages whose number is not the one that should come
  DurationHistogram handled_in{};     ///< how long attempts took that ended well, stages included
  std::vector<Failure> failed_in{};   ///< and those that failed; codes that were met alone
};

/// Everything `Metrics` counted. Each number is right, but they are not of one moment.
struct MetricsSnapshot {
  std::string system;  ///< what OpenTelemetry calls messaging.system
  std::vector<TopicMetrics> topics;
  std::vector<GroupMetrics> groups;
};

}  // namespace omnibus
