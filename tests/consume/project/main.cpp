// SPDX-License-Identifier: MIT
#include <cstdio>
#include <string>

#include "greeting.hpp"

#ifdef WITH_fmt
#include <omnibus/format.hpp>
#endif

// Subscribes here, publishes in the other translation unit, and ends well if the greeting arrives.
int main() {
  Bus bus{{.group = "consumer"}};
  std::string heard;
  const auto listen = [&](const std::string& text) {
    heard = text;
    bus.stop();
  };
  auto subscription = bus.subscribe("greetings", listen | omnibus::retry() |
                                                     omnibus::dead_letter("greetings.dead"));
  greet(bus);
  if (omnibus::Result<> ended = bus.run(); !ended) {
#ifdef WITH_fmt
    std::puts(fmt::format("{}", ended.error()).c_str());
#else
    std::puts(ended.error().message().c_str());
#endif
    return 1;
  }
  std::printf("heard %s\n", heard.c_str());
  return heard == R"({"text":"hello"})" ? 0 : 1;
}
