// expect: Backend<B>|does not satisfy .Backend
// SPDX-License-Identifier: MIT
#include <omnibus/omnibus.hpp>

#ifdef CORRECTED
using Chosen = omnibus::Memory;
#else
using Chosen = std::string;
#endif

using Bus = omnibus::EventBus<Chosen>;
