// SPDX-License-Identifier: MIT
#pragma once

#include <stdexcept>
#include <string>
#include <tuple>

#include <omnibus/clock.hpp>
#include <omnibus/pipeline.hpp>

// How long an attempt may take. No thread is killed: the handler looks at its deadline and ends.

namespace omnibus {

/// The stage that `timeout` makes.
class TimeoutStage {
 public:
  explicit TimeoutStage(Duration limit) : limit_{limit} {
    if (limit <= Duration::zero()) {
      throw std::invalid_argument{"omnibus: timeout: it must be positive"};
    }
  }

  Result<> operator()(Next next, Delivery& delivery) const {
    const Clock& clock = delivery.context().clock();
    delivery.set_deadline(after(clock.now(), limit_));
    Result<> result = detail::guarded([&] { return next(delivery); });
    if (!result && clock.now() >= delivery.deadline()) {
      Error& error = result.error();
      error.code = Errc::timed_out;
      error.retryable = true;
      error.context.append(error.context.empty() ? "" : "; ").append("it took longer than its timeout");
    }
    return result;
  }

 private:
  Duration limit_;
};

/// Gives each attempt a deadline, which the handler sees as `delivery.deadline()` and
/// `delivery.time_left()` and hands on to what it calls. One that fails after it counts as timed_out, and
/// as retryable; one that ends well counts as handled, however late: what is done is done, and nothing is
/// settled twice. Stands directly behind the handler: handler | timeout | retry | dead_letter.
/// A handler that never looks is not stopped; its key waits, and the others go on.
inline Chain<TimeoutStage> timeout(Duration limit) { return {std::tuple{TimeoutStage{limit}}}; }

}  // namespace omnibus
