// SPDX-License-Identifier: MIT
#include "greeting.hpp"

#ifdef WITH_json
#include <omnibus/codec/json.hpp>
#endif

#ifdef WITH_rabbitmq
#include <omnibus/backends/rabbitmq.hpp>
#endif

void greet(Bus& bus) {
#ifdef WITH_json
  bus.publish("greetings", nlohmann::json{{"text", "hello"}}).value();
#else
  bus.publish("greetings", R"({"text":"hello"})").value();
#endif
}
