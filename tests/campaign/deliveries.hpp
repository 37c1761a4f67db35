// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "known.hpp"
#include "report.hpp"

// What is judged of deliveries and effects: how often, and in which order.

namespace campaign {

/// P5: what comes again says so. Of a group whose rules say `marked`: attempts that claim to be the first
/// are not more than the copies a broker may have, which are one for each publish and redrive, and one
/// more for each fault that a publish overlaps, because it may be sent again. Of any group: within one
/// generation of a partition no position claims so twice in a row. Faults that are not recorded would be
/// blamed on the consumer.
class FlaggedDuplicate {
 public:
  explicit FlaggedDuplicate(const Known& known) : known_{known}, copies_(known.copies.size()) {}
  void see(const Event& event, Report& report) {
    if (event.kind != Kind::deliver || event.attempt > 1) return;
    Copy& copy = copies_[known_.timeline.copy_of(event)];
    ++copy.firsts;
    if (!event.has_position()) return;
    report.judged(Property::unflagged);
    const std::uint64_t place = place_of(event);
    if (copy.place == place) {
      report.violated(Property::unflagged, known_.id_of(event), " came twice as the first attempt in ",
                      known_.timeline.processes[event.process].name, " at position ", event.major, "-",
                      event.minor);
    }
    copy.place = place;
  }
  void finish(Report& report) const {
    const Timeline& timeline = known_.timeline;
    for (std::uint32_t i = 0; i < timeline.messages.size(); ++i) {
      const MessageFacts& message = known_.messages[i];
      for (const std::uint32_t reader : timeline.readers_of(i)) {
        const auto& subscription = timeline.subscriptions[reader];
        const std::uint32_t firsts = copies_[timeline.messages[i].first_copy + subscription.place].firsts;
        if (!subscription.rules.marked || firsts == 0 || message.publishes == 0) continue;
        report.judged(Property::unflagged);
        const std::uint32_t cut_short =
            message.open > 0 ? known_.faults.overlapping(message.healed_before) : 0;
        if (firsts <= message.copies_allowed + cut_short) continue;
        report.violated(Property::unflagged, timeline.ids.word(i), " came ", firsts,
                        " times as the first attempt");
      }
    }
  }

 private:
  struct Copy {
    std::uint64_t place = 0;  ///< process, generation and position of the last first attempt
    std::uint32_t firsts = 0;
  };
  static std::uint64_t place_of(const Event& event) {
    using omnibus::detail::mix64;
    const auto partition = static_cast<std::uint32_t>(event.partition);
    const std::uint64_t who = mix64(std::uint64_t{event.process} << 32 | event.generation) ^ partition;
    return mix64(mix64(mix64(who) ^ event.major) ^ event.minor);
  }

  const Known& known_;
  std::vector<Copy> copies_;
};

/// P6: a group that is idempotent has at most one effect for each message, whichever process it was. The
/// records have to be the effects, or be read from where they are.
class EffectOnce {
 public:
  explicit EffectOnce(const Known& known) : known_{known} {}
  void see(const Event& event, Report& report) const {
    if (event.kind != Kind::effect) return;
    const bool again = known_.copy_of(event).effect;
    report.totals.duplicated += again;
    if (!known_.timeline.rules_of(event).idempotent) return;
    report.judged(Property::effects);
    if (!again) return;
    report.violated(Property::effects, known_.id_of(event), " has a further effect in group ",
                    known_.group_of(event), ", by ", known_.timeline.processes[event.process].name);
  }
  void finish(Report&) const {}

 private:
  const Known& known_;
};

/// P7: of each key of an ordered group,
///  - no message is processed for the first time after a later one was. A message whose first publish was
///    not ok has no certain place, and is only counted;
///  - in parked order, no message has its effect while an earlier one is still a dead letter without one;
///  - no handler begins while one is running for another message of the key in the same generation of the
///    same process. Between processes that cannot be said: one may be frozen and replaced.
/// Replays are no violation. A key must not have two producers at a time.
class KeyOrder {
 public:
  explicit KeyOrder(const Known& known) : known_{known}, streams_(known.timeline.streams) {}
  void see(const Event& event, Report& report) {
    switch (event.kind) {
      case Kind::deliver: begin(event, report); return;
      case Kind::finish:
      case Kind::settle: end(event); return;
      case Kind::effect:
      case Kind::dead_letter: process(event, report); return;
      default: return;
    }
  }
  void finish(Report& report) const {
    const Timeline& timeline = known_.timeline;
    for (const Late& late : late_) {
      if (!known_.messages[late.message].first_ok) {
        ++report.totals.late_unknown;
        continue;
      }
      const Timeline::Message& message = timeline.messages[late.message];
      ++report.totals.disordered;
      report.violated(Property::order, timeline.ids.word(late.message), ", number ", message.number,
                      " of key ", timeline.words.word(timeline.keys[message.key].word),
                      ", was processed after number ", late.after);
    }
  }

