// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include <omnibus/time.hpp>

// What can go wrong, as data: a code from a closed list, whether trying again can help, and the
// words that say what was being done and what to do now.

namespace omnibus {

/// Every kind of failure omnibus reports. The name is the condition, not the layer it came from.
enum class Errc : std::uint8_t {
  invalid_argument,      ///< a name, key, header or option is malformed
  too_large,             ///< payload, key or headers exceed a limit
  encode_failed,         ///< the codec could not turn the event into bytes
  decode_failed,         ///< the bytes are no such event
  unknown_type,          ///< no handler takes this message type
  handler_failed,        ///< the handler threw or returned a failure
  interrupted,           ///< given back unhandled because the subscription is closing
  closed,                ///< the bus or subscription is closed
  window_full,           ///< too much is in flight and the deadline did not allow to wait
  timed_out,             ///< a wait (flush, close) reached its deadline
  outcome_unknown,       ///< a publish that was neither confirmed nor refused
  rejected,              ///< the broker refused the message
  unroutable,            ///< the broker has nowhere to put the message
  not_found,             ///< topic, queue or exchange does not exist
  access_denied,         ///< wrong credentials or missing permission
  topology_mismatch,     ///< it exists, declared differently
  unavailable,           ///< broker or store cannot be reached now
  position_lost,         ///< the log no longer holds the position asked for
  out_of_sequence,       ///< the message's number is not the one that should come
  key_in_progress,       ///< another delivery with this idempotency key is being handled
  key_mismatch,          ///< this idempotency key was used with another payload
  conflict,              ///< something else was appended first: read again and decide again
  id_reused,             ///< an event of this id is stored, but not as part of this batch
  stream_deleted,        ///< the stream was given up for ever
  unsupported,           ///< this broker or version cannot do it
  internal,              ///< a defect in omnibus or in a client library
};

/// The code's name, as written in the source.
constexpr std::string_view to_string(Errc code) noexcept {
  switch (code) {
    case Errc::invalid_argument: return "invalid_argument";
    case Errc::too_large: return "too_large";
    case Errc::encode_failed: return "encode_failed";
    case Errc::decode_failed: return "decode_failed";
    case Errc::unknown_type: return "unknown_type";
    case Errc::handler_failed: return "handler_failed";
    case Errc::interrupted: return "interrupted";
    case Errc::closed: return "closed";
    case Errc::window_full: return "window_full";
    case Errc::timed_out: return "timed_out";
    case Errc::outcome_unknown: return "outcome_unknown";
    case Errc::rejected: return "rejected";
    case Errc::unroutable: return "unroutable";
    case Errc::not_found: return "not_found";
    case Errc::access_denied: return "access_denied";
    case Errc::topology_mismatch: return "topology_mismatch";
    case Errc::unavailable: return "unavailable";
    case Errc::position_lost: return "position_lost";
    case Errc::out_of_sequence: return "out_of_sequence";
    case Errc::key_in_progress: return "key_in_progress";
    case Errc::key_mismatch: return "key_mismatch";
    case Errc::conflict: return "conflict";
    case Errc::id_reused: return "id_reused";
    case Errc::stream_deleted: return "stream_deleted";
    case Errc::unsupported: return "unsupported";
    case Errc::internal: return "internal";
  }
  return "unknown";
}

/// Whether an error of this code is worth trying again when nothing else is known about it.
constexpr bool retryable_by_default(Errc code) noexcept {
  switch (code) {
    case Errc::handler_failed:
    case Errc::interrupted:
    case Errc::window_full:
    case Errc::timed_out:
    case Errc::outcome_unknown:
    case Errc::unavailable:
    case Errc::key_in_progress: return true;
    default: return false;
  }
}

/// One failure. A plain value; copies are independent.
struct Error {
  Errc code = Errc::internal;
  bool retryable = false;     ///< false: trying again cannot help, or has been given up
  std::string operation;      ///< what was being done: "publish orders", "decode order.placed"
  std::string context;        ///< what happened and, where there is one, what to do about it
  Duration retry_after = not_again;  ///< not negative: try this delivery again after so long

  /// The value of `retry_after` that says: not again.
  static constexpr Duration not_again{-1};
  /// True when this delivery is to be tried again.
  bool again() const noexcept { return retry_after >= Duration::zero(); }

  /// An error with the code's own verdict on trying again.
  static Error make(Errc code, std::string operation, std::string context = {}) {
    return {code, retryable_by_default(code), std::move(operation), std::move(context)};
  }

  /// One line for a log: "publish orders: connection lost (outcome_unknown, retryable)".
  std::string message() const {
    std::string line = operation;
    if (!context.empty()) line.append(line.empty() ? "" : ": ").append(context);
    line.append(line.empty() ? "(" : " (").append(to_string(code));
    return line.append(retryable ? ", retryable)" : ")");
  }
};

/// A failure that trying again cannot mend: return it from a handler to go straight to dead letters.
inline Error permanent(std::string why) {
  return {Errc::handler_failed, false, "handle", std::move(why)};
}

/// A failure that may pass: what an exception from a handler becomes.
inline Error retryable(std::string why) {
  return {Errc::handler_failed, true, "handle", std::move(why)};
}

/// Return it from a handler to have this delivery again after `delay`, whatever the policy's own
/// back-off says; a `retry` stage still counts the attempt.
inline Error later(Duration delay, std::string why = "asked to be tried later") {
  return {Errc::handler_failed, true, "handle", std::move(why), delay};
}

}  // namespace omnibus
