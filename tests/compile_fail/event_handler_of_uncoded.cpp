// expect: this is no handler of stored events. Write a callable that takes an event whose codec has a type
// SPDX-License-Identifier: MIT
#include "accounts.hpp"

#ifdef CORRECTED
auto view = ob::event_handlers({}, [](const Opened&) {});
#else
auto view = ob::event_handlers({}, [](const Uncoded&) {});
#endif
