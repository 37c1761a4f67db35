// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

// What the processes of a campaign did, one line for each thing. Lines are made and read here; no I/O.
//
// A line has the fields of `Record` in their order, with tabs between them, and ends with a field that
// is ';'. Numbers that are zero and words that are missing are empty. A record begins with a newline
// as well as it ends with one: what a killed process has left unfinished spoils no line but its own.

namespace campaign {

/// What has happened, and when it is to be recorded.
enum class Kind : std::uint8_t {
  begin,        ///< a process has started
  close,        ///< it has closed its bus and will do nothing more
  join,         ///< it is about to subscribe; `note` has the rules of the group, see `Rules`
  publish,      ///< before the call; `value`: nanoseconds until its deadline, 0: none
  ending,       ///< of a publish: ok, failed or unknown; where the broker told it, the position
  deliver,      ///< an attempt begins, at the first line of the handler
  finish,       ///< it has ended: ok, failed or permanent; after the effect
  effect,       ///< is committed; the record is the effect, or was read from where the effect is
  settle,       ///< how a delivery ended: ok, duplicate, dropped, buried or returned
  dead_letter,  ///< a consumer says that it has written one
  letter,       ///< one was read from the dead-letter topic; topic and group are those it names
  redrive,      ///< before a letter is published again
  commit,       ///< of a group in a partition: all below `position` is done with
  fault,        ///< before something is broken; `key`: the process that suffers, or the broker
  heal,         ///< after it works again; `key` and `note` as in its fault
  erase,        ///< before a topic is deleted with what is in it; until its `recreate` positions tell nothing
  recreate,     ///< a topic begins anew, and so do its positions; after `erase`, what was published is gone
  gauge,        ///< `value` of what `note` names; `number`: what it may be at most
};
inline constexpr std::array<std::string_view, 18> kinds{
    "begin",  "close",  "join",        "publish", "ending",  "deliver", "finish", "effect", "settle",
    "dead_letter", "letter", "redrive", "commit", "fault", "heal", "erase", "recreate",
    "gauge"};

/// How it ended.
enum class Outcome : std::uint8_t {
  none,
  ok,
  failed,     ///< a publish: positively refused; a handler: in a way that may pass
  unknown,    ///< a publish: neither confirmed nor refused
  permanent,  ///< a handler: trying again cannot help
  duplicate,  ///< its key was completed before
  dropped,    ///< the user wrote so
  buried,     ///< it stands in a dead-letter topic
  returned,   ///< unhandled, back to the broker
};
inline constexpr std::array<std::string_view, 9> outcomes{
    "",        "ok",     "failed",  "unknown", "permanent", "duplicate", "dropped", "buried", "returned"};

/// One line. Views: of what it was made from.
struct Record {
  Kind kind = Kind::begin;
  std::int64_t at = 0;            ///< nanoseconds of CLOCK_MONOTONIC, which all processes share
  std::int64_t wall = 0;          ///< nanoseconds since 1970, for those who read logs beside it
  std::string_view process{};       ///< its role: "consumer-2"
  std::uint32_t incarnation = 0;  ///< grows each time the role is started
  Outcome outcome = Outcome::none;
  std::string_view id{};     ///< of the message
  std::string_view topic{};  ///< the one it was first published to
  std::string_view group{};
  std::string_view key{};
  std::uint64_t number = 0;   ///< of the message within its key; grows in call order, whoever publishes
  std::uint32_t attempt = 0;  ///< from 1, as the delivery says
  std::int32_t partition = 0;
  std::uint64_t major = 0;       ///< position; zero where a broker has none that lasts
  std::uint64_t minor = 0;       ///< its second half
  std::uint64_t generation = 0;  ///< of the partition in this process, as the delivery says
  std::uint64_t hash = 0;        ///< of payload, type and the user's headers; 0: not recorded
  std::uint64_t value = 0;
  std::string_view note{};  ///< an error's code, a fault's name, rules

