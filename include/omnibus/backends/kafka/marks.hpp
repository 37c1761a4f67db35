// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

// Kafka keeps one offset for each partition of a group, before which everything is done. What is done
// beyond it is written beside it, in the metadata of the commit, so that whoever goes on there does not
// handle it again. Other programs see an offset like any other.

namespace omnibus::kafka {

/// Which of the offsets after a committed one are done. As text: "omnibus1:", and six offsets a
/// character, the first in its lowest bit.
class Marks {
 public:
  /// Brokers take 4096 bytes (offset.metadata.max.bytes); what is farther away is left out.
  static constexpr std::size_t most = 4000;

  Marks() = default;
  explicit Marks(std::int64_t base) : base_{base} {}
  /// What was written beside the offset `base`. Any other text marks nothing.
  Marks(std::int64_t base, std::string_view text) : base_{base} {
    if (!text.starts_with(prefix)) return;
    for (const char letter : text.substr(prefix.size(), most)) {
      const std::size_t bits = letters.find(letter);
      if (bits == std::string_view::npos) {
        bits_.clear();
        return;
      }
      bits_.push_back(static_cast<char>(bits));
    }
  }

  void add(std::int64_t offset) {
    if (offset < base_) return;
    const auto [index, bit] = place_of(offset);
    if (index >= most) return;
    if (index >= bits_.size()) bits_.resize(index + 1);
    bits_[index] = static_cast<char>(bits_[index] | bit);
  }
  bool contains(std::int64_t offset) const noexcept {
    if (bits_.empty() || offset < base_) return false;
    const auto [index, bit] = place_of(offset);
    return index < bits_.size() && (bits_[index] & bit) != 0;
  }
  /// Calls `f` with each marked offset, in order.
  template <class F>
  void for_all(F f) const {
    for (std::size_t ahead = 0; ahead < bits_.size() * 6; ++ahead) {
      if ((bits_[ahead / 6] >> (ahead % 6) & 1) == 0) continue;
      // Of an offset that is hostile, the last ones are none.
      if (ahead > static_cast<std::size_t>(INT64_MAX - base_)) return;
      f(base_ + static_cast<std::int64_t>(ahead));
    }
  }
  /// Empty when nothing is marked.
  std::string text() const {
    std::string written;
    if (bits_.empty()) return written;
    written.assign(prefix);
    for (const char bits : bits_) written.push_back(letters[static_cast<std::size_t>(bits)]);
    return written;
  }

 private:
  static constexpr std::string_view prefix = "omnibus1:";
  static constexpr std::string_view letters =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  struct Place {
    std::size_t index;
    int bit;
  };
  Place place_of(std::int64_t offset) const noexcept {
    const auto ahead = static_cast<std::size_t>(offset - base_);
    return {ahead / 6, 1 << (ahead % 6)};
  }

  std::int64_t base_ = 0;
  std::string bits_;  // six in each
};

}  // namespace omnibus::kafka
