// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "known.hpp"
#include "report.hpp"

// What is judged of the whole: positions, progress, measurements, and what is in logs.

namespace campaign {

/// P12: a position of a partition, as receipts and deliveries tell it, is one message; also of a topic
/// that is made anew, from then on. Position zero is not judged: recorders write it where a broker has none
/// that lasts. Positions are told apart by 64 bits of a hash. Of a group whose rules say `once`: a message
/// has as many positions as it was published and redriven, at most.
class OnePosition {
 public:
  explicit OnePosition(const Known& known) : known_{known}, first_(known.copies.size()) {}
  void see(const Event& event, Report& report) {
    if (event.kind == Kind::recreate) {
      ++lives_[known_.timeline.subscriptions[event.subscription].topic];
    }
    const bool tells = event.kind == Kind::deliver || event.kind == Kind::ending;
    if (!tells || !event.has_position()) return;
    const bool erasing = known_.erasing[known_.timeline.messages[event.message].topic];
    if (erasing || known_.may_be_gone(event.message)) return;
    report.judged(Property::position);
    const std::uint64_t place = place_of(event);
    if (event.kind == Kind::deliver && known_.timeline.rules_of(event).once) count(event, place, report);
    const auto [found, is_new] = messages_.try_emplace(place, event.message);
    if (is_new || found->second == event.message) return;
    report.violated(Property::position, known_.id_of(event), " is at position ", event.major, "-",
                    event.minor, " of partition ", event.partition, ", and so is ",
                    known_.timeline.ids.word(found->second));
  }
  void finish(Report&) const {}

 private:
  void count(const Event& event, std::uint64_t place, Report& report) {
    const std::size_t copy = known_.timeline.copy_of(event);
    if (first_[copy] == 0) first_[copy] = place;
    if (first_[copy] == place) return;
    std::vector<std::uint64_t>& further = further_[copy];
    if (std::find(further.begin(), further.end(), place) != further.end()) return;
    further.push_back(place);
    const MessageFacts& message = known_.message_of(event);
    if (further.size() + 1 <= std::size_t{message.publishes} + message.redrives) return;
    report.violated(Property::position, known_.id_of(event), " stands at ", further.size() + 1,
                    " positions, the last is ", event.major, "-", event.minor, " of partition ",
                    event.partition);
  }
  std::uint64_t place_of(const Event& event) const {
    using omnibus::detail::mix64;
    const std::uint32_t topic = known_.timeline.messages[event.message].topic;
    const auto life = lives_.find(topic);
    const std::uint64_t which = mix64(topic) ^ (life == lives_.end() ? 0 : life->second);
    const auto partition = static_cast<std::uint32_t>(event.partition);
    return mix64(mix64(mix64(which) ^ event.major) ^ event.minor) ^ mix64(partition);
  }

  const Known& known_;
  std::vector<std::uint64_t> first_;  ///< by copy: where it first came
  std::unordered_map<std::size_t, std::vector<std::uint64_t>> further_;
  std::unordered_map<std::uint64_t, std::uint32_t> messages_;
  std::unordered_map<std::uint32_t, std::uint64_t> lives_;
};

/// P14: after all faults are healed, a publish is ok within `Limits::recovery`, from when somebody wants to
/// publish; and while there is no fault and a group has a backlog (messages that are ok and not processed),
/// something of it is delivered or processed within `Limits::stall`. Backlogs that never end are losses
/// (P1). A fault that is recorded as healed too early makes it strict, one too late makes it lenient.
class Liveness {
 public:
  Liveness(const Known& known, const Limits& limits)
      : known_{known},
        limits_{limits},
        groups_(known.timeline.subscriptions.size()),
        open_(known.timeline.words.size()) {}
  void see(const Event& event, Report& report) {
    switch (event.kind) {
      case Kind::fault: waiting_ = false; return;
      case Kind::heal: heal(event); return;
      case Kind::begin: open(event) = 0; return;  // whoever was it before is dead
      case Kind::recreate: forget(event); return;
      case Kind::publish:
        ++open(event);
        if (waiting_ && wanted_ == 0) wanted_ = event.at;
        return;
      case Kind::ending: end(event, report); return;
      case Kind::deliver:
      case Kind::effect:
      case Kind::dead_letter:
      case Kind::letter:
      case Kind::settle:
        progress(event.subscription, event.at, report);
        move_on(event);
        return;
      default: return;
    }
  }
  void finish(Report& report) {
    if (waiting_ && wanted_ != 0) recovered(known_.now, report);
    for (std::uint32_t i = 0; i < groups_.size(); ++i) progress(i, known_.now, report);
  }

 private:
  struct Group {
    std::int64_t backlog = 0;
    std::int64_t moved = 0;  ///< when something of it last happened, or the backlog began
  };

