// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// What a checker has found.

namespace campaign {

/// The properties of reference/reliability.md, section 1.1, by their numbers less one.
enum class Property : std::uint8_t {
  lost, phantom, aborted, integrity, unflagged, effects, order, commit, settled_early,
  letters, answered, position, skipped, liveness, bounds, retries, secrets,
};
struct PropertyText {
  std::string_view name;
  std::string_view words;  ///< what holds
  std::string_view needs;  ///< the records without which nothing was judged
};
inline constexpr std::array<PropertyText, 17> properties{{
    {"P1 no lost", "what was published ok is processed or a dead letter", "publish, ending, effect"},
    {"P2 no phantom", "what is delivered was published", "publish, deliver"},
    {"P3 no aborted read", "what was refused is not delivered", "an ending that failed"},
    {"P4 integrity", "bytes, topic, key and number are those published", "publish, deliver or letter"},
    {"P5 flagged duplicate", "what comes again says so", "deliver of a marked group, or with positions"},
    {"P6 effect once", "one effect for each group and message", "effect of an idempotent group"},
    {"P7 order", "a key is handled one by one, in order", "effect of an ordered group"},
    {"P8 contiguous commit", "below a commit all is done with", "commit"},
    {"P9 settle last", "settled after the effect or dead letter", "settle"},
    {"P10 dead letters", "processed or a dead letter, and that in full", "dead_letter or letter"},
    {"P11 answered", "each publish has one ending, in time", "publish, ending"},
    {"P12 position", "one position is one message", "positions"},
    {"P13 no skip", "a key's messages are not jumped over", "deliver of an ordered group"},
    {"P14 liveness", "after healing it goes on, soon", "heal, or a backlog"},
    {"P15 bounds", "nothing measured exceeds its limit", "gauge"},
    {"P16 retries", "no attempt beyond what is promised", "finish that did not end well"},
    {"P17 secrets", "no secret in any log", "--secrets and --log"},
}};

/// How often a property was judged, and what was wrong.
struct Finding {
  std::uint64_t judged = 0;
  std::uint64_t violations = 0;
  std::vector<std::string> examples;  ///< of violations; the first ones
};

/// What a history shows besides; counts of messages where nothing else is said.
struct Totals {
  std::uint64_t events = 0;
  std::uint64_t published = 0;
  std::uint64_t ok = 0;
  std::uint64_t failed = 0;       ///< all of its publishes were refused
  std::uint64_t unknown = 0;      ///< neither ok nor all refused
  std::uint64_t recovered = 0;    ///< of those unknown: processed or a dead letter
  std::uint64_t deliveries = 0;   ///< attempts
  std::uint64_t redelivered = 0;  ///< attempts at what the group had seen before
  std::uint64_t effects = 0;
  std::uint64_t duplicated = 0;   ///< effects beyond the first, of a message in a group
  std::uint64_t letters = 0;      ///< messages of a group that are dead letters at the end
  std::uint64_t lost = 0;
  std::uint64_t disordered = 0;
  std::uint64_t late_unknown = 0;  ///< out of order, but not published ok by the first call
  std::uint64_t faults = 0;
  std::int64_t slowest_recovery = 0;  ///< nanoseconds from healing to the first publish that was ok
};

/// Verdict of a checker.
class Report {
 public:
  Totals totals;

  void judged(Property property, std::uint64_t more = 1) { finding(property).judged += more; }
  /// Parts are put together only for the first few.
  template <class... Parts>
  void violated(Property property, const Parts&... parts) {
    Finding& found = finding(property);
    if (found.violations++ >= 5) return;
    std::ostringstream text;
    (text << ... << parts);
    found.examples.push_back(text.str());
  }
  const Finding& operator[](Property property) const {
    return findings_[static_cast<std::size_t>(property)];
  }
  std::uint64_t violations() const {
    std::uint64_t sum = 0;
    for (const Finding& each : findings_) sum += each.violations;
    return sum;
  }

 private:
  Finding& finding(Property property) { return findings_[static_cast<std::size_t>(property)]; }
  std::array<Finding, 17> findings_;
};

/// What is to be kept in time. Nanoseconds.
struct Limits {
  std::int64_t answer = 100'000'000;       ///< that a publish may end after its deadline
  std::int64_t recovery = 2'000'000'000;   ///< from healing to the first publish that is ok
  std::int64_t stall = 30'000'000'000;     ///< without progress, while there is a backlog and no fault
};

}  // namespace campaign
