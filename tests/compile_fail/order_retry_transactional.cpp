// expect: wrong order. Write handler \| transactional \| retry \| dead_letter \| idempotent
// SPDX-License-Identifier: MIT
#include <omnibus/omnibus.hpp>

#include "orders.hpp"

#ifdef CORRECTED
const auto policy = ob::transactional() | ob::retry();
#else
const auto policy = ob::retry() | ob::transactional();
#endif
