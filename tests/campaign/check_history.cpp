// SPDX-License-Identifier: MIT
#include <exception>
#include <fstream>
#include <iostream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "checker.hpp"

// Judges histories that recorders have written. Ends with 0 when all properties hold, 1 when one is
// violated, 2 when none is but the histories prove nothing, or cannot be read.

namespace {

constexpr std::string_view usage =
    "usage: check_history [--recovery MS] [--stall MS] [--answer MS]\n"
    "                     [--published N] [--faults N] [--redelivered N]\n"
    "                     [--secrets FILE] [--log FILE]... HISTORY...\n"
    "  --recovery  from healing to the first publish that is ok (2000)\n"
    "  --stall     without progress, while there is a backlog and no fault (30000)\n"
    "  --answer    that a publish may end after its deadline (100)\n"
    "  --published, --faults, --redelivered  with fewer of them a history proves nothing (1, 0, 0)\n"
    "  --secrets   a file with one secret a line, which must not stand in any --log\n";

std::string contents(const std::string& path) {
  std::ifstream file{path, std::ios::binary};
  if (!file) throw std::runtime_error{"cannot read " + path};
  return {std::istreambuf_iterator<char>{file}, {}};
}

struct Arguments {
  campaign::Limits limits;
  campaign::Least least;
  std::vector<std::string> histories;
  std::vector<std::string> logs;
  std::vector<std::string> secrets;
};

Arguments arguments(const std::vector<std::string>& words) {
  Arguments made;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    const auto next = [&] {
      if (++i == words.size()) throw std::invalid_argument{word + " needs a value"};
      return words[i];
    };
    const auto milliseconds = [&] { return std::stoll(next()) * 1'000'000; };
    const auto number = [&] { return std::stoull(next()); };
    if (word == "--recovery") {
      made.limits.recovery = milliseconds();
    } else if (word == "--stall") {
      made.limits.stall = milliseconds();
    } else if (word == "--answer") {
      made.limits.answer = milliseconds();
    } else if (word == "--published") {
      made.least.published = number();
    } else if (word == "--faults") {
      made.least.faults = number();
    } else if (word == "--redelivered") {
      made.least.redelivered = number();
    } else if (word == "--log") {
      made.logs.push_back(next());
    } else if (word == "--secrets") {
      std::ifstream file{next()};
      if (!file) throw std::runtime_error{"cannot read " + words[i]};
      for (std::string line; std::getline(file, line);) made.secrets.push_back(line);
    } else if (word.starts_with("--")) {
      throw std::invalid_argument{"there is no option " + word};
    } else {
      made.histories.push_back(word);
    }
  }
  if (made.histories.empty()) throw std::invalid_argument{"a history is needed"};
  if (made.logs.empty() != made.secrets.empty()) {
    throw std::invalid_argument{"--secrets and --log need each other"};
  }
  return made;
}

}  // namespace

int main(int count, char** words) {
  try {
    const Arguments given = arguments({words + 1, words + count});
    campaign::Timeline timeline;
    for (const std::string& path : given.histories) timeline.add_file(path);
    timeline.arrange();
    campaign::Report report = campaign::check(timeline, given.limits);
    for (const std::string& path : given.logs) {
      campaign::find_secrets(path, contents(path), given.secrets, report);
    }
    campaign::print(std::cout, timeline, report);
    const std::string why = campaign::why_invalid(timeline, report, given.least);
    if (!why.empty()) std::cout << "\n  PROVES NOTHING: " << why << '\n';
    if (report.violations() > 0) return 1;
    return why.empty() ? 0 : 2;
  } catch (const std::exception& error) {
    std::cerr << "check_history: " << error.what() << '\n' << usage;
    return 2;
  }
}
