// expect: wrong order. Write handler \| transactional \| retry \| dead_letter \| idempotent
// SPDX-License-Identifier: MIT
#include <omnibus/omnibus.hpp>

#include "orders.hpp"

#ifdef CORRECTED
const auto reliable = ob::retry() | ob::dead_letter("dead");
#else
const auto reliable = ob::dead_letter("dead") | ob::retry();
#endif