  bool operator==(const Record&) const = default;
};

/// What is promised to a group, as a line of `join` has it: "order=strict idempotent attempts=5".
struct Rules {
  bool ordered = false;         ///< order=strict or order=parked
  bool parked = false;          ///< order=parked: what is parked is still waited for
  bool idempotent = false;      ///< no effect twice
  bool marked = false;          ///< the broker says when a message comes again
  bool keeps = false;           ///< nobody drops a message: what was dropped is lost
  bool once = false;            ///< the broker keeps one copy of a publish, however often it was sent
  std::uint32_t attempts = 0;   ///< in all; 0: not said
  std::int64_t max_age_ms = 0;  ///< no attempt later than this after the first failure; 0: not said
};

namespace detail {

template <class Number>
void add_number(std::string& line, Number number, int base = 10) {
  line += '\t';
  if (number == 0) return;
  std::array<char, 24> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number, base).ptr;
  line.append(digits.data(), end);
}

/// What would look like a separator, and control characters, become %XX.
inline void add_word(std::string& line, std::string_view word) {
  line += '\t';
  for (const char each : word) {
    const auto byte = static_cast<unsigned char>(each);
    if (byte >= 0x20 && byte != '%' && byte != 0x7f) {
      line += each;
    } else {
      constexpr std::string_view hex = "0123456789abcdef";
      line.append({'%', hex[byte >> 4], hex[byte & 15]});
    }
  }
}

/// Takes the fields of a line one after the other, and remembers whether all were right.
class Fields {
 public:
  /// Decoded words are kept in `decoded`.
  Fields(std::string_view line, std::string& decoded) : rest_{line}, decoded_{decoded} {
    decoded_.clear();
    decoded_.reserve(line.size());  // so that views of it stay valid
  }
  std::string_view next() {
    const std::size_t tab = rest_.find('\t');
    right_ = right_ && !over_;
    over_ = tab == std::string_view::npos;
    const std::string_view field = rest_.substr(0, tab);
    rest_ = over_ ? std::string_view{} : rest_.substr(tab + 1);
    return field;
  }
  template <class Number>
  void number(Number& to, int base = 10) {
    const std::string_view field = next();
    if (field.empty()) return;
    const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), to, base);
    right_ = right_ && error == std::errc{} && end == field.data() + field.size();
  }
  template <class Enum, std::size_t n>
  void one_of(const std::array<std::string_view, n>& names, Enum& to) {
    const std::string_view field = next();
    for (std::size_t i = 0; i < n; ++i) {
      if (names[i] == field) {
        to = static_cast<Enum>(i);
        return;
      }
    }
    right_ = false;
  }
  void word(std::string_view& to) {
    to = next();
    if (to.find('%') == std::string_view::npos) return;
    const std::size_t begin = decoded_.size();
    for (std::size_t i = 0; i < to.size(); ++i) {
      if (to[i] != '%') {
        decoded_ += to[i];
        continue;
      }
      unsigned byte = 0;
      const char* digits = to.data() + i + 1;
      if (i + 2 >= to.size() || std::from_chars(digits, digits + 2, byte, 16).ptr != digits + 2) {
        right_ = false;
        return;
      }
      decoded_ += static_cast<char>(byte);
      i += 2;
    }
    to = std::string_view{decoded_}.substr(begin);
  }
  bool right() const noexcept { return right_; }
  bool over() const noexcept { return over_; }

 private:
  std::string_view rest_;
  std::string& decoded_;
  bool right_ = true;
  bool over_ = false;
};

}  // namespace detail

/// Appends a record as a line.
inline void write_line(std::string& to, const Record& record) {
  to.append("\n").append(kinds[static_cast<std::size_t>(record.kind)]);
  detail::add_number(to, record.at);
  detail::add_number(to, record.wall);
  detail::add_word(to, record.process);
  detail::add_number(to, record.incarnation);
  detail::add_word(to, outcomes[static_cast<std::size_t>(record.outcome)]);
  detail::add_word(to, record.id);
  detail::add_word(to, record.topic);
  detail::add_word(to, record.group);
  detail::add_word(to, record.key);
  detail::add_number(to, record.number);
  detail::add_number(to, record.attempt);
  detail::add_number(to, record.partition);
  detail::add_number(to, record.major);
  detail::add_number(to, record.minor);
  detail::add_number(to, record.generation);
  detail::add_number(to, record.hash, 16);
  detail::add_number(to, record.value);
  detail::add_word(to, record.note);
  to.append("\t;\n");
}

/// A line whose writer was killed before it was through.
inline bool is_torn(std::string_view line) noexcept { return !line.ends_with("\t;"); }

/// Reads a line without its newlines; nullopt: it is torn, or no record. Lifetime: of the line, and until
/// `decoded` changes.
inline std::optional<Record> read_line(std::string_view line, std::string& decoded) {
  if (is_torn(line)) return std::nullopt;
  Record record;
  detail::Fields fields{line, decoded};
  fields.one_of(kinds, record.kind);
  fields.number(record.at);
  fields.number(record.wall);
  fields.word(record.process);
  fields.number(record.incarnation);
  fields.one_of(outcomes, record.outcome);
  fields.word(record.id);
  fields.word(record.topic);
  fields.word(record.group);
  fields.word(record.key);
  fields.number(record.number);
  fields.number(record.attempt);
  fields.number(record.partition);
  fields.number(record.major);
  fields.number(record.minor);
  fields.number(record.generation);
  fields.number(record.hash, 16);
  fields.number(record.value);
  fields.word(record.note);
  const bool ends = fields.next() == ";" && fields.over();
  if (!fields.right() || !ends) return std::nullopt;
  return record;
}

/// Reads the rules of a group; nullopt: there is a word it does not know.
inline std::optional<Rules> read_rules(std::string_view text) {
  Rules rules;
  while (!text.empty()) {
    const std::size_t space = text.find(' ');
    const std::string_view word = text.substr(0, space);
    text = space == std::string_view::npos ? std::string_view{} : text.substr(space + 1);
    const auto number = [word](std::string_view name, auto& to) {
      if (!word.starts_with(name)) return false;
      const char* end = word.data() + word.size();
      const auto read = std::from_chars(word.data() + name.size(), end, to);
      return read.ec == std::errc{} && read.ptr == end;
    };
    if (word == "order=strict") {
      rules.ordered = true;
    } else if (word == "order=parked") {
      rules.ordered = rules.parked = true;
    } else if (word == "idempotent") {
      rules.idempotent = true;
    } else if (word == "marked") {
      rules.marked = true;
    } else if (word == "keeps") {
      rules.keeps = true;
    } else if (word == "once") {
      rules.once = true;
    } else if (word != "order=relaxed" && !number("attempts=", rules.attempts) &&
               !number("max_age_ms=", rules.max_age_ms)) {
      return std::nullopt;
    }
  }
  return rules;
}

}  // namespace campaign