  std::uint32_t& open(const Event& event) {
    return open_[known_.timeline.processes[event.process].role];
  }
  void heal(const Event& event) {
    // The event is one of those not yet taken in.
    if (known_.faults.begun() > known_.faults.healed() + 1) return;
    waiting_ = true;
    const auto is_waiting = [](std::uint32_t count) { return count > 0; };
    wanted_ = std::any_of(open_.begin(), open_.end(), is_waiting) ? event.at : 0;
  }
  void end(const Event& event, Report& report) {
    if (open(event) > 0) --open(event);
    if (event.outcome != Outcome::ok) return;
    if (waiting_ && wanted_ != 0) recovered(event.at, report);
    waiting_ = false;
    if (known_.message_of(event).ok > 0 || known_.may_be_gone(event.message)) return;
    for (const std::uint32_t reader : known_.timeline.readers_of(event.message)) {
      if (known_.copy_of(event.message, reader).processed()) continue;
      Group& group = groups_[reader];
      if (group.backlog++ == 0) group.moved = event.at;
    }
  }
  void recovered(std::int64_t at, Report& report) {
    const std::int64_t took = at - wanted_;
    report.judged(Property::liveness);
    report.totals.slowest_recovery = std::max(report.totals.slowest_recovery, took);
    if (took <= limits_.recovery) return;
    report.violated(Property::liveness, "no publish was ok for ", took / 1'000'000, " ms after healing");
  }
  void move_on(const Event& event) {
    Group& group = groups_[event.subscription];
    group.moved = event.at;
    const bool processes = event.kind == Kind::settle ? event.outcome == Outcome::dropped
                                                      : event.kind != Kind::deliver;
    const bool first = processes && !known_.copy_of(event).processed();
    const bool counts = first && !known_.may_be_gone(event.message);
    if (counts && known_.message_of(event).ok > 0) --group.backlog;
  }
  /// What was deleted nobody has to process.
  void forget(const Event& event) {
    const std::uint32_t topic = known_.topic_of(event);
    if (!known_.erasing[topic]) return;
    for (const std::uint32_t reader : known_.timeline.readers[topic]) groups_[reader].backlog = 0;
  }
  void progress(std::uint32_t reader, std::int64_t at, Report& report) {
    const Group& group = groups_[reader];
    if (group.backlog <= 0 || known_.faults.any_open()) return;
    report.judged(Property::liveness);
    const std::int64_t still = at - std::max(group.moved, known_.faults.last_healed());
    if (still <= limits_.stall) return;
    const auto& subscription = known_.timeline.subscriptions[reader];
    report.violated(Property::liveness, "group ", known_.timeline.words.word(subscription.group), " of ",
                    known_.timeline.words.word(subscription.topic), " stood still for ",
                    still / 1'000'000, " ms, with ", group.backlog, " messages to process");
  }

  const Known& known_;
  const Limits limits_;
  std::vector<Group> groups_;
  std::vector<std::uint32_t> open_;  ///< publishes without an ending, by role
  std::int64_t wanted_ = 0;  ///< since when somebody wants to publish; 0: nobody does
  bool waiting_ = false;     ///< healed, and nothing was ok yet
};

/// P15: what a process has measured of itself (memory, files, threads, messages in flight) is not above
/// the limit that stands in the record. Drift between samples is seen as far as limits allow it. Sleeps are
/// not seen: back-off is a pure function with tests of its own.
class Bounds {
 public:
  explicit Bounds(const Known& known) : known_{known} {}
  void see(const Event& event, Report& report) const {
    if (event.kind != Kind::gauge || event.hash == 0) return;
    report.judged(Property::bounds);
    const std::uint64_t limit = event.hash;
    if (event.value <= limit) return;
    report.violated(Property::bounds, known_.timeline.processes[event.process].name, " has ", event.value,
                    " of ", known_.timeline.words.word(event.note), ", where ", limit, " are allowed");
  }
  void finish(Report&) const {}

 private:
  const Known& known_;
};

/// P17: no secret stands in a log. `log` is all of it, `name` is for the report; empty secrets are none.
/// Sees a secret as it is written, not one that is encoded or cut.
inline void find_secrets(std::string_view name, std::string_view log,
                         const std::vector<std::string>& secrets, Report& report) {
  report.judged(Property::secrets);
  for (std::size_t i = 0; i < secrets.size(); ++i) {
    const std::size_t at = secrets[i].empty() ? std::string_view::npos : log.find(secrets[i]);
    if (at == std::string_view::npos) continue;
    report.violated(Property::secrets, "secret ", i + 1, " stands in ", name, " at byte ", at);
  }
}

}  // namespace campaign
