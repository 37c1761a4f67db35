// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <optional>
#include <string_view>

#include <omnibus/backends/kafka/symptoms.hpp>
#include <omnibus/time.hpp>

// Whether any broker is in sight, from what librdkafka says and from looking.

namespace omnibus::kafka {

/// A small state machine without I/O.
class Sight {
 public:
  /// librdkafka has said this. Returns what is wrong, where there is something new to tell. That a connection was
  /// lost is not: whether it was the last is not always told, not when it was the one to the coordinator. Then
  /// somebody looks twice whether any broker is there.
  std::optional<Error> add(rd_kafka_resp_err_t code, std::string_view why, Instant now) {
    std::optional<Error> problem = symptoms_.add(code, why);
    if (problem) {
      sick_ = true;
      look_at_ = now + std::chrono::seconds{1};
    } else if (!sick_ && looks_ == 0) {
      looks_ = 2;
      look_at_ = now + std::chrono::milliseconds{300};
    }
    return problem;
  }
  /// Somebody has looked. Returns likewise.
  std::optional<Error> looked(bool found, Instant now) {
    look_at_ = now + std::chrono::seconds{1};
    if (found) {
      clear();
    } else if (!sick_ && --looks_ == 0) {
      return add(RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN, "no broker answers", now);
    }
    return {};
  }
  /// Everything works.
  void clear() noexcept {
    sick_ = false;
    looks_ = 0;
    symptoms_ = {};
  }

  /// No broker was there when somebody last looked.
  bool is_lost() const noexcept { return sick_; }
  /// When somebody should look.
  Instant next() const noexcept { return sick_ || looks_ > 0 ? look_at_ : Instant::max(); }

 private:
  Symptoms symptoms_;
  bool sick_ = false;
  int looks_ = 0;  // so many more for a broker, before it is said that there is none
  Instant look_at_ = Instant::max();
};

}  // namespace omnibus::kafka
