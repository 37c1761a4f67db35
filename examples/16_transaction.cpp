// SPDX-License-Identifier: MIT
// Consume, process, produce as one transaction on Kafka: each order has its shipment once, however often its handler
// fails. Needs a Kafka: examples/run --example 16 --backend kafka, or --endpoint host:port.
#include <iostream>
#include <map>
#include <mutex>
#include <omnibus/backends/kafka.hpp>
#include <omnibus/omnibus.hpp>
#include <string>
#include <string_view>

namespace ob = omnibus;
using namespace std::chrono_literals;
using Bus = ob::EventBus<ob::Kafka>;

int main(int argc, char** argv) {
  std::string endpoint = "localhost:9092";
  for (int i = 1; i + 1 < argc; ++i) {
    if (std::string_view{argv[i]} == "--endpoint") endpoint = argv[i + 1];
  }
  Bus bus{{.endpoint = endpoint, .group = "shipping"}};

  const auto ship = [](const std::string& order, const ob::Delivery& delivery) -> ob::Result<> {
    if (auto added = ob::publish_with(delivery, "shipments", "ship " + order, {.key = order}); !added) return added;
    if (delivery.attempt() == 1) return ob::retryable("the printer is out of labels");  // nothing is published
    return ob::publish_with(delivery, "labels", "label of " + order, {.key = order});
  };
  auto shipping = bus.subscribe("orders", ship | ob::transactional() | ob::retry({.initial = 10ms}));

  std::mutex mutex;
  std::map<std::string, int> times;
  const auto count = [&](const std::string& text) {
    std::lock_guard lock{mutex};
    ++times[text];
    if (times.size() == 6) bus.stop();
  };
  auto shipments = bus.subscribe("shipments", count);
  auto labels = bus.subscribe("labels", count);
  for (const char* order : {"o-1", "o-2", "o-3"}) bus.publish("orders", std::string{order}, {.key = order}).value();
  bus.run().value();
  for (const auto& [text, number] : times) std::cout << text << ": " << number << "\n";
}
