// SPDX-License-Identifier: MIT
#pragma once

#include <omnibus/detail/slots.hpp>

// The messages that librdkafka has and that have no ending yet.

namespace omnibus::kafka {

using omnibus::detail::Slots;

}  // namespace omnibus::kafka
