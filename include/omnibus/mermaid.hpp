// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <omnibus/error.hpp>
#include <omnibus/time.hpp>

// What happened to a message, as a sequence diagram in Mermaid's language. A pure function.

namespace omnibus {

/// One thing that happened to a message.
struct Transition {
  enum class Kind : std::uint8_t {
    published,  ///< the broker holds it
    not_published,
    delivered,
    handled,
    retrying,
    dead_lettered,
    dropped,
    duplicate,
    given_back,
    out_of_sequence,
  };
  Kind kind = Kind::published;
  std::string topic;
  std::string group;              ///< of the subscription; empty when published, and for readers
  std::uint32_t attempt = 0;      ///< where it was delivered
  std::string dead_letter_topic;  ///< where it was dead-lettered
  Errc code = Errc::internal;     ///< of what went wrong, and why; else not looked at
  std::string why;
  Duration again_after{};  ///< where it is tried again
};

namespace detail {

/// Text that Mermaid shows as it is. Letters, digits, spaces and what is harmless stand for themselves,
/// line breaks become spaces, and everything else, so `;`, `#`, `:`, `%`, `<` and quotes, becomes an entity
/// code. Bytes of UTF-8 stay.
inline void append_mermaid_text(std::string& out, std::string_view text) {
  constexpr std::string_view harmless = " .,_-/()'=";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       byte >= 0x80 || harmless.find(c) != std::string_view::npos;
    if (plain) {
      out += c;
    } else if (byte < ' ' || byte == 0x7f) {
      out += ' ';
    } else {
      out.append("#").append(std::to_string(byte)).append(";");
    }
  }
}

/// "15 s", "100 ms" or "20 us".
inline std::string rough_text(Duration duration) {
  using namespace std::chrono;
  const auto in = [duration](auto unit, const char* name) {
    return std::to_string(duration / unit).append(name);
  };
  if (duration >= seconds{10}) return in(seconds{1}, " s");
  return duration >= milliseconds{1} ? in(milliseconds{1}, " ms") : in(microseconds{1}, " us");
}

/// The lines of a diagram, and who takes part, in the order of appearance.
class MermaidDiagram {
 public:
  void draw(const Transition& step) {
    using Kind = Transition::Kind;
    const auto attempt = [&step] { return "attempt " + std::to_string(step.attempt); };
    switch (step.kind) {
      case Kind::published: return arrow({producer(), topic(step)}, "->>", "publish");
      case Kind::not_published:
        return arrow({producer(), topic(step)}, "-x",
                     step.code == Errc::outcome_unknown ? "publish, ending unknown" : failed("publish", step),
                     step.why);
      case Kind::delivered: return arrow({topic(step), group(step)}, "->>", attempt());
      case Kind::handled: return arrow({group(step), topic(step)}, "-->>", "handled");
      case Kind::retrying:
        return arrow({group(step), topic(step)}, "--x",
                     failed(attempt(), step) + ", again in " + rough_text(step.again_after), step.why);
      case Kind::dead_lettered:
        return arrow({group(step), participant("topic ", step.dead_letter_topic)}, "->>",
                     failed("dead letter", step), step.why);
      case Kind::dropped: return arrow({group(step), topic(step)}, "-->>", "dropped by a stage");
      case Kind::duplicate:
        return arrow({group(step), topic(step)}, "-->>", "duplicate, not handled again");
      case Kind::given_back: return arrow({group(step), topic(step)}, "-->>", "given back unhandled");
      case Kind::out_of_sequence: return line("Note over " + group(step) + ": out of sequence", step.why);
    }
  }

  std::string text() const {
    std::string all = "sequenceDiagram\n";
    for (std::size_t i = 0; i < participants_.size(); ++i) {
      all.append("    participant ").append(name(i)).append(" as ").append(participants_[i]).append("\n");
    }
    return all.append(lines_);
  }

 private:
  static std::string name(std::size_t index) { return "p" + std::to_string(index + 1); }

  std::string participant(std::string_view what, std::string_view who) {
    std::string label{what};
    append_mermaid_text(label, who);
    std::size_t index = 0;
    while (index < participants_.size() && participants_[index] != label) ++index;
    if (index == participants_.size()) participants_.push_back(std::move(label));
    return name(index);
  }
  std::string producer() { return participant("producer", {}); }
  std::string topic(const Transition& step) { return participant("topic ", step.topic); }
  std::string group(const Transition& step) {
    return step.group.empty() ? participant("reader", {}) : participant("group ", step.group);
  }
  static std::string failed(std::string what, const Transition& step) {
    return what.append(" (").append(to_string(step.code)).append(")");
  }

  struct Ends {  // initialised from left to right, so that `from` appears first
    std::string from;
    std::string to;
  };
  void arrow(const Ends& ends, std::string_view how, std::string_view text, std::string_view why = {}) {
    line(std::string{ends.from}.append(how).append(ends.to).append(": ").append(text), why);
  }
  void line(std::string_view text, std::string_view why) {
    lines_.append("    ").append(text);
    if (!why.empty()) append_mermaid_text(lines_.append(", "), why);
    lines_ += '\n';
  }

  std::vector<std::string> participants_;
  std::string lines_;
};

/// Puts what was heard late where it belongs: nothing is delivered from a topic before it was published
/// there, but a publish is told when its ending is known.
inline void publish_first(std::vector<Transition>& steps) {
  for (std::size_t i = 0; i < steps.size(); ++i) {
    if (steps[i].kind != Transition::Kind::published) continue;
    std::size_t first = 0;  // of the same topic
    while (steps[first].topic != steps[i].topic) ++first;
    if (steps[first].kind == Transition::Kind::published) continue;
    Transition late = std::move(steps[i]);
    for (std::size_t k = i; k > first; --k) steps[k] = std::move(steps[k - 1]);
    steps[first] = std::move(late);
  }
}

}  // namespace detail

/// The sequence diagram of what happened to one message, in this order, but for publishes that were told
/// after the delivery: producer, topics and groups, attempts, errors, the dead letter. It can be put into
/// Markdown as a ```mermaid block. Empty when nothing happened.
inline std::string mermaid_of(std::vector<Transition> steps) {
  if (steps.empty()) return {};
  detail::publish_first(steps);
  detail::MermaidDiagram diagram;
  for (const Transition& step : steps) diagram.draw(step);
  return diagram.text();
}

}  // namespace omnibus
