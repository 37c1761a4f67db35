// SPDX-License-Identifier: MIT
// One bus inside this process, one handler, one message.
#include <iostream>
#include <omnibus/omnibus.hpp>
#include <string>

namespace ob = omnibus;

int main() {
  ob::EventBus<ob::Memory> bus;
  auto greeter = bus.subscribe("greetings", [&bus](const std::string& text) {
    std::cout << "heard: " << text << '\n';
    bus.stop();
  });
  bus.publish("greetings", "hello, world").value();
  bus.run().value();
}
