// expect: this is no upcast. Write a callable that takes an old event
// SPDX-License-Identifier: MIT
#include <omnibus/event_store/upcast.hpp>

#include "accounts.hpp"

#ifdef CORRECTED
const ob::Upcasts upcasts{[](const Opened&) { return Closed{}; }};
#else
const ob::Upcasts upcasts{[](const Opened&) { return Uncoded{}; }};
#endif
