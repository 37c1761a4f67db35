// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "timeline.hpp"

// What is known of messages and faults by the time of an event: the facts that properties share. Each
// property sees an event before the facts take it in.

namespace campaign {

/// Of a message.
struct MessageFacts {
  std::uint64_t hash = 0;
  std::int64_t begun = 0;          ///< its last publish
  std::int64_t sent = 0;           ///< that, or its last redrive
  std::int64_t deadline = 0;       ///< of that; 0: none
  std::uint32_t envelope = 0;
  std::uint32_t publisher = 0;     ///< the process of its last publish
  std::uint32_t healed_before = 0; ///< faults that were over when its last publish began
  std::uint32_t rank = 0;          ///< among the messages of its key, in call order
  std::uint16_t publishes = 0;
  std::uint16_t open = 0;          ///< publishes without an ending
  std::uint16_t ok = 0;
  std::uint16_t failed = 0;
  std::uint16_t redrives = 0;
  std::uint16_t copies_allowed = 0;  ///< that a broker may have: of resends, and of redrives
  bool first_ok = false;  ///< the first publish was ok: its place in the order is known
  bool delivered = false; ///< to any group
};

/// Of a message in a group.
struct CopyFacts {
  bool delivered : 1 = false;
  bool effect : 1 = false;
  bool dead_letter : 1 = false;  ///< a consumer has said so
  bool letter : 1 = false;       ///< it was read from the dead-letter topic
  bool dropped : 1 = false;
  bool settled : 1 = false;      ///< as done with, after the effect or dead letter
  bool redriven : 1 = false;     ///< since it was a dead letter
  bool permanent : 1 = false;    ///< the handler has said that trying again cannot help

  bool processed() const noexcept { return effect || dead_letter || letter || dropped; }
};

/// Faults so far, as windows from a fault to its healing.
class FaultFacts {
 public:
  void see(const Event& event) {
    if (event.kind == Kind::fault) {
      ++begun_;
      ++victims_[event.key].open;
    } else if (event.kind == Kind::heal) {
      last_healed_ = event.at;
      Victim& victim = victims_[event.key];
      victim.healed = event.at;
      if (victim.open == 0) return;
      --victim.open;
      ++healed_;
    }
  }
  std::uint32_t begun() const noexcept { return begun_; }
  std::uint32_t healed() const noexcept { return healed_; }
  bool any_open() const noexcept { return begun_ > healed_; }
  std::int64_t last_healed() const noexcept { return last_healed_; }
  /// Windows that overlap something that began when so many faults were healed, and lasts until now.
  std::uint32_t overlapping(std::uint32_t healed_before) const noexcept {
    return begun_ > healed_before ? begun_ - healed_before : 0;
  }
  /// This process had a fault of its own at some time from then until now.
  bool suffered(std::uint32_t victim, std::int64_t since) const {
    const auto found = victims_.find(victim);
    return found != victims_.end() && (found->second.open > 0 || found->second.healed >= since);
  }

 private:
  struct Victim {
    std::uint32_t open = 0;
    std::int64_t healed = 0;
  };
  std::uint32_t begun_ = 0;
  std::uint32_t healed_ = 0;
  std::int64_t last_healed_ = 0;
  std::unordered_map<std::uint32_t, Victim> victims_;
};

/// All of it.
class Known {
 public:
  explicit Known(const Timeline& of)
      : timeline{of},
        messages(of.messages.size()),
        copies(of.copies),
        of_key(of.keys.size()),
        erased(of.words.size()),
        erasing(of.words.size()),
        closed(of.processes.size()) {}

  const Timeline& timeline;
  std::vector<MessageFacts> messages;
  std::vector<CopyFacts> copies;
  std::vector<std::vector<std::uint32_t>> of_key;  ///< its messages, in the order of their first publish
  std::vector<std::int64_t> erased;                ///< by the word of a topic: what was sent before is gone
  std::vector<bool> erasing;                       ///< likewise: it is just being deleted
  std::vector<bool> closed;                        ///< processes that have ended well
  FaultFacts faults;
  std::int64_t now = 0;

