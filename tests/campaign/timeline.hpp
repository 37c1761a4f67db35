// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <fstream>
#include <functional>
#include <limits>
#include <queue>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <omnibus/detail/hash.hpp>

#include "history.hpp"

// The lines of any number of files as one sequence of events, in the order of their times. Words become
// small numbers, so that what is known of a message, or of a message in a group, stands in an array.

namespace campaign {

/// An index that there is none of.
inline constexpr std::uint32_t nowhere = std::numeric_limits<std::uint32_t>::max();

/// Words as numbers from 0.
class Names {
 public:
  std::uint32_t operator[](std::string_view word) {
    if (begins_.size() * 2 >= table_.size()) grow();
    std::uint32_t& slot = find(word);
    if (slot == nowhere) {
      slot = static_cast<std::uint32_t>(begins_.size());
      begins_.push_back(bytes_.size());
      bytes_ += word;
    }
    return slot;
  }
  std::string_view word(std::uint32_t number) const {
    const std::size_t begin = begins_[number];
    const std::size_t end = number + 1 < begins_.size() ? begins_[number + 1] : bytes_.size();
    return std::string_view{bytes_}.substr(begin, end - begin);
  }
  std::size_t size() const noexcept { return begins_.size(); }

 private:
  std::uint32_t& find(std::string_view word) {
    const std::size_t mask = table_.size() - 1;
    std::size_t at = omnibus::detail::hash64(word) & mask;
    while (table_[at] != nowhere && this->word(table_[at]) != word) at = (at + 1) & mask;
    return table_[at];
  }
  void grow() {
    table_.assign(std::max<std::size_t>(64, table_.size() * 2), nowhere);
    for (std::uint32_t i = 0; i < begins_.size(); ++i) find(word(i)) = i;
  }

  std::string bytes_;
  std::vector<std::size_t> begins_;
  std::vector<std::uint32_t> table_;
};

/// Pairs of numbers as numbers from 0.
class Pairs {
 public:
  std::uint32_t number(std::uint32_t first, std::uint32_t second) {
    const std::uint64_t both = std::uint64_t{first} << 32 | second;
    return numbers_.try_emplace(both, static_cast<std::uint32_t>(numbers_.size())).first->second;
  }

 private:
  std::unordered_map<std::uint64_t, std::uint32_t> numbers_;
};

/// A record, with numbers for words.
struct Event {
  std::int64_t at = 0;
  std::uint64_t hash = 0;
  std::uint64_t major = 0;
  std::uint64_t minor = 0;
  std::uint64_t value = 0;
  std::uint32_t process = 0;       ///< one for each incarnation
  std::uint32_t message = nowhere;
  std::uint32_t subscription = 0;  ///< topic and group
  std::uint32_t envelope = 0;      ///< a hash of topic, key and number
  std::uint32_t generation = 0;
  std::uint32_t attempt = 0;
  std::uint32_t note = 0;  ///< of Timeline::words
  std::uint32_t key = 0;   ///< likewise; the victim of a fault
  std::int32_t partition = 0;
  Kind kind = Kind::begin;
  Outcome outcome = Outcome::none;

  bool has_position() const noexcept { return major != 0 || minor != 0; }
};

/// All events, and the names in them. Add files or lines, arrange, replay.
class Timeline {
 public:
  struct Message {
    std::uint64_t number = 0;     ///< within its key
    std::uint32_t topic = 0;      ///< of `words`
    std::uint32_t key = 0;        ///< of `keys`
    std::uint32_t first_copy = 0; ///< its copies, one for each group of its topic, follow each other
    bool published = false;
  };
  struct Key {
    std::uint32_t topic = 0;
    std::uint32_t word = 0;
    std::uint32_t first_stream = 0;  ///< one for each group of its topic
  };
  struct Subscription {
    std::uint32_t topic = 0;
    std::uint32_t group = 0;
    Rules rules;
    bool consumes = false;  ///< somebody has read with it
    std::uint32_t place = 0;  ///< among the groups of the topic
  };
  struct Process {
    std::string name;
    std::uint32_t role = 0;  ///< of `words`
    std::deque<Event> events;
  };

