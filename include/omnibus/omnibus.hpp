// SPDX-License-Identifier: MIT
#pragma once

// All of omnibus that needs no broker: the core, the middleware, text payloads and the embedded
// backend. Add `omnibus/backends/<broker>.hpp` for a broker and `omnibus/codec/json.hpp` for JSON.

#include <omnibus/backends/memory.hpp>
#include <omnibus/codec/text.hpp>
#include <omnibus/event_bus.hpp>
#include <omnibus/idempotency/memory.hpp>
#include <omnibus/middleware/dead_letter.hpp>
#include <omnibus/middleware/idempotent.hpp>
#include <omnibus/middleware/retry.hpp>
#include <omnibus/version.hpp>
#include <omnibus/virtual_clock.hpp>