 private:
  struct Stream {
    std::uint64_t processed = 0;  ///< one more than the highest number
    std::uint32_t running = nowhere;
    std::uint32_t process = 0;
    std::uint32_t generation = 0;
    std::size_t parked_from = 0;           ///< of `parked`: those before have had their effect
    std::vector<std::uint32_t> parked;     ///< messages, in the order of their dead letters
  };
  struct Late {
    std::uint32_t message;
    std::uint64_t after;
  };

  Stream* stream_of(const Event& event) {
    const bool ordered = known_.timeline.rules_of(event).ordered;
    return ordered ? &streams_[known_.timeline.stream_of(event)] : nullptr;
  }
  void begin(const Event& event, Report& report) {
    Stream* stream = stream_of(event);
    if (stream == nullptr) return;
    const bool beside = stream->running != nowhere && stream->running != event.message &&
                        stream->process == event.process && stream->generation == event.generation;
    if (beside) {
      ++report.totals.disordered;
      report.violated(Property::order, known_.id_of(event), " begins while ",
                      known_.timeline.ids.word(stream->running), " of its key is running in ",
                      known_.timeline.processes[event.process].name);
    }
    stream->running = event.message;
    stream->process = event.process;
    stream->generation = event.generation;
  }
  void end(const Event& event) {
    Stream* stream = stream_of(event);
    if (stream != nullptr && stream->running == event.message) stream->running = nowhere;
  }
  void process(const Event& event, Report& report) {
    Stream* stream = stream_of(event);
    if (stream == nullptr) return;
    report.judged(Property::order);
    const CopyFacts& copy = known_.copy_of(event);
    const std::uint64_t number = known_.timeline.messages[event.message].number;
    if (!copy.processed()) {
      if (number + 1 < stream->processed) {
        late_.push_back({event.message, stream->processed - 1});
      } else {
        stream->processed = number + 1;
      }
    }
    if (!known_.timeline.rules_of(event).parked) return;
    if (event.kind == Kind::dead_letter) {
      if (!copy.dead_letter) stream->parked.push_back(event.message);
    } else if (!copy.effect) {
      wait_for_parked(*stream, event, number, report);
    }
  }
  void wait_for_parked(Stream& stream, const Event& event, std::uint64_t number, Report& report) {
    while (stream.parked_from < stream.parked.size() &&
           known_.copy_of(stream.parked[stream.parked_from], event.subscription).effect) {
      ++stream.parked_from;
    }
    if (stream.parked_from == stream.parked.size()) return;
    const std::uint32_t first = stream.parked[stream.parked_from];
    if (known_.timeline.messages[first].number >= number) return;
    ++report.totals.disordered;
    report.violated(Property::order, known_.id_of(event), " has its effect while ",
                    known_.timeline.ids.word(first), ", an earlier one of its key, is parked");
  }

  const Known& known_;
  std::vector<Stream> streams_;
  std::vector<Late> late_;
};

/// P13: when a message comes to an ordered group for the first time, those of its key that were published
/// before it have come, or were processed, as far as their first publish has ended ok by then. Finer than
/// P7, which sees the effects alone. Each message of a key is passed once, so that it is linear.
class NoSkip {
 public:
  explicit NoSkip(const Known& known) : known_{known}, next_(known.timeline.streams) {}
  void see(const Event& event, Report& report) {
    if (event.kind != Kind::deliver || !known_.timeline.rules_of(event).ordered) return;
    const Timeline& timeline = known_.timeline;
    const MessageFacts& facts = known_.message_of(event);
    if (facts.publishes == 0) return;
    report.judged(Property::skipped);
    const bool erasing = known_.erasing[timeline.messages[event.message].topic];
    const auto& ranks = known_.of_key[timeline.messages[event.message].key];
    std::uint32_t& next = next_[timeline.stream_of(event)];
    for (; next < facts.rank; ++next) {
      const std::uint32_t earlier = ranks[next];
      const CopyFacts& copy = known_.copy_of(earlier, event.subscription);
      if (!known_.messages[earlier].first_ok || copy.processed()) continue;
      if (erasing || known_.may_be_gone(earlier)) continue;
      report.violated(Property::skipped, timeline.ids.word(earlier), " was there, and ",
                      known_.id_of(event), " of the same key came to group ", known_.group_of(event),
                      " before it");
    }
    if (next == facts.rank) ++next;
  }
  void finish(Report&) const {}

 private:
  const Known& known_;
  std::vector<std::uint32_t> next_;
};

}  // namespace campaign
