// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <queue>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "known.hpp"
#include "report.hpp"

// What is judged of how deliveries end: settled, committed, dead-lettered, tried again.

namespace campaign {

/// P8: when a group commits a position of a partition, all that was delivered below it has its effect, its
/// dead letter, or was settled as done with. A commit that is read from the broker is recorded after it was
/// made, which excuses what ended in between. Sees commits by position: tags of RabbitMQ that are
/// acknowledged together are judged by what is lost when the process dies (P1). Of those delivered and not
/// done with, a heap: n log w for w in flight.
class ContiguousCommit {
 public:
  explicit ContiguousCommit(const Known& known) : known_{known} {}
  void see(const Event& event, Report& report) {
    if (event.kind == Kind::deliver && event.has_position()) {
      open_of(event).emplace(event.major, event.minor, event.message);
    } else if (event.kind == Kind::commit) {
      judge(event, report);
    }
  }
  void finish(Report&) const {}

 private:
  using Place = std::tuple<std::uint64_t, std::uint64_t, std::uint32_t>;
  using Open = std::priority_queue<Place, std::vector<Place>, std::greater<>>;

  Open& open_of(const Event& event) {
    const auto partition = static_cast<std::uint32_t>(event.partition);
    return open_[std::uint64_t{event.subscription} << 32 | partition];
  }
  void judge(const Event& event, Report& report) {
    report.judged(Property::commit);
    Open& open = open_of(event);
    while (!open.empty()) {
      const auto [major, minor, message] = open.top();
      if (std::tie(major, minor) >= std::tie(event.major, event.minor)) return;
      const CopyFacts& copy = known_.copy_of(message, event.subscription);
      if (!copy.processed() && !copy.settled) {
        report.violated(Property::commit, known_.group_of(event), " has committed ", event.major, "-",
                        event.minor, " of partition ", event.partition, " before ",
                        known_.timeline.ids.word(message), " at ", major, "-", minor, " was done with");
      }
      open.pop();
    }
  }

  const Known& known_;
  std::unordered_map<std::uint64_t, Open> open_;
};

/// P9: a delivery is settled as ok after its effect, as buried after its dead letter, as a duplicate after
/// either of another delivery. What was dropped or given back needs neither. Sees when the process says it
/// settles; an earlier acknowledgement by the library itself shows as a loss (P1) when the process dies.
class SettledLast {
 public:
  explicit SettledLast(const Known& known) : known_{known} {}
  void see(const Event& event, Report& report) const {
    if (event.kind != Kind::settle) return;
    report.judged(Property::settled_early);
    if (may_settle(event.outcome, known_.copy_of(event))) return;
    report.violated(Property::settled_early, known_.id_of(event), " was settled as ",
                    outcomes[static_cast<std::size_t>(event.outcome)], " in group ",
                    known_.group_of(event), " before that was so");
  }
  void finish(Report&) const {}

 private:
  static bool may_settle(Outcome how, const CopyFacts& copy) noexcept {
    switch (how) {
      case Outcome::ok: return copy.effect;
      case Outcome::buried: return copy.dead_letter;
      case Outcome::duplicate: return copy.effect || copy.dead_letter;
      default: return true;
    }
  }

  const Known& known_;
};

/// P10: a message is processed, or a dead letter, not both; unless it was redriven in between, or the
/// process died before it could settle the first (only then may it come again; and not after an effect
/// that is remembered). A dead letter that a consumer has reported is in its topic, or was redriven and has
/// its effect, if anybody has read that topic; who redrives has to, in the end. A letter names the error and
/// the attempts, and those are all that are allowed unless the handler or the error (`permanent`) said that
/// trying again cannot help. Letters of parked order may be of messages that nobody has tried.
class DeadLetters {
 public:
  explicit DeadLetters(const Known& known)
      : known_{known}, read_(known.timeline.subscriptions.size()) {}
  void see(const Event& event, Report& report) {
    switch (event.kind) {
      case Kind::effect: {
        const CopyFacts& copy = known_.copy_of(event);
        if (!copy.dead_letter || copy.redriven || !copy.settled) return;
        report.violated(Property::letters, known_.id_of(event), " has an effect in group ",
                        known_.group_of(event), ", and is a dead letter that nobody has redriven");
        return;
      }
      case Kind::dead_letter: {
        report.judged(Property::letters);
        const CopyFacts& copy = known_.copy_of(event);
        const bool may_come_again = !known_.timeline.rules_of(event).idempotent && !copy.settled;
        if (!copy.effect || may_come_again) return;
        report.violated(Property::letters, known_.id_of(event), " becomes a dead letter of group ",
                        known_.group_of(event), " after its effect");
        return;
      }
      case Kind::letter: judge(event, report); return;
      case Kind::redrive: read_[event.subscription] = true; return;
      default: return;
    }
  }
  void finish(Report& report) const {
    const Timeline& timeline = known_.timeline;
    for (std::uint32_t i = 0; i < timeline.messages.size(); ++i) {
      for (const std::uint32_t reader : timeline.readers_of(i)) {
        const CopyFacts& copy = known_.copy_of(i, reader);
        const bool stays = copy.letter || (copy.dead_letter && !copy.effect);
        report.totals.letters += stays;
        if (!stays || copy.letter || !read_[reader] || (copy.redriven && known_.may_be_gone(i))) continue;
        report.violated(Property::letters, timeline.ids.word(i),
                        copy.redriven ? " was redriven, has no effect, and is not in the dead-letter topic"
                                      : " was reported as a dead letter, but is not in its topic");
      }
    }
  }

