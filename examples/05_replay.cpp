// SPDX-License-Identifier: MIT
// A topic is a log: a reader without a group starts at a position or at a time, and disturbs no
// one.
#include <iostream>
#include <latch>
#include <omnibus/omnibus.hpp>
#include <string>
#include <string_view>

namespace ob = omnibus;
using namespace std::chrono_literals;
using Bus = ob::EventBus<ob::Memory>;

/// Reads `count` messages from `start` on and prints them.
void replay(Bus& bus, std::string_view title, Bus::SubscribeOptions options, std::ptrdiff_t count) {
  std::cout << title << ':';
  std::latch left{count};
  auto reader = bus.subscribe(
      "temperature",
      [&left](const std::string& reading) {
        std::cout << ' ' << reading;
        left.count_down();
      },
      std::move(options));
  left.wait();
  std::cout << '\n';
}

int main() {
  ob::VirtualClock clock;  // an hour takes no time
  Bus bus{{.clock = &clock}};

  bus.publish("temperature", "08h=11").value();
  clock.advance(1h);
  const auto nine = clock.wall();
  bus.publish("temperature", "09h=13").value();
  clock.advance(1h);
  const ob::Receipt ten = bus.publish("temperature", "10h=16").value();
  clock.advance(1h);
  bus.publish("temperature", "11h=18").value();

  replay(bus, "from the beginning", {}, 4);
  replay(bus, "since nine o'clock", {.start = ob::since(nine)}, 3);
  replay(bus, "from ten's position", {.start = ob::at(ten.position, ten.partition)}, 2);
}
