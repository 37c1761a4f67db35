// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <omnibus/backends/kafka/client.hpp>

// What librdkafka says of its connections, one thing after the other, and what it comes to.

namespace omnibus::kafka {

/// The troubles of a client since it last worked. A small state machine without I/O.
class Symptoms {
 public:
  /// Takes one more. Returns what is wrong, where there is something new to tell: one broker of several
  /// that can't be reached is not, nor that all are down when something worse has been told.
  std::optional<Error> add(rd_kafka_resp_err_t code, std::string_view why) {
    if (code == RD_KAFKA_RESP_ERR__TRANSPORT) {  // it names the broker; that all are down may follow
      if (broker_.empty()) broker_ = why;
      refusal_.reset();
      return {};
    }
    Error error = to_error(code, "connect to Kafka", why);
    if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
      if (refused_ > 0) return {};
      if (!broker_.empty()) error.context.append(": ").append(broker_);
      return error;
    }
    // A broker that goes down may cut a handshake short, which looks like a refusal, once.
    const bool handshake =
        code == RD_KAFKA_RESP_ERR__SSL || code == RD_KAFKA_RESP_ERR__AUTHENTICATION;
    if (handshake) {
      refusal_ = error;
      if (++refused_ < refusals) error.retryable = true;
    }
    return error;
  }
  /// A handshake that was refused, when no broker has gone away since, which would explain it: the second refusal
  /// is not always told. For those whose time is over.
  const std::optional<Error>& refusal() const noexcept { return refusal_; }

 private:
  static constexpr int refusals = 2;  ///< from so many on, who is refused is so for good
  std::string broker_;                ///< what was said of the first that could not be reached
  int refused_ = 0;
  std::optional<Error> refusal_;
};

}  // namespace omnibus::kafka
