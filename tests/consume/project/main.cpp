// SPDX-License-Identifier: MIT
#include <cstdio>
#include <stdexcept>
#include <string>

#include "greeting.hpp"

#ifdef WITH_fmt
#include <omnibus/format.hpp>
#endif

#ifdef WITH_rabbitmq
#include <omnibus/backends/rabbitmq.hpp>

// Here and in the other translation unit, so that what the header defines is defined twice.
bool rabbitmq_refuses_nonsense() {
  try {
    omnibus::EventBus<omnibus::RabbitMq> bus{{.endpoint = "nonsense"}};
    return false;
  } catch (const std::invalid_argument&) {
    return true;
  }
}
#endif

// Subscribes here, publishes in the other translation unit, and ends well if the greeting arrives.
int main() {
#ifdef WITH_rabbitmq
  if (!rabbitmq_refuses_nonsense()) return 1;
#endif
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
