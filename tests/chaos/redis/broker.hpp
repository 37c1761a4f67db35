// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include <omnibus/backends/redis_streams.hpp>

#include "commands.hpp"
#include "redis_fixture.hpp"
#include "run.hpp"

// Redis, as the fault tests know it.

namespace chaos {

using namespace std::chrono_literals;

/// The broker of this run, as a fixture of the conformance tools.
struct Broker {
  using Backend = ob::RedisStreams;
  static constexpr bool once = false;  // what was sent again may be there twice
  std::chrono::milliseconds deadline = 60s;
  std::uint64_t seed = run_seed();

  Backend::Config config(std::string group = "g") const {
    return {.endpoint = RedisStreamsFixture::endpoint(),
            .group = std::move(group),
            .lease = 2s,
            .heartbeat = 2s};
  }
  std::string topic() { return RedisStreamsFixture{}.topic(); }
  /// Programs that are run from now on find the same server by themselves.
  void share() const {}
};

/// What redis-cli prints, without the last line's end.
inline std::string redis_cli(const std::string& arguments) {
  std::string output = ctl("exec redis redis-cli " + arguments);
  while (output.ends_with('\n')) output.pop_back();
  return output;
}
/// Sets something on the broker.
inline void redis_sets(const std::string& arguments) {
  const std::string output = redis_cli(arguments);
  if (!output.ends_with("OK")) violated("redis-cli ", arguments, " said: ", output);
}

inline std::uint16_t broker_port() {
  return static_cast<std::uint16_t>(
      ob::redis::parse_endpoints(RedisStreamsFixture::endpoint(), "test").front().port);
}

/// The endpoint for another user.
inline std::string endpoint_of(const std::string& user, const std::string& password) {
  constexpr std::string_view scheme = "redis://";
  return std::string{scheme} + user + ":" + password + "@" +
         RedisStreamsFixture::endpoint().substr(scheme.size());
}

/// The key of a shard's stream, in quotes for redis-cli.
inline std::string stream_of(const std::string& topic, int shard) {
  return "'{" + topic + "}:" + std::to_string(shard) + "'";
}
inline constexpr int shards = 4;  // what the configuration says of itself

}  // namespace chaos
