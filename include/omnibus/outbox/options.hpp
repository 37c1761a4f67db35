// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

#include <omnibus/backoff.hpp>
#include <omnibus/clock.hpp>
#include <omnibus/time.hpp>

// How a relay works, and what it says of itself.

namespace omnibus {

/// What becomes of a message that the broker refuses for good, such as one that is too large for it.
enum class OnRefused : std::uint8_t {
  hold_key,  ///< its key waits and is tried again every `retry_refused`; other keys go on
  stop,      ///< nothing more is sent until `try_again`
};

/// How an OutboxRelay works. Everything but the file has a safe default.
struct OutboxRelayOptions {
  std::string path;                                     ///< of the file with the outbox
  std::size_t window = 4096;                            ///< messages that are read and not yet marked; keys on hold
  std::size_t window_bytes = 32u << 20;                 ///< and their bytes
  Duration lease = std::chrono::seconds{10};            ///< another process may go on after so long without a sign
  Duration look_every = std::chrono::milliseconds{10};  ///< how soon another connection's commits are seen
  Duration mark_every = std::chrono::milliseconds{20};  ///< what is confirmed leaves the file by then
  Backoff backoff{};                                    ///< before a key whose message has failed is tried again
  OnRefused on_refused = OnRefused::hold_key;
  Duration retry_refused = std::chrono::minutes{1};
  Duration busy_timeout = std::chrono::seconds{5};      ///< while others write to the file
  Duration close_timeout = std::chrono::seconds{10};    ///< of the destructor, for what is on its way
  const Clock* clock = nullptr;  ///< nullptr: the machine's; the wall time decides on leases
};

/// What a relay is doing.
struct OutboxRelayHealth {
  bool ok = true;
  std::string problem{};       ///< why it is not
  bool active = false;         ///< it holds the lease; false: another one does, or the file cannot be used
  std::uint64_t relayed = 0;   ///< messages that the broker has confirmed to this object
  std::uint64_t failed = 0;    ///< publishes that ended otherwise; each is tried again
  std::size_t in_flight = 0;   ///< messages on their way
  std::size_t held_keys = 0;   ///< keys on hold, whose messages wait in the file
  std::size_t refused_keys = 0;  ///< those of them of which the broker refuses a message
};

namespace outbox {

/// Throws std::invalid_argument, naming the option.
inline void check(const OutboxRelayOptions& options) {
  const auto require = [](bool good, const char* what) {
    if (!good) throw std::invalid_argument{std::string{"omnibus: OutboxRelay: "} + what};
  };
  require(options.window >= 1, "window must be at least 1");
  require(options.window_bytes >= 1, "window_bytes must be at least 1");
  require(options.lease >= std::chrono::milliseconds{1}, "lease must be at least 1 ms");
  require(options.look_every > Duration::zero(), "look_every must be positive");
  require(options.mark_every >= Duration::zero(), "mark_every must not be negative");
  require(options.backoff.initial >= Duration::zero() && options.backoff.max >= options.backoff.initial &&
              options.backoff.factor >= 1.0,
          "backoff must not be negative, nor shrink");
  require(options.retry_refused >= Duration::zero(), "retry_refused must not be negative");
  require(options.close_timeout >= Duration::zero(), "close_timeout must not be negative");
}

}  // namespace outbox
}  // namespace omnibus
