// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <utility>

#include <omnibus/backends/kafka.hpp>

#include "commands.hpp"
#include "kafka_fixture.hpp"
#include "run.hpp"

// Kafka, as the fault tests know it.

namespace chaos {

/// The broker of this run, as a fixture of the conformance tools.
struct Broker {
  using Backend = ob::Kafka;
  static constexpr bool once = true;  // a publish is one record, however often it was sent
  std::chrono::milliseconds deadline = 60s;
  std::uint64_t seed = run_seed();

  Backend::Config config(std::string group = "g") const {
    return {.endpoint = KafkaFixture::endpoint(), .group = std::move(group), .session_timeout = 6s};
  }
  std::string topic() { return KafkaFixture{}.topic(); }
};

/// What tests/brokers/with tells besides the endpoint.
inline std::string told_by_broker(const char* variable) {
  const char* given = std::getenv(variable);
  if (given == nullptr) violated(variable, " is not set: run it by tests/brokers/with kafka");
  return given;
}

/// The port of the first broker.
inline std::uint16_t broker_port() {
  const std::string endpoint = KafkaFixture::endpoint();
  return static_cast<std::uint16_t>(std::stoul(endpoint.substr(endpoint.find(':') + 1)));
}

}  // namespace chaos
