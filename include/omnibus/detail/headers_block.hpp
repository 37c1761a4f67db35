// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace omnibus::detail {

/// Whether these bytes are a block of Headers, as which they may be read. For what comes out of files and from servers,
/// which may be damaged.
inline bool is_headers_block(std::string_view block) noexcept {
  while (!block.empty()) {
    std::uint32_t sizes[2];
    if (block.size() < sizeof sizes) return false;
    std::memcpy(sizes, block.data(), sizeof sizes);
    const std::size_t size = sizeof sizes + std::size_t{sizes[0]} + sizes[1];
    if (block.size() < size) return false;
    block.remove_prefix(size);
  }
  return true;
}

}  // namespace omnibus::detail