  Names words;
  Names ids;
  std::vector<Message> messages;
  std::vector<Key> keys;
  std::vector<Subscription> subscriptions;
  std::vector<Process> processes;
  std::vector<std::vector<std::uint32_t>> readers;  ///< by topic: the subscriptions that consume
  std::size_t copies = 0;
  std::size_t streams = 0;
  std::size_t lines = 0;
  std::size_t torn = 0;       ///< lines that their writers could not finish
  std::size_t malformed = 0;  ///< complete lines that are no records
  std::string first_malformed;

  /// Reads a file. Throws std::runtime_error when it cannot be read.
  void add_file(const std::string& path) {
    std::ifstream file{path, std::ios::binary};
    if (!file) throw std::runtime_error{"cannot read " + path};
    std::string block(std::size_t{1} << 20, '\0');
    std::string rest;
    while (file) {
      file.read(block.data(), static_cast<std::streamsize>(block.size()));
      rest.append(block, 0, static_cast<std::size_t>(file.gcount()));
      std::size_t begin = 0;
      for (auto end = rest.find('\n'); end != std::string::npos; end = rest.find('\n', begin)) {
        add_line(std::string_view{rest}.substr(begin, end - begin));
        begin = end + 1;
      }
      rest.erase(0, begin);
    }
    if (file.bad()) throw std::runtime_error{"cannot read " + path + " to its end"};
    if (!rest.empty()) ++torn;
  }

  /// Reads a line without its newline.
  void add_line(std::string_view line) {
    if (line.empty()) return;
    ++lines;
    if (is_torn(line)) {
      ++torn;
    } else if (const auto record = read_line(line, decoded_)) {
      add(*record);
    } else {
      refuse(line);
    }
  }

  void add(const Record& record) {
    if (!says_enough(record)) return refuse(kinds[static_cast<std::size_t>(record.kind)]);
    Event event;
    event.at = record.at;
    event.hash = record.hash;
    event.major = record.major;
    event.minor = record.minor;
    event.value = record.value;
    event.generation = static_cast<std::uint32_t>(record.generation);
    event.attempt = record.attempt;
    event.partition = record.partition;
    event.kind = record.kind;
    event.outcome = record.outcome;
    event.note = words[record.note];
    event.key = words[record.key];
    event.process = process_of(record);
    const std::uint32_t topic = words[record.topic];
    event.subscription = subscription_of(topic, words[record.group]);
    Subscription& subscription = subscriptions[event.subscription];
    if (record.kind == Kind::join) {
      const auto rules = read_rules(record.note);
      if (!rules) return refuse(record.note);
      subscription.rules = *rules;
    }
    subscription.consumes |= is_of_a_group(record.kind);
    if (record.kind == Kind::gauge) event.hash = record.number;
    if (!record.id.empty()) {
      event.message = ids[record.id];
      event.envelope = envelope_of(record);
      describe(event, record, topic);
    }
    processes[event.process].events.push_back(event);
  }

  /// Call it when all has been added.
  void arrange() {
    for (Process& process : processes) {
      const auto earlier = [](const Event& a, const Event& b) { return a.at < b.at; };
      // They are, where one recorder has written them.
      if (!std::is_sorted(process.events.begin(), process.events.end(), earlier)) {
        std::stable_sort(process.events.begin(), process.events.end(), earlier);
      }
      for (Event& event : process.events) put_right(event);
    }
    readers.resize(words.size());
    for (std::uint32_t i = 0; i < subscriptions.size(); ++i) {
      if (!subscriptions[i].consumes) continue;
      auto& others = readers[subscriptions[i].topic];
      subscriptions[i].place = static_cast<std::uint32_t>(others.size());
      others.push_back(i);
    }
    const auto lay_out = [this](auto& all, auto first) {
      std::size_t next = 0;
      for (auto& each : all) {
        each.*first = static_cast<std::uint32_t>(next);
        next += readers[each.topic].size();
      }
      return next;
    };
    copies = lay_out(messages, &Message::first_copy);
    streams = lay_out(keys, &Key::first_stream);
  }