 private:
  void judge(const Event& event, Report& report) {
    report.judged(Property::letters);
    read_[event.subscription] = true;
    const Rules& rules = known_.timeline.rules_of(event);
    const bool hopeless =
        event.outcome == Outcome::permanent || known_.copy_of(event).permanent || rules.parked;
    if (known_.timeline.words.word(event.note).empty()) {
      report.violated(Property::letters, "the letter of ", known_.id_of(event), " has no error");
    } else if (!hopeless && (event.attempt == 0 || event.attempt < rules.attempts)) {
      report.violated(Property::letters, "the letter of ", known_.id_of(event), " says ", event.attempt,
                      " attempts, where ", rules.attempts, " are allowed");
    }
  }

  const Known& known_;
  std::vector<bool> read_;  ///< by subscription: somebody has read its letters
};

/// P16: in one process, a message whose handler has said `permanent`, or that has failed as often as is
/// allowed, or for longer, is not tried again; unless it was redriven or given back in between. Attempts
/// that the broker counts after a crash may exceed the limit. Breakers are not seen: what they let through
/// is tested with a clock of their own.
class RetryDiscipline {
 public:
  explicit RetryDiscipline(const Known& known) : known_{known} {}
  void see(const Event& event, Report& report) {
    switch (event.kind) {
      case Kind::finish: note(event, report); return;
      case Kind::deliver: judge(event, report); return;
      case Kind::settle:
      case Kind::redrive: failing_.erase(known_.timeline.copy_of(event)); return;
      default: return;
    }
  }
  void finish(Report&) const {}

 private:
  struct Failing {
    std::uint32_t process = 0;
    std::uint32_t generation = 0;
    std::uint32_t attempt = 0;
    std::int64_t since = 0;
    bool permanent = false;
  };

  void note(const Event& event, Report& report) {
    const std::size_t copy = known_.timeline.copy_of(event);
    if (event.outcome == Outcome::ok) {
      failing_.erase(copy);
      return;
    }
    report.judged(Property::retries);
    Failing& failing = failing_[copy];
    if (failing.since == 0 || failing.process != event.process ||
        failing.generation != event.generation) {
      failing = {event.process, event.generation, 0, event.at, false};
    }
    failing.attempt = event.attempt;
    failing.permanent = event.outcome == Outcome::permanent;
  }
  void judge(const Event& event, Report& report) {
    if (failing_.empty()) return;
    const auto found = failing_.find(known_.timeline.copy_of(event));
    if (found == failing_.end()) return;
    const Failing& failing = found->second;
    if (failing.process != event.process || failing.generation != event.generation) return;
    const Rules& rules = known_.timeline.rules_of(event);
    const std::int64_t age_ms = (event.at - failing.since) / 1'000'000;
    if (failing.permanent) {
      report.violated(Property::retries, known_.id_of(event), " is tried again after a permanent error");
    } else if (rules.attempts > 0 && failing.attempt >= rules.attempts) {
      report.violated(Property::retries, known_.id_of(event), " is tried again after attempt ",
                      failing.attempt, " of ", rules.attempts);
    } else if (rules.max_age_ms > 0 && age_ms > rules.max_age_ms) {
      report.violated(Property::retries, known_.id_of(event), " is tried again ", age_ms,
                      " ms after its first failure, where ", rules.max_age_ms, " are allowed");
    }
  }

  const Known& known_;
  std::unordered_map<std::size_t, Failing> failing_;
};

}  // namespace campaign
