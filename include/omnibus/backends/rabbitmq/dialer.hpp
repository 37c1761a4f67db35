// SPDX-License-Identifier: MIT
#pragma once

#include <omnibus/backends/rabbitmq/connection.hpp>
#include <omnibus/detail/dialer.hpp>

// Connecting to RabbitMQ, again and again, without keeping anybody waiting.

namespace omnibus::rabbitmq {

using omnibus::detail::reconnect_backoff;
using omnibus::detail::Redial;
using Dialer = omnibus::detail::Dialer<Connection, ConnectOptions>;

}  // namespace omnibus::rabbitmq