  /// Shows all events in the order of their times.
  template <class See>
  void replay(See see) const {
    using Next = std::pair<std::int64_t, std::uint32_t>;
    std::priority_queue<Next, std::vector<Next>, std::greater<>> next;
    std::vector<std::deque<Event>::const_iterator> at;
    for (std::uint32_t i = 0; i < processes.size(); ++i) {
      at.push_back(processes[i].events.begin());
      if (!processes[i].events.empty()) next.emplace(at[i]->at, i);
    }
    while (!next.empty()) {
      const std::uint32_t process = next.top().second;
      next.pop();
      // What one process did in a row needs no heap.
      do {
        see(*at[process]);
        ++at[process];
      } while (at[process] != processes[process].events.end() &&
               (next.empty() || Next{at[process]->at, process} < next.top()));
      if (at[process] != processes[process].events.end()) next.emplace(at[process]->at, process);
    }
  }

  const std::vector<std::uint32_t>& readers_of(std::uint32_t message) const {
    return readers[messages[message].topic];
  }
  /// A message in a group. Of events of consumers alone.
  std::size_t copy_of(const Event& event) const {
    return messages[event.message].first_copy + subscriptions[event.subscription].place;
  }
  /// A key in a group. Likewise.
  std::size_t stream_of(const Event& event) const {
    return keys[messages[event.message].key].first_stream + subscriptions[event.subscription].place;
  }
  const Rules& rules_of(const Event& event) const { return subscriptions[event.subscription].rules; }

 private:
  static bool is_of_a_message(Kind kind) noexcept {
    return kind >= Kind::publish && kind <= Kind::redrive;
  }
  static bool is_of_a_group(Kind kind) noexcept {
    return kind == Kind::join || (kind >= Kind::deliver && kind <= Kind::commit);
  }
  static bool says_enough(const Record& record) noexcept {
    return !record.process.empty() && (!record.id.empty() || !is_of_a_message(record.kind)) &&
           (!record.group.empty() || !is_of_a_group(record.kind));
  }
  static std::uint32_t envelope_of(const Record& record) {
    using omnibus::detail::hash64;
    return static_cast<std::uint32_t>(hash64(record.topic, hash64(record.key, record.number)));
  }
  std::uint32_t process_of(const Record& record) {
    const std::uint32_t role = words[record.process];
    const std::uint32_t number = process_numbers_.number(role, record.incarnation);
    if (number == processes.size()) {
      std::string name{record.process};
      name.append("#").append(std::to_string(record.incarnation));
      processes.push_back({std::move(name), role, {}});
    }
    return number;
  }
  std::uint32_t subscription_of(std::uint32_t topic, std::uint32_t group) {
    const std::uint32_t number = subscription_numbers_.number(topic, group);
    if (number == subscriptions.size()) subscriptions.push_back({topic, group, {}, false, 0});
    return number;
  }
  /// What a message is, says who publishes it; of one that nobody has published, whoever shows it first.
  void describe(const Event& event, const Record& record, std::uint32_t topic) {
    const bool is_new = event.message == messages.size();
    if (is_new) messages.emplace_back();
    Message& message = messages[event.message];
    if (message.published || (!is_new && record.kind != Kind::publish)) return;
    const std::uint32_t key = key_numbers_.number(topic, event.key);
    if (key == keys.size()) keys.push_back({topic, event.key, 0});
    message = {record.number, topic, key, 0, record.kind == Kind::publish};
  }
  /// Whatever topic an event names, it is about the message's own: the envelope shows the difference.
  void put_right(Event& event) {
    if (event.message == nowhere) return;
    const Subscription named = subscriptions[event.subscription];
    const std::uint32_t topic = messages[event.message].topic;
    if (named.topic == topic) return;
    event.subscription = subscription_of(topic, named.group);
    subscriptions[event.subscription].consumes |= named.consumes;
  }
  void refuse(std::string_view what) {
    if (++malformed == 1) first_malformed = what;
  }

  Pairs process_numbers_;
  Pairs subscription_numbers_;
  Pairs key_numbers_;
  std::string decoded_;
};

}  // namespace campaign
