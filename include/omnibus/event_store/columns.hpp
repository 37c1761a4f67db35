// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <omnibus/detail/headers_block.hpp>

// Tags and metadata as bytes in a column. What comes out of a file or from a server may be damaged: it is walked
// through before anybody relies on its lengths. Frozen: files and servers have it.

namespace omnibus::event_store {

/// Takes so many bytes, after a length, off the front. False: they are not all there.
inline bool take_sized(std::string_view& bytes, std::string_view& taken) noexcept {
  std::uint32_t size = 0;
  if (bytes.size() < sizeof size) return false;
  std::memcpy(&size, bytes.data(), sizeof size);
  bytes.remove_prefix(sizeof size);
  if (bytes.size() < size) return false;
  taken = bytes.substr(0, size);
  bytes.remove_prefix(size);
  return true;
}

/// Writes tags into `column`, each behind its length.
inline void encode_tags(std::span<const std::string_view> tags, std::string& column) {
  column.clear();
  for (const std::string_view tag : tags) {
    const auto size = static_cast<std::uint32_t>(tag.size());
    char bytes[sizeof size];
    std::memcpy(bytes, &size, sizeof size);
    column.append(bytes, sizeof bytes).append(tag);
  }
}

/// Reads tags, as views of the column. False: it is damaged.
inline bool decode_tags(std::string_view column, std::vector<std::string_view>& tags) {
  tags.clear();
  while (!column.empty()) {
    if (!take_sized(column, tags.emplace_back())) return false;
  }
  return true;
}

using detail::is_headers_block;

}  // namespace omnibus::event_store
