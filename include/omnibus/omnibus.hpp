// SPDX-License-Identifier: MIT
#pragma once

// All of omnibus that needs no broker: the core, the middleware, text payloads and the embedded
// backend. Add `omnibus/backends/<broker>.hpp` for a broker and `omnibus/codec/json.hpp` for JSON.

// First what has sentences for users: compilers show the way to them, and so the way is short.
#include <omnibus/handler.hpp>
#include <omnibus/options.hpp>
#include <omnibus/pipeline.hpp>
#include <omnibus/publishing.hpp>

#include <omnibus/backends/memory.hpp>
#include <omnibus/batch.hpp>
#include <omnibus/codec/text.hpp>
#include <omnibus/event_bus.hpp>
#include <omnibus/idempotency/memory.hpp>
#include <omnibus/message_batch.hpp>
#include <omnibus/metrics.hpp>
#include <omnibus/middleware/circuit_breaker.hpp>
#include <omnibus/middleware/dead_letter.hpp>
#include <omnibus/middleware/idempotent.hpp>
#include <omnibus/middleware/limit_concurrency.hpp>
#include <omnibus/middleware/rate_limit.hpp>
#include <omnibus/middleware/retry.hpp>
#include <omnibus/middleware/sequenced.hpp>
#include <omnibus/middleware/timeout.hpp>
#include <omnibus/middleware/transactional.hpp>
#include <omnibus/observers.hpp>
#include <omnibus/prometheus.hpp>
#include <omnibus/recorder.hpp>
#include <omnibus/trace_context.hpp>
#include <omnibus/version.hpp>
#include <omnibus/virtual_clock.hpp>
