// SPDX-License-Identifier: MIT
#pragma once

// The version of the library. CMake reads it from here, so that it is written once.

namespace omnibus {

/// The library's version, by Semantic Versioning. Before 1.0 a minor release may break the API.
struct Version {
  int major;
  int minor;
  int patch;
};

/// The version of these headers.
inline constexpr Version version{0, 1, 0};

}  // namespace omnibus
