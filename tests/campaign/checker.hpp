// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iomanip>
#include <ostream>
#include <string>
#include <tuple>
#include <utility>

#include "deliveries.hpp"
#include "known.hpp"
#include "publishes.hpp"
#include "report.hpp"
#include "running.hpp"
#include "settling.hpp"
#include "timeline.hpp"

// Holds a history against the properties. Time and memory are linear in its events.

namespace campaign {

namespace detail {

inline void count(const Event& event, const Known& known, Totals& totals) {
  ++totals.events;
  totals.faults += event.kind == Kind::fault;
  totals.effects += event.kind == Kind::effect;
  if (event.kind != Kind::deliver) return;
  ++totals.deliveries;
  totals.redelivered += known.copy_of(event).delivered;
}

inline void count_messages(const Known& known, Totals& totals) {
  for (std::uint32_t i = 0; i < known.messages.size(); ++i) {
    const MessageFacts& message = known.messages[i];
    if (message.publishes == 0) continue;
    ++totals.published;
    if (message.ok > 0) {
      ++totals.ok;
    } else if (message.failed == message.publishes) {
      ++totals.failed;
    } else {
      ++totals.unknown;
      bool processed = false;
      for (const std::uint32_t reader : known.timeline.readers_of(i)) {
        processed |= known.copy_of(i, reader).processed();
      }
      totals.recovered += processed;
    }
  }
}

}  // namespace detail

/// Judges a timeline that has been arranged. A pure function.
inline Report check(const Timeline& timeline, const Limits& limits = {}) {
  Report report;
  Known known{timeline};
  std::tuple judges{NoLostPublish{known}, NoPhantom{known},        NoAbortedRead{known},
                        Integrity{known},     FlaggedDuplicate{known}, EffectOnce{known},
                        KeyOrder{known},      ContiguousCommit{known}, SettledLast{known},
                        DeadLetters{known},   Answered{known, limits}, OnePosition{known},
                        NoSkip{known},        Liveness{known, limits}, Bounds{known},
                        RetryDiscipline{known}};
  timeline.replay([&](const Event& event) {
    detail::count(event, known, report.totals);
    std::apply([&](auto&... each) { (each.see(event, report), ...); }, judges);
    known.see(event);
  });
  std::apply([&](auto&... each) { (each.finish(report), ...); }, judges);
  detail::count_messages(known, report.totals);
  return report;
}

/// What has to have happened at least, so that a history proves anything.
struct Least {
  std::uint64_t published = 1;
  std::uint64_t faults = 0;
  std::uint64_t redelivered = 0;
};

/// Why a history proves nothing; empty: it does.
inline std::string why_invalid(const Timeline& timeline, const Report& report, const Least& least = {}) {
  const Totals& totals = report.totals;
  if (timeline.malformed > 0) {
    return std::to_string(timeline.malformed) + " lines are no records, such as: " + timeline.first_malformed;
  }
  const auto too_few = [](std::uint64_t found, std::uint64_t wanted, const char* what) {
    if (found >= wanted) return std::string{};
    return "there are " + std::to_string(found) + what + ", where " + std::to_string(wanted) + " are wanted";
  };
  std::string why = too_few(totals.published, least.published, " messages");
  if (why.empty()) why = too_few(totals.faults, least.faults, " faults");
  if (why.empty()) why = too_few(totals.redelivered, least.redelivered, " redeliveries");
  return why;
}

/// Prints what has happened, and each property: how often it was judged, and what was wrong.
inline void print(std::ostream& to, const Timeline& timeline, const Report& report) {
  const Totals& totals = report.totals;
  const auto line = [&to](std::string_view name, auto value) {
    to << "  " << std::left << std::setw(28) << name << std::right << std::setw(12) << value << '\n';
  };
  line("events", totals.events);
  line("processes", timeline.processes.size());
  line("lines torn by a kill", timeline.torn);
  line("faults", totals.faults);
  line("published", totals.published);
  line("  ok", totals.ok);
  line("  failed", totals.failed);
  line("  unknown", totals.unknown);
  line("  unknown, and came", totals.recovered);
  line("attempts", totals.deliveries);
  line("  of what had come before", totals.redelivered);
  line("effects", totals.effects);
  line("dead letters", totals.letters);
  line("lost", totals.lost);
  line("duplicated effects", totals.duplicated);
  line("out of order", totals.disordered);
  line("  not counted: unknown", totals.late_unknown);
  line("slowest recovery, ms", totals.slowest_recovery / 1'000'000);
  to << '\n';
  for (std::size_t i = 0; i < properties.size(); ++i) {
    const Finding& found = report[static_cast<Property>(i)];
    to << "  " << std::left << std::setw(22) << properties[i].name;
    if (found.violations > 0) {
      to << "VIOLATED " << found.violations << " times: " << properties[i].words << '\n';
    } else if (found.judged > 0) {
      to << "holds, " << found.judged << " judged\n";
    } else {
      to << "not judged; needs " << properties[i].needs << '\n';
    }
    for (const std::string& example : found.examples) to << "      " << example << '\n';
  }
}

}  // namespace campaign
