// SPDX-License-Identifier: MIT
// The whole life cycle as a table: every state, every event, and what must be said.
#include "life_cycle.hpp"

#include <chrono>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>

#include "time.hpp"

namespace {

using shop::State;
int failures = 0;

void expect(std::string_view what, const std::string& is, std::string_view expected) {
  if (is == expected) return;
  std::cout << what << ": \"" << is << "\" instead of \"" << expected << "\"\n";
  ++failures;
}

struct Row {
  State from;
  // to: placed, paid, shipped, delivered, canceled, unavailable; empty when it may
  std::string_view says[6];
};

constexpr Row table[] = {
    {State::none,
     {"", "paid before it was placed", "shipped before it was placed",
      "delivered before it was placed", "canceled before it was placed",
      "unavailable before it was placed"}},
    {State::placed,
     {"placed twice", "", "shipped before it was paid", "delivered before it was shipped", "", ""}},
    {State::paid,
     {"placed after it was paid", "paid twice", "", "delivered before it was shipped", "", ""}},
    {State::shipped,
     {"placed after it was shipped", "paid after it was shipped", "shipped twice", "", "",
      "unavailable after it was shipped"}},
    {State::delivered,
     {"placed after it was delivered", "paid after it was delivered",
      "shipped after it was delivered", "delivered twice", "canceled after it was delivered",
      "unavailable after it was delivered"}},
    {State::canceled,
     {"placed after it was canceled", "paid after it was canceled", "shipped after it was canceled",
      "delivered after it was canceled", "canceled twice", "unavailable after it was canceled"}},
    {State::unavailable,
     {"placed after it was unavailable", "paid after it was unavailable",
      "shipped after it was unavailable", "delivered after it was unavailable",
      "canceled after it was unavailable", "unavailable twice"}},
};

void check_table() {
  for (const Row& row : table) {
    int to = 1;
    for (const std::string_view says : row.says) {
      const auto target = static_cast<State>(to++);
      expect(to_string(row.from), contradiction({row.from, {}}, target, {}).value_or(""), says);
    }
  }
}

void check_times() {
  using namespace std::chrono_literals;
  const shop::Time noon = *shop::parse_time("2024-03-01T12:00:00Z");
  expect("same time", contradiction({State::placed, noon}, State::paid, noon).value_or(""), "");
  expect("earlier", contradiction({State::placed, noon}, State::paid, noon - 1s).value_or(""),
         "paid at a time before the event it follows");

  expect("a time", std::to_string(noon.time_since_epoch().count()), "1709294400");
  expect("a leap day", shop::parse_time("2024-02-29T00:00:00Z") ? "yes" : "no", "yes");
  for (const std::string_view wrong :
       {"", "yesterday", "2023-02-29T00:00:00Z", "2024-13-01T00:00:00Z", "2024-03-01T24:00:00Z",
        "2024-03-01T12:00:60Z", "2024-03-01 12:00:00Z", "2024-03-01T12:00:00+01:00"}) {
    expect(wrong, shop::parse_time(wrong) ? "a time" : "no time", "no time");
  }
}

}  // namespace

int main() {
  check_table();
  check_times();
  return failures;
}
