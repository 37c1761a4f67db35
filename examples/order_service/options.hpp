// SPDX-License-Identifier: MIT
#pragma once

#include <fmt/format.h>

#include <charconv>
#include <cstdint>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "gateway.hpp"

// What the order service may be told on its command line.

namespace shop {

struct Options {
  std::string backend = "memory";
  std::string endpoint;
  std::string events;
  std::string order;
  std::string diagram = "order.mmd";
  std::size_t concurrency = 4;
  std::size_t duplicates = 50;
  GatewayOptions gateway;
  bool json = false;
  bool help = false;
};

inline constexpr std::string_view usage =
    R"(The order service: reads order events, charges what was paid, follows every order's state.

  --events FILE      order events, one JSON object a line
  --backend NAME     where the events travel (default: memory)
  --endpoint URL     where that backend is, for one that needs a server
  --file FILE        where that backend keeps them, for sqlite
  --order ID         whose life the diagram shows (default: an order that had a retry)
  --diagram FILE     where the Mermaid sequence diagram goes (default: order.mmd)
  --concurrency N    handlers of each group that run at once (default: 4)
  --fail-rate P      how often the payment gateway is busy, 0 to 1 (default: 0.2)
  --decline-rate P   how many orders' cards are declined, 0 to 1 (default: 0.02)
  --seed N           what the gateway's moods depend on (default: 4)
  --duplicates N     publish every Nth event twice, 0: none (default: 50)
  --json             print the totals as JSON
  --help             print this
)";

/// Reads a number from `least` to `most`. Errors: throws std::invalid_argument.
template <class T>
T parse_number(std::string_view option, std::string_view text, T least, T most) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() ||
      !(value >= least && value <= most)) {
    throw std::invalid_argument{
        fmt::format("{} takes a number from {} to {}, not \"{}\"", option, least, most, text)};
  }
  return value;
}

/// Reads the command line. Errors: throws std::invalid_argument that says what to write instead.
inline Options parse_options(const std::vector<std::string_view>& arguments) {
  Options options;
  using Setter = std::function<void(std::string_view option, std::string_view value)>;
  const auto text = [](std::string& target) -> Setter {
    return [&target](auto, std::string_view value) { target = value; };
  };
  const auto number = [](auto& target, auto least, auto most) -> Setter {
    return [&target, least, most](auto option, auto value) {
      using T = std::remove_reference_t<decltype(target)>;
      target = parse_number<T>(option, value, least, most);
    };
  };
  const std::map<std::string_view, Setter> with_value{
      {"--events", text(options.events)},
      {"--backend", text(options.backend)},
      {"--endpoint", text(options.endpoint)},
      {"--file", text(options.endpoint)},
      {"--order", text(options.order)},
      {"--diagram", text(options.diagram)},
      {"--concurrency", number(options.concurrency, 1u, 1024u)},
      {"--duplicates", number(options.duplicates, 0u, 1'000'000'000u)},
      {"--seed", number(options.gateway.seed, 0u, UINT64_MAX)},
      {"--fail-rate", number(options.gateway.fail_rate, 0.0, 1.0)},
      {"--decline-rate", number(options.gateway.decline_rate, 0.0, 1.0)},
  };
  const std::map<std::string_view, bool*> switches{
      {"--json", &options.json}, {"--help", &options.help}, {"-h", &options.help}};

  for (auto at = arguments.begin(); at != arguments.end(); ++at) {
    if (const auto found = switches.find(*at); found != switches.end()) {
      *found->second = true;
    } else if (const auto setter = with_value.find(*at); setter == with_value.end()) {
      throw std::invalid_argument{fmt::format("there is no option \"{}\"; see --help", *at)};
    } else if (at + 1 == arguments.end()) {
      throw std::invalid_argument{fmt::format("{} needs a value; see --help", *at)};
    } else {
      ++at;
      setter->second(setter->first, *at);
    }
  }
  if (!options.help && options.events.empty()) {
    throw std::invalid_argument{"which events? Write --events FILE, or see --help"};
  }
  return options;
}

}  // namespace shop
