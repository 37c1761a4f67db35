// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include <omnibus/backends/redis_streams.hpp>

#include "broker_bench.hpp"
#include "redis_twin.hpp"

// What the benchmarks of Redis share.

namespace bench {

using RedisBus = omnibus::EventBus<omnibus::RedisStreams>;

/// What is measured: PROGRAM [MESSAGES].
struct RedisCase : BrokerCase {
  static constexpr const char* broker = "redis";
  static constexpr const char* variable = "OMNIBUS_REDIS";
  static constexpr const char* kinds = "";

  omnibus::RedisStreams::Config config() const {
    return {.endpoint = endpoint, .group = "bench"};
  }
};

/// The twin has one stream where omnibus has a topic of several.
class RedisStream {
 public:
  RedisStream(RedisCase& its, const std::string& of) : name_{its.new_topic(of)}, owner_{its.endpoint} {}
  ~RedisStream() { owner_.remove(name_); }
  const std::string& name() const noexcept { return name_; }

 private:
  std::string name_;
  RedisTwin owner_;
};

/// A topic of omnibus while it is needed.
class RedisTopic {
 public:
  RedisTopic(RedisCase& its, const std::string& of) : name_{its.new_topic(of)}, owner_{its.endpoint} {}
  ~RedisTopic() {
    for (int shard = 0; shard < 4; ++shard) owner_.remove("{" + name_ + "}:" + std::to_string(shard));
  }
  const std::string& name() const noexcept { return name_; }

 private:
  std::string name_;
  RedisTwin owner_;
};

}  // namespace bench
