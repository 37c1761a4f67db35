// SPDX-License-Identifier: MIT
#pragma once

#include "delivery.hpp"
#include "failure.hpp"
#include "flow.hpp"
#include "idempotency.hpp"
#include "letters.hpp"
#include "lifecycle.hpp"
#include "order.hpp"
#include "publish.hpp"
#include "replay.hpp"
#include "sequence.hpp"
#include "together.hpp"

namespace conformance {

/// The whole suite, as far as it holds for a fixture.
template <class F>
Suite<F> make_suite() {
  Suite<F> suite;
  add_publish_cases(suite);
  add_delivery_cases(suite);
  add_order_cases(suite);
  add_failure_cases(suite);
  add_letters_cases(suite);
  add_lifecycle_cases(suite);
  add_replay_cases(suite);
  add_idempotency_cases(suite);
  add_sequence_cases(suite);
  add_flow_cases(suite);
  add_together_cases(suite);
  return suite;
}

}  // namespace conformance
