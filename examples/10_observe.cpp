// SPDX-License-Identifier: MIT
// What happens inside: one observer counts, another one remembers the story of each message, and a trace
// goes on from a message to the one that follows from it.
#include <chrono>
#include <iostream>
#include <omnibus/omnibus.hpp>
#include <string>

namespace ob = omnibus;
using namespace std::chrono_literals;

int main() {
  ob::Metrics metrics{{.system = "memory"}};
  ob::Recorder recorder;
  ob::Observers both{metrics, recorder};  // a bus has one observer: this one is two
  ob::EventBus<ob::Memory, decltype(both)> bus{{.group = "billing"}, both};

  const auto charge = [&bus](const std::string& order, const ob::Delivery& delivery) -> ob::Result<> {
    if (delivery.attempt() == 1) return ob::later(1ms, "the gateway is busy; try again");
    bus.publish("invoices", order, {.headers = ob::child_trace(delivery.headers())}).value();
    return {};
  };
  const auto print = [&bus](const std::string& invoice, const ob::Delivery& delivery) {
    std::cout << "invoice of " << invoice << ", trace " << delivery.headers().get("traceparent").substr(3, 32)
              << "\n\n";
    bus.stop();
  };
  auto orders = bus.subscribe("orders", charge | ob::retry({.attempts = 3}));
  auto invoices = bus.subscribe("invoices", print);

  const std::string trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  bus.publish("orders", "o-17", {.headers = {{"traceparent", trace}}, .id = "payment-17"}).value();
  bus.run().value();

  std::cout << recorder.mermaid("payment-17") << '\n';  // a sequence diagram of this message
  const ob::MetricsSnapshot counted = metrics.snapshot();
  for (const ob::GroupMetrics& group : counted.groups) {
    std::cout << group.topic << ": " << group.delivered << " attempts, " << group.handled << " handled\n";
  }
  std::string page;  // for Prometheus, under OpenTelemetry's names
  ob::append_metrics(page, counted);
  std::cout << page.substr(0, page.find('\n')) << "\n...\n";
}
