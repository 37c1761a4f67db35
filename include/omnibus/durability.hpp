// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace omnibus {

/// What survives of that which an SQLite file was given and answered well: a publish, an append.
enum class Durability : std::uint8_t {
  process_crash,  ///< the system has it (synchronous=NORMAL); a power failure may take the last ones
  power_loss,     ///< it is on the disk (synchronous=FULL); each commit waits for that
};

}  // namespace omnibus
