// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

#include <omnibus/backends/rabbitmq.hpp>

#include "broker_bench.hpp"

// What the benchmarks of RabbitMQ share.

namespace bench {

using RabbitMqBus = omnibus::EventBus<omnibus::RabbitMq>;

/// What is measured: PROGRAM [quorum] [MESSAGES].
struct RabbitMqCase : BrokerCase {
  static constexpr const char* broker = "rabbitmq";
  static constexpr const char* variable = "OMNIBUS_RABBITMQ";
  static constexpr const char* kinds = "[quorum] ";
  bool quorum = false;

  bool take_kind(std::string_view kind) {
    if (kind != "quorum") return false;
    return quorum = true;
  }
  omnibus::RabbitMq::Config config() const {
    omnibus::RabbitMq::Config config{.endpoint = endpoint, .group = "bench"};
    if (!quorum) config.queues = omnibus::RabbitMqQueues::classic;
    return config;
  }
};

/// A group must have subscribed before what is published is kept for it.
inline void make_queues(RabbitMqBus& bus, const std::string& topic) {
  wait_until_ok(bus.subscribe(topic, [](const omnibus::Delivery&) {}));
}

}  // namespace bench
