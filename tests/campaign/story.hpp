// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <map>
#include <ostream>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "checker.hpp"

// Histories that are told, not lived: what the tests of a checker are made of.

namespace campaign {

inline std::ostream& operator<<(std::ostream& to, Property property) {
  return to << properties[static_cast<std::size_t>(property)].name;
}

/// A history, one millisecond an event. Messages are called by a letter and a digit: key and number, so
/// that "a0" is number 0 of key a.
class Story {
 public:
  static constexpr std::int64_t ms = 1'000'000;

  /// `rules` of the group "billing", which reads the topic "orders".
  explicit Story(std::string_view rules = "order=strict idempotent marked attempts=3") {
    by("consumer").add({.kind = Kind::begin});
    add({.kind = Kind::join, .topic = topic_, .group = "billing", .note = rules});
  }

  /// Who does what follows.
  Story& by(std::string process, std::uint32_t incarnation = 1) {
    process_ = std::move(process);
    incarnation_ = incarnation;
    return *this;
  }
  /// Time goes by.
  Story& wait(std::int64_t milliseconds) {
    now_ += milliseconds * ms;
    return *this;
  }
  /// What is written as it is; who and when are filled in.
  Story& add(Record record) {
    record.process = process_;
    record.incarnation = incarnation_;
    record.at = now_ += ms;
    std::string lines;
    write_line(lines, record);
    timeline_.add_line(std::string_view{lines}.substr(1, lines.size() - 2));
    return *this;
  }
  /// Something happens to a message.
  Story& say(Kind kind, std::string_view message, Outcome outcome = Outcome::none, Record more = {}) {
    more.kind = kind;
    more.outcome = outcome;
    more.id = message;
    more.topic = topic_;
    more.key = message.substr(0, 1);
    more.number = static_cast<std::uint64_t>(message[1] - '0');
    if (more.hash == 0) more.hash = 17;
    if (more.group.empty()) more.group = "billing";
    const bool of_producer = kind == Kind::publish || kind == Kind::ending;
    if (of_producer) more.group = {};
    return add(more);
  }

  Story& publish(std::string_view message, std::uint64_t deadline_ms = 0) {
    return by("producer", producer).say(Kind::publish, message, Outcome::none,
                                        {.value = deadline_ms * ms});
  }
  Story& ending(std::string_view message, Outcome outcome, Record more = {}) {
    return by("producer", producer).say(Kind::ending, message, outcome, more);
  }
  /// Published, and ok.
  Story& sent(std::string_view message) { return publish(message).ending(message, Outcome::ok); }
  Story& deliver(std::string_view message, Record more = {}) {
    if (more.attempt == 0) more.attempt = 1;
    return by("consumer", consumer).say(Kind::deliver, message, Outcome::none, more);
  }
  Story& effect(std::string_view message, Record more = {}) {
    return by("consumer", consumer).say(Kind::effect, message, Outcome::none, more);
  }
  Story& finish(std::string_view message, Outcome outcome, Record more = {}) {
    if (more.attempt == 0) more.attempt = 1;
    return by("consumer", consumer).say(Kind::finish, message, outcome, more);
  }
  Story& settle(std::string_view message, Outcome outcome) {
    return by("consumer", consumer).say(Kind::settle, message, outcome);
  }
  /// Delivered, with its effect, and settled.
  Story& handled(std::string_view message, Record more = {}) {
    return deliver(message, more).effect(message).finish(message, Outcome::ok).settle(message, Outcome::ok);
  }
  /// Delivered, hopeless, and a dead letter.
  Story& buried(std::string_view message) {
    return deliver(message)
        .finish(message, Outcome::permanent)
        .say(Kind::dead_letter, message)
        .settle(message, Outcome::buried);
  }
  /// Read from the dead-letter topic.
  Story& letter(std::string_view message, Record more = {}) {
    if (more.attempt == 0) more.attempt = 1;
    if (more.note.empty()) more.note = "handler_failed";
    const Outcome outcome = more.outcome;
    return by("campaign").say(Kind::letter, message, outcome, more);
  }
  Story& fault(std::string_view victim) {
    return by("campaign").add({.kind = Kind::fault, .key = victim, .note = "kill"});
  }
  Story& heal(std::string_view victim) {
    return by("campaign").add({.kind = Kind::heal, .key = victim, .note = "kill"});
  }

  /// Judges it. Call it once.
  Report report(const Limits& limits = {}) {
    timeline_.arrange();
    return check(timeline_, limits);
  }
  const Timeline& timeline() const { return timeline_; }

  std::uint32_t producer = 1;  ///< incarnations
  std::uint32_t consumer = 1;

 private:
  static constexpr std::string_view topic_ = "orders";

  Timeline timeline_;
  std::string process_;
  std::uint32_t incarnation_ = 1;
  std::int64_t now_ = 1000 * ms;
};

using Violated = std::set<Property>;

/// Which properties are violated.
inline Violated violated(const Report& report) {
  Violated found;
  for (std::size_t i = 0; i < properties.size(); ++i) {
    const auto property = static_cast<Property>(i);
    if (report[property].violations > 0) found.insert(property);
  }
  return found;
}
inline Violated violated(Story& story) { return violated(story.report()); }

/// True when the property was judged, and nothing at all is violated: of a near miss.
inline bool holds(Story& story, Property property, const Limits& limits = {}) {
  const Report report = story.report(limits);
  return report[property].judged > 0 && violated(report).empty();
}

}  // namespace campaign