  const MessageFacts& message_of(const Event& event) const { return messages[event.message]; }
  const CopyFacts& copy_of(const Event& event) const { return copies[timeline.copy_of(event)]; }
  /// Of a message in the group of this subscription to its topic.
  const CopyFacts& copy_of(std::uint32_t message, std::uint32_t subscription) const {
    return copies[timeline.messages[message].first_copy + timeline.subscriptions[subscription].place];
  }
  /// A fault may have deleted it.
  bool may_be_gone(std::uint32_t message) const {
    return messages[message].sent < erased[timeline.messages[message].topic];
  }
  std::string_view id_of(const Event& event) const { return timeline.ids.word(event.message); }
  std::string_view group_of(const Event& event) const {
    return timeline.words.word(timeline.subscriptions[event.subscription].group);
  }

  void see(const Event& event) {
    now = event.at;
    faults.see(event);
    switch (event.kind) {
      case Kind::close: closed[event.process] = true; break;
      case Kind::publish: publish(messages[event.message], event); break;
      case Kind::ending: end(messages[event.message], event); break;
      case Kind::deliver:
        messages[event.message].delivered = true;
        copy(event).delivered = true;
        break;
      case Kind::finish: copy(event).permanent |= event.outcome == Outcome::permanent; break;
      case Kind::effect: processed(copy(event)).effect = true; break;
      case Kind::dead_letter: processed(copy(event)).dead_letter = true; break;
      case Kind::letter: copy(event).letter = true; break;
      case Kind::settle: settle(copy(event), event.outcome); break;
      case Kind::redrive:
        ++messages[event.message].redrives;
        ++messages[event.message].copies_allowed;
        messages[event.message].sent = event.at;
        copy(event).redriven = true;
        break;
      case Kind::erase: erasing[topic_of(event)] = true; break;
      case Kind::recreate:
        if (erasing[topic_of(event)]) erased[topic_of(event)] = event.at;
        erasing[topic_of(event)] = false;
        break;
      default: break;
    }
  }
  std::uint32_t topic_of(const Event& event) const {
    return timeline.subscriptions[event.subscription].topic;
  }

 private:
  CopyFacts& copy(const Event& event) { return copies[timeline.copy_of(event)]; }
  void publish(MessageFacts& message, const Event& event) {
    if (message.publishes++ == 0) {
      message.hash = event.hash;
      message.envelope = event.envelope;
      auto& ranks = of_key[timeline.messages[event.message].key];
      message.rank = static_cast<std::uint32_t>(ranks.size());
      ranks.push_back(event.message);
    }
    ++message.open;
    ++message.copies_allowed;
    message.begun = message.sent = event.at;
    message.deadline = event.value == 0 ? 0 : event.at + static_cast<std::int64_t>(event.value);
    message.publisher = event.process;
    message.healed_before = faults.healed();
  }
  void end(MessageFacts& message, const Event& event) {
    if (message.open > 0) --message.open;
    const bool ok = event.outcome == Outcome::ok;
    message.ok = static_cast<std::uint16_t>(message.ok + ok);
    message.failed = static_cast<std::uint16_t>(message.failed + (event.outcome == Outcome::failed));
    message.first_ok |= ok && message.publishes == 1;
    message.copies_allowed =
        static_cast<std::uint16_t>(message.copies_allowed + faults.overlapping(message.healed_before));
  }
  static CopyFacts& processed(CopyFacts& copy) {
    copy.settled = false;
    return copy;
  }
  static void settle(CopyFacts& copy, Outcome how) {
    copy.dropped |= how == Outcome::dropped;
    copy.settled |= how != Outcome::returned;
  }
};

}  // namespace campaign
