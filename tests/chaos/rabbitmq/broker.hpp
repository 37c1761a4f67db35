// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>

#include <omnibus/backends/rabbitmq.hpp>

#include "commands.hpp"
#include "rabbitmq_fixture.hpp"
#include "run.hpp"

// RabbitMQ, as the fault tests know it.

namespace chaos {

using namespace std::chrono_literals;

/// The broker of this run, as a fixture of the conformance tools.
struct Broker {
  using Backend = ob::RabbitMq;
  static constexpr bool once = false;  // what was sent again may be there twice
  std::chrono::milliseconds deadline = 60s;
  std::uint64_t seed = run_seed();

  Backend::Config config(std::string group = "g") const {
    return {.endpoint = RabbitMqFixture::endpoint(), .group = std::move(group)};
  }
  std::string topic() { return RabbitMqFixture{}.topic(); }
};

inline std::string rabbitmqctl(const std::string& arguments) {
  return ctl("exec rabbitmq rabbitmqctl -q " + arguments);
}
/// Evaluates an Erlang expression on the broker.
inline std::string broker_eval(const std::string& expression) {
  return rabbitmqctl("eval '" + expression + "'");
}

/// The port of the first URL in the endpoint.
inline std::uint16_t broker_port() {
  return static_cast<std::uint16_t>(
      ob::rabbitmq::parse_endpoints(RabbitMqFixture::endpoint()).front().port);
}

/// The endpoint with a piece replaced, such as ":guest@".
inline std::string endpoint_with(const std::string& piece, const std::string& by) {
  std::string url = RabbitMqFixture::endpoint();
  const auto at = url.find(piece);
  if (at == std::string::npos) violated("the endpoint has no ", piece);
  return url.replace(at, piece.size(), by);
}

}  // namespace chaos
