// SPDX-License-Identifier: MIT
#pragma once

#include <omnibus/detail/pace.hpp>

// When the threads that own RabbitMQ's connections act.

namespace omnibus::rabbitmq {

using omnibus::detail::linger_after;
using omnibus::detail::Pace;

}  // namespace omnibus::rabbitmq
