// SPDX-License-Identifier: MIT
#pragma once

#include <omnibus/omnibus.hpp>

// What both translation units share.

using Bus = omnibus::EventBus<omnibus::Memory>;

/// Publishes the greeting that main waits for.
void greet(Bus& bus);
