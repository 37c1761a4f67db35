// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include <omnibus/dead_letters.hpp>
#include <omnibus/limits.hpp>
#include <omnibus/message.hpp>

// A dead letter as an operator sees it: what it says, which ones are meant, how to make a message of it
// again. Pure functions and plain values.

namespace omnibus {

/// A dead letter that is being looked at. Lifetime: of the call it is shown in.
struct LetterView {
  MessageView message;  ///< as it stands in the dead-letter topic
  DeadLetter died;      ///< what its headers say
  std::int32_t partition = 0;
  Position position{};  ///< in the dead-letter topic; zero where the broker does not tell
};

/// What a consumer has handed over, as a letter. Lifetime: of what it was made from.
inline LetterView letter_of(const Incoming& incoming) noexcept {
  return {*incoming.message, read_dead_letter(incoming.message->headers), incoming.partition,
          incoming.position};
}

/// A dead letter that owns its bytes.
struct Letter {
  Message message;
  std::int32_t partition = 0;
  Position position{};

  explicit Letter(const LetterView& view)
      : message{view.message}, partition{view.partition}, position{view.position} {}
  /// What its headers say. Lifetime: of this letter.
  DeadLetter died() const noexcept { return read_dead_letter(message.headers); }
};

/// How far a list has come: partitions come in no order, but the letters of each do.
class LetterCursor {
 public:
  /// Takes the next letter of a scan from the beginning. True when it lies before this cursor's place in
  /// its partition; `seen` has begun empty and goes over the letters from the beginning.
  bool is_behind(const LetterView& letter, LetterCursor& seen) const {
    const std::uint64_t number = seen.note(letter);
    const auto found = places_.find(letter.partition);
    if (found == places_.end()) return false;
    // Positions hold when letters have gone in between; where a broker tells none, numbers have to do.
    const Place& place = found->second;
    return place.last != Position{} ? letter.position <= place.last : number <= place.letters;
  }
  /// The letter is the last one of its partition that has been shown. Returns how many that makes.
  std::uint64_t note(const LetterView& letter) {
    Place& place = places_[letter.partition];
    place.last = letter.position;
    return ++place.letters;
  }

 private:
  struct Place {
    std::uint64_t letters = 0;
    Position last{};
  };
  std::map<std::int32_t, Place> places_;
};

/// Some letters, and where the next ones begin.
struct LetterPage {
  std::vector<Letter> letters;  ///< fewer than were asked for: these are the last
  LetterCursor next;
};

/// True when a letter says where it came from. One that somebody else wrote may not.
inline bool has_origin(const DeadLetter& died) noexcept { return is_topic_name(died.topic); }

/// The message that a letter was made of: id, type, key, payload, time and headers as they were, and
/// `redriven_header` with the name of the redrive. Headers that had to be cut are not there.
inline Message restore(const MessageView& letter, std::string_view redrive) {
  Message message{letter};
  message.headers = {};
  for (const Header header : letter.headers) {
    const bool ours = header.name.starts_with(dead_header::prefix) || header.name == redriven_header;
    if (!ours) message.headers.add(header.name, header.value);
  }
  message.headers.add(redriven_header, write_redriven({redrive, letter.headers.get(dead_header::group)}));
  return message;
}

// ── which letters are meant ──────────────────────────────────────────────────────────────────────

/// All letters.
inline auto any_letter() {
  return [](const LetterView&) { return true; };
}
/// The letters of this key.
inline auto letters_of_key(std::string key) {
  return [key = std::move(key)](const LetterView& letter) { return letter.message.key == key; };
}
/// The letters of this message. There may be several: each group that failed has written one.
inline auto letters_with_id(std::string id) {
  return [id = std::move(id)](const LetterView& letter) { return letter.message.id == id; };
}

// ── what they died of ────────────────────────────────────────────────────────────────────────────

/// How many letters died of one thing.
struct LetterCount {
  std::string topic;   ///< where they came from
  std::string group;   ///< who could not handle them
  std::string code;    ///< of the last error
  std::string reason;  ///< and its words
  std::uint64_t letters = 0;
  std::string example;  ///< the id of one of them
};

/// Counts letters by reason. Bounded: reasons beyond `most` are counted together.
class LetterCensus {
 public:
  static constexpr std::size_t most = 1000;
  static constexpr std::string_view rest = "(other reasons)";

  void add(const LetterView& letter) {
    const DeadLetter& died = letter.died;
    Cause cause{died.topic, died.group, died.code, died.reason};
    if (counts_.size() >= most && !counts_.contains(cause)) cause = {"", "", "", std::string{rest}};
    Count& count = counts_[std::move(cause)];
    if (count.letters++ == 0) count.example = letter.message.id;
  }
  /// The counts, by topic, group, code and reason.
  std::vector<LetterCount> counts() const {
    std::vector<LetterCount> all;
    for (const auto& [cause, count] : counts_) {
      const auto& [topic, group, code, reason] = cause;
      all.push_back({topic, group, code, reason, count.letters, count.example});
    }
    return all;
  }

 private:
  using Cause = std::tuple<std::string, std::string, std::string, std::string>;
  struct Count {
    std::uint64_t letters = 0;
    std::string example;
  };
  std::map<Cause, Count> counts_;
};

}  // namespace omnibus
