// SPDX-License-Identifier: MIT
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <string>
#include <string_view>

#include "journal.hpp"

// One order's real run as a Mermaid sequence diagram. GitHub and most editors show it.

namespace shop {

/// Text as it may stand in a Mermaid message: no character that ends or changes it.
inline std::string mermaid_text(std::string_view text) {
  std::string safe;
  for (const char c : text) {
    if (c == '#' || c == ';' || c == '<' || c == '>') {
      safe += fmt::format("#{};", static_cast<int>(c));
    } else {
      safe += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
    }
  }
  return safe;
}

/// The diagram of one order. A pure function of its story.
inline std::string sequence_diagram(std::string_view order, const Story& story,
                                    std::string_view backend) {
  std::string text = fmt::format(
      "---\n"
      "title: order {}\n"
      "---\n"
      "sequenceDiagram\n"
      "  autonumber\n"
      "  participant shop\n"
      "  participant orders as orders ({})\n"
      "  participant billing\n"
      "  participant states\n"
      "  participant dead as orders.dlq\n",
      mermaid_text(order), backend);
  const auto line = [&text](std::string_view from, std::string_view arrow, std::string_view to,
                            std::string_view what) {
    text += fmt::format("  {}{}{}: {}\n", from, arrow, to, mermaid_text(what));
  };
  for (const auto& [what, group, type, attempt, why, wait] : story) {
    const auto nth = attempt > 1 ? fmt::format("{}, attempt {}", type, attempt) : type;
    switch (what) {
      case Happening::What::published:
        line("shop", "->>", "orders", "publish " + type);
        break;
      case Happening::What::delivered:
        line("orders", "->>", group, "deliver " + nth);
        break;
      case Happening::What::handled:
        line(group, "-->>", "orders", "acknowledge " + type);
        break;
      case Happening::What::retrying:
        line(group, "-x", group, fmt::format("fail: {}", why));
        text += fmt::format("  Note over {}: retry in {:.1f} ms\n", group,
                            static_cast<double>(wait.count()) / 1000);
        break;
      case Happening::What::dead_lettered:
        line(group, "-x", group, fmt::format("fail: {}", why));
        line(group, "->>", "dead", "dead-letter " + type);
        line(group, "-->>", "orders", "acknowledge " + type);
        break;
      case Happening::What::duplicate:
        text += fmt::format("  Note over {}: {} is a duplicate, suppressed\n", group,
                            mermaid_text(type));
        line(group, "-->>", "orders", "acknowledge " + type);
        break;
    }
  }
  return text;
}

}  // namespace shop
