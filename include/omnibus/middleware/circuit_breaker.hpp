// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <tuple>

#include <omnibus/circuit_breaker.hpp>
#include <omnibus/clock.hpp>
#include <omnibus/detail/smaller.hpp>
#include <omnibus/pipeline.hpp>

// While what handlers depend on fails, messages wait where they are, and nobody's attempts are used up.

namespace omnibus {

/// The stage that `circuit_breaker` makes.
class CircuitBreakerStage {
 public:
  static constexpr Rank rank = Rank::gate;

  explicit CircuitBreakerStage(CircuitBreaker& breaker) : breaker_{&breaker} {}

  Result<> operator()(Next next, Delivery& delivery) const {
    if (delivery.given_up()) return next(delivery);
    const Clock& clock = delivery.context().clock();
    const auto admission = breaker_->admit(clock.now());
    if (!admission.admitted) return wait(delivery, admission.again);
    Result<> result = detail::guarded([&] { return next(delivery); });
    switch (verdict(result, delivery)) {
      case Verdict::good: breaker_->succeeded(admission.turn); break;
      case Verdict::bad: breaker_->failed(admission.turn, clock.now()); break;
      case Verdict::neither: breaker_->abstained(admission.turn); break;
    }
    return result;
  }

 private:
  enum class Verdict : std::uint8_t { good, bad, neither };

  /// What an ending says about what the handler depends on. What trying again cannot mend is the fault of
  /// the message.
  static Verdict verdict(const Result<>& result, const Delivery& delivery) {
    if (!delivery.attempted()) return Verdict::neither;
    if (result && !delivery.dead_lettered()) return Verdict::good;
    const auto* past = delivery.history();
    const Error* error = past != nullptr ? &past->last_error : result ? nullptr : &result.error();
    const bool may_pass = error != nullptr && error->retryable && error->code != Errc::interrupted;
    return may_pass ? Verdict::bad : Verdict::neither;
  }

  static Error wait(Delivery& delivery, Instant again) {
    DeliveryContext& context = delivery.context();
    Error error = Error::make(Errc::unavailable, "handle",
                              "the circuit is open: what handlers depend on has failed again and again");
    error.retry_after = detail::larger<Duration>(again - context.clock().now(), Duration::zero());
    context.pause(again, &error);
    return error;
  }

  CircuitBreaker* breaker_;
};

/// Stops calling the handler when it has failed `failures` times in a row with an error that trying again
/// may mend, for whichever messages: nothing more is taken from the broker, what has been taken waits
/// without using up its attempts, and health says so. After `open_for` one message is let through, to see.
/// Stands behind the other stages: handler | retry | dead_letter | idempotent | circuit_breaker.
/// Lifetime: the breaker must outlive the subscription.
inline Chain<CircuitBreakerStage> circuit_breaker(CircuitBreaker& breaker) {
  return {std::tuple{CircuitBreakerStage{breaker}}};
}

}  // namespace omnibus
