// SPDX-License-Identifier: MIT
#pragma once

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dead_letter_desk.hpp"
#include "feed.hpp"
#include "gateway.hpp"
#include "journal.hpp"
#include "life_cycle.hpp"

// What the service shows: progress while it runs, tables or JSON at the end.

namespace shop {

/// All that is known at the end of a run.
struct Report {
  std::string backend;
  FeedTotals feed;
  std::chrono::duration<double> took{};
  std::map<State, std::size_t> orders;
  Gateway::Totals payments;
  std::map<Cause, Letters> dead_letters;
  std::vector<std::pair<std::string, Endings>> groups;

  /// Every message that was published has ended once in each group, and every dead letter was read.
  bool adds_up() const {
    std::uint64_t buried = 0, read = 0;
    for (const auto& [name, endings] : groups) buried += endings.dead_lettered;
    for (const auto& [cause, letters] : dead_letters) read += letters.events + letters.again;
    return read == buried && std::all_of(groups.begin(), groups.end(), [this](const auto& group) {
             return group.second.sum() == feed.published;
           });
  }
};

/// 1234567 as "1,234,567".
inline std::string grouped(std::uint64_t number) {
  return fmt::format("{}", fmt::group_digits(number));
}

/// Text from outside as one line: no control characters, and not too long.
inline std::string printable(std::string_view text) {
  std::string line{text.substr(0, 200)};
  std::replace_if(
      line.begin(), line.end(), [](unsigned char c) { return c < ' ' || c == 0x7f; }, '?');
  return line;
}

inline std::string money(Cents cents) {
  return fmt::format("{}.{:02}", grouped(static_cast<std::uint64_t>(cents / 100)), cents % 100);
}

inline void print_tables(const Report& report) {
  const auto heading = [](std::string_view text) {
    fmt::print("\n{}\n", text);
    for (std::size_t i = 0; i < text.size(); ++i) fmt::print("─");
    fmt::print("\n");
  };
  const auto& feed = report.feed;
  std::size_t orders = 0, most = 1;
  for (const auto& [state, count] : report.orders) {
    orders += count;
    most = std::max(most, count);
  }
  fmt::print("The order service on {}: {} events of {} orders\n", report.backend,
             grouped(feed.events), grouped(orders));
  if (!feed.bad.empty()) fmt::print("{} lines were left out\n", grouped(feed.bad.size()));

  heading("Orders by state");
  for (const auto& [state, count] : report.orders) {
    fmt::print("  {:<12}{:>9}  ", to_string(state), grouped(count));
    for (std::size_t i = 0; i < (count * 40 + most - 1) / most; ++i) fmt::print("█");
    fmt::print("\n");
  }

  heading("Payments");
  const auto& paid = report.payments;
  fmt::print("  {:<12}{:>9}  {:>14}\n", "to charge", grouped(paid.asked), money(paid.asked_cents));
  fmt::print("  {:<12}{:>9}  {:>14}\n", "charged", grouped(paid.charged),
             money(paid.charged_cents));
  fmt::print("  {:<12}{:>9}\n", "declined", grouped(paid.declined));
  fmt::print("  {:<12}{:>9}\n", "gave up", grouped(paid.unsettled));

  heading("Dead letters");
  if (report.dead_letters.empty()) fmt::print("  none\n");
  for (const auto& [cause, letters] : report.dead_letters) {
    fmt::print("  {:>7}  {:<8} {:<18} {}\n", grouped(letters.events), cause.group,
               printable(cause.type), printable(cause.reason));
    if (!letters.example.empty()) fmt::print("{:>37}such as {}\n", "", printable(letters.example));
    if (letters.again > 0) fmt::print("{:>37}and again when sent twice: {}\n", "", letters.again);
  }

  heading("Every message accounted for");
  fmt::print("  {:<8}{:>10}{:>17}{:>14}{:>13}{:>10}\n", "group", "handled", "+ dead letters",
             "+ duplicates", "= published", "retries");
  for (const auto& [name, endings] : report.groups) {
    fmt::print("  {:<8}{:>10}{:>17}{:>14}{:>3}{:>10}{:>10}\n", name, grouped(endings.handled),
               grouped(endings.dead_lettered), grouped(endings.duplicates),
               endings.sum() == feed.published ? "=" : "≠", grouped(feed.published),
               grouped(endings.retries));
  }
  const double rate = static_cast<double>(feed.published) / std::max(report.took.count(), 1e-9);
  fmt::print("\n  {} messages, {} of them sent twice, to {} groups in {:.2f} s: {} a second\n",
             grouped(feed.published), grouped(feed.resent), report.groups.size(),
             report.took.count(), grouped(static_cast<std::uint64_t>(rate)));
}

inline void print_json(const Report& report) {
  nlohmann::json json;
  json["backend"] = report.backend;
  json["lines"] = report.feed.lines;
  json["events"] = report.feed.events;
  json["resent"] = report.feed.resent;
  json["published"] = report.feed.published;
  json["seconds"] = report.took.count();
  json["bad_lines"] = nlohmann::json::array();
  for (const BadLine& bad : report.feed.bad) json["bad_lines"].push_back(bad.number);
  json["orders"] = nlohmann::json::object();
  for (const auto& [state, count] : report.orders) json["orders"][to_string(state).data()] = count;
  const auto& paid = report.payments;
  json["payments"] = {{"asked", paid.asked},       {"asked_cents", paid.asked_cents},
                      {"charged", paid.charged},   {"charged_cents", paid.charged_cents},
                      {"declined", paid.declined}, {"unsettled", paid.unsettled},
                      {"busy", paid.busy}};
  json["dead_letters"] = nlohmann::json::array();
  for (const auto& [cause, letters] : report.dead_letters) {
    json["dead_letters"].push_back({{"group", cause.group},
                                    {"type", cause.type},
                                    {"code", cause.code},
                                    {"reason", cause.reason},
                                    {"events", letters.events},
                                    {"again", letters.again}});
  }
  for (const auto& [name, endings] : report.groups) {
    json["groups"][name] = {{"handled", endings.handled},
                            {"dead_lettered", endings.dead_lettered},
                            {"duplicates", endings.duplicates},
                            {"retries", endings.retries}};
  }
  json["adds_up"] = report.adds_up();
  fmt::print("{}\n", json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
}

/// One line on stderr: rewritten in place on a terminal, now and then elsewhere.
/// Thread safety: all members may be called from any thread.
class Progress {
 public:
  /// Shows how far it is, but no more often than is pleasant.
  void show(std::uint64_t published, std::uint64_t billing, std::uint64_t states) {
    std::lock_guard lock{mutex_};
    line_ = fmt::format("published {}, billing {}, states {}", grouped(published), grouped(billing),
                        grouped(states));
    if (std::chrono::steady_clock::now() < next_) return;
    next_ = std::chrono::steady_clock::now() + interval_;
    print();
  }
  /// Says something else; progress goes on below it.
  void say(std::string_view text) {
    std::lock_guard lock{mutex_};
    fmt::print(stderr, "{}{}\n", clear_, printable(text));
  }
  /// Shows the last of it.
  void finish() {
    std::lock_guard lock{mutex_};
    print();
    if (terminal_) fmt::print(stderr, "\n");
  }

 private:
  void print() const { fmt::print(stderr, "{}{}{}", clear_, line_, terminal_ ? "" : "\n"); }

  const bool terminal_ = isatty(STDERR_FILENO) != 0;
  const std::string_view clear_ = terminal_ ? "\r\x1b[K" : "";
  const std::chrono::milliseconds interval_{terminal_ ? 50 : 2000};
  std::mutex mutex_;
  std::chrono::steady_clock::time_point next_ = std::chrono::steady_clock::now() + interval_;
  std::string line_;
};

}  // namespace shop
