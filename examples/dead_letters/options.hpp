// SPDX-License-Identifier: MIT
#pragma once

#include <charconv>
#include <cstddef>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

// What the dead-letter tool may be told on its command line.

namespace letters {

struct Options {
  std::string command;
  std::string backend = "memory";
  std::string endpoint;
  std::string topic = "orders.dlq";
  std::string id;
  std::string key;
  double rate = 0;
  std::size_t limit = 0;
  std::size_t demo = 0;
  bool all = false;
  bool help = false;
};

inline constexpr std::string_view usage = R"(dead_letters COMMAND [options]: what to do with dead letters.

  list                what stands there (--limit N: the first N)
  count               how many, by reason
  show --id ID        all of one letter
  redrive             publish again to where it came from: --id ID, --key KEY or --all
  discard             throw away: --id ID, --key KEY or --all
  tour                all of that, one after the other, on letters of its own

  --topic TOPIC       the dead-letter topic (default: orders.dlq)
  --backend NAME      memory, rabbitmq, kafka or redis (default: memory)
  --endpoint URL      where that backend is
  --rate N            redrive or discard at most N a second
  --limit N           and at most N in all
  --demo N            first let a handler fail on N orders, so that there is something to see
  --help              print this

Ctrl-C ends a redrive early; nothing is lost, and the same command goes on where it was.
)";

/// Reads the command line. Errors: throws std::invalid_argument that says what is wrong.
inline Options parse_options(const std::vector<std::string_view>& arguments) {
  Options options;
  using Setter = std::function<void(std::string_view)>;
  const auto text = [](std::string& target) -> Setter {
    return [&target](std::string_view value) { target = value; };
  };
  const auto number = [](auto& target) -> Setter {
    return [&target](std::string_view value) {
      const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), target);
      if (error != std::errc{} || end != value.data() + value.size()) {
        throw std::invalid_argument{"\"" + std::string{value} + "\" is no number"};
      }
    };
  };
  const std::map<std::string_view, Setter> with_value{
      {"--topic", text(options.topic)},       {"--backend", text(options.backend)},
      {"--endpoint", text(options.endpoint)}, {"--id", text(options.id)},
      {"--key", text(options.key)},           {"--rate", number(options.rate)},
      {"--limit", number(options.limit)},     {"--demo", number(options.demo)},
  };
  const std::map<std::string_view, bool*> switches{{"--all", &options.all}, {"--help", &options.help}};
  for (auto at = arguments.begin(); at != arguments.end(); ++at) {
    if (const auto found = switches.find(*at); found != switches.end()) {
      *found->second = true;
    } else if (const auto setter = with_value.find(*at); setter != with_value.end()) {
      if (++at == arguments.end()) throw std::invalid_argument{"the last option needs a value"};
      setter->second(*at);
    } else if (options.command.empty() && !at->starts_with("-")) {
      options.command = *at;
    } else {
      throw std::invalid_argument{"there is no option \"" + std::string{*at} + "\"; see --help"};
    }
  }
  const int chosen = !options.id.empty() + !options.key.empty() + options.all;
  const bool acts = options.command == "redrive" || options.command == "discard";
  if (acts && chosen != 1) throw std::invalid_argument{"which letters? --id ID, --key KEY or --all"};
  if (options.command == "show" && options.id.empty()) throw std::invalid_argument{"show needs --id"};
  return options;
}

}  // namespace letters
