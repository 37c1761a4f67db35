// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string_view>

#include "known.hpp"
#include "report.hpp"

// What is judged of publishes, and of messages as they arrive. A property sees each event before `Known`
// takes it in, and is asked at the end for what could not be said before.

namespace campaign {

/// P1: each message of which one publish was ok is processed, in each group that reads its topic: an
/// effect, a dead letter, or dropped because the user wrote so (unless the group `keeps` all). It judges a
/// history that is over: what nobody has drained is lost. What a fault deletes from a topic (`erase`) is not.
/// It counts no `duplicate`: whoever marks a key and dies has done nothing. It cannot see a group that never
/// joined, and groups have to join before the first publish.
class NoLostPublish {
 public:
  explicit NoLostPublish(const Known& known) : known_{known} {}
  void see(const Event&, Report&) {}
  void finish(Report& report) const {
    const Timeline& timeline = known_.timeline;
    for (std::uint32_t i = 0; i < timeline.messages.size(); ++i) {
      if (known_.messages[i].ok == 0) continue;
      report.judged(Property::lost);
      const auto& message = timeline.messages[i];
      bool lost = timeline.readers_of(i).empty();
      if (lost) report.violated(Property::lost, timeline.ids.word(i), " has no group that reads it");
      for (const std::uint32_t reader : timeline.readers_of(i)) {
        if (is_processed(i, reader) || known_.may_be_gone(i)) continue;
        lost = true;
        report.violated(Property::lost, timeline.ids.word(i), " of key ",
                        timeline.words.word(timeline.keys[message.key].word), " was ok, and group ",
                        timeline.words.word(timeline.subscriptions[reader].group), " has not processed it");
      }
      report.totals.lost += lost;
    }
  }

 private:
  bool is_processed(std::uint32_t message, std::uint32_t reader) const {
    CopyFacts copy = known_.copy_of(message, reader);
    if (known_.timeline.subscriptions[reader].rules.keeps) copy.dropped = false;
    return copy.processed();
  }

  const Known& known_;
};

/// P2: what is delivered was published before. Needs the record of a publish to be written before the
/// call. Cannot see a message that somebody else made with an id that was published.
class NoPhantom {
 public:
  explicit NoPhantom(const Known& known) : known_{known} {}
  void see(const Event& event, Report& report) const {
    if (event.kind != Kind::deliver && event.kind != Kind::letter) return;
    report.judged(Property::phantom);
    if (known_.message_of(event).publishes > 0) return;
    report.violated(Property::phantom, known_.id_of(event), " came to group ", known_.group_of(event),
                    " and was never published");
  }
  void finish(Report&) const {}

 private:
  const Known& known_;
};

/// P3: a message is not delivered when each of its publishes was positively refused. One publish of the
/// same id that was ok, unknown, or cut short by a kill, and it may be there.
class NoAbortedRead {
 public:
  explicit NoAbortedRead(const Known& known) : known_{known} {}
  void see(const Event&, Report&) {}
  void finish(Report& report) const {
    for (std::uint32_t i = 0; i < known_.messages.size(); ++i) {
      const MessageFacts& message = known_.messages[i];
      if (message.failed == 0 || message.failed != message.publishes) continue;
      report.judged(Property::aborted);
      if (!message.delivered) continue;
      report.violated(Property::aborted, known_.timeline.ids.word(i), " was refused, and delivered");
    }
  }

 private:
  const Known& known_;
};

/// P4: a delivery and a letter have the bytes (payload, type, headers: `hash`), topic, key and number of
/// the message when it was first published; so has another publish of the same id. Sees what the recorder
/// has put into the hash.
class Integrity {
 public:
  explicit Integrity(const Known& known) : known_{known} {}
  void see(const Event& event, Report& report) const {
    const bool judged =
        event.kind == Kind::publish || event.kind == Kind::deliver || event.kind == Kind::letter;
    if (!judged) return;
    const MessageFacts& message = known_.message_of(event);
    if (message.publishes == 0) return;
    report.judged(Property::integrity);
    const std::string_view what = kinds[static_cast<std::size_t>(event.kind)];
    if (event.envelope != message.envelope) {
      report.violated(Property::integrity, what, " of ", known_.id_of(event),
                      " has another topic, key or number than was published");
    } else if (event.hash != 0 && message.hash != 0 && event.hash != message.hash) {
      report.violated(Property::integrity, what, " of ", known_.id_of(event),
                      " has other bytes than were published");
    }
  }
  void finish(Report&) const {}

 private:
  const Known& known_;
};

/// P11: each publish has exactly one ending, before its process closes, and not later than its deadline
/// and `Limits::answer`. A publish whose process was killed needs none; one whose process was frozen, or
/// suffered otherwise, may be late. Cannot tell which of two concurrent publishes of one id has ended.
class Answered {
 public:
  Answered(const Known& known, const Limits& limits) : known_{known}, limits_{limits} {}
  void see(const Event& event, Report& report) const {
    if (event.kind != Kind::ending) return;
    report.judged(Property::answered);
    const MessageFacts& message = known_.message_of(event);
    const auto publish = [&] { return known_.id_of(event); };
    if (message.open == 0) {
      report.violated(Property::answered, publish(), " has an ending too many");
    } else if (known_.closed[event.process]) {
      report.violated(Property::answered, publish(), " has its ending after its bus was closed");
    } else if (message.deadline != 0 && event.at > message.deadline + limits_.answer && !excused(event)) {
      report.violated(Property::answered, publish(), " has its ending ",
                      (event.at - message.deadline) / 1'000'000, " ms after its deadline");
    }
  }
  void finish(Report& report) const {
    for (std::uint32_t i = 0; i < known_.messages.size(); ++i) {
      const MessageFacts& message = known_.messages[i];
      if (message.open == 0) continue;
      report.judged(Property::answered);
      if (!known_.closed[message.publisher]) continue;
      report.violated(Property::answered, known_.timeline.ids.word(i), " never had an ending, and ",
                      known_.timeline.processes[message.publisher].name, " has closed its bus");
    }
  }

 private:
  bool excused(const Event& event) const {
    const std::uint32_t role = known_.timeline.processes[event.process].role;
    return known_.faults.suffered(role, known_.message_of(event).begun);
  }

  const Known& known_;
  const Limits limits_;
};

}  // namespace campaign
