// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>

#include <omnibus/delivery.hpp>
#include <omnibus/error.hpp>

// What becomes of a delivery while a store that it needs cannot be asked.

namespace omnibus {

/// Fails closed: without the store nothing is handled, nothing is acknowledged, and no more is taken. Pauses
/// the subscription, whose health says why, and returns what the delivery is to end with: it is tried again
/// after the pause.
inline Error wait_for_store(Delivery& delivery, const Error& why) {
  Error error = why;
  error.retryable = true;
  if (!error.again()) error.retry_after = std::chrono::seconds{1};
  DeliveryContext& context = delivery.context();
  context.pause(after(context.clock().now(), error.retry_after), &error);
  return error;
}

}  // namespace omnibus
