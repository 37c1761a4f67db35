// SPDX-License-Identifier: MIT
#pragma once

// std::min and std::max without <algorithm>, which alone is 8,600 lines of preprocessed C++20.

namespace omnibus::detail {

template <class T>
constexpr T smaller(T a, T b) noexcept {
  return b < a ? b : a;
}

template <class T>
constexpr T larger(T a, T b) noexcept {
  return a < b ? b : a;
}

}  // namespace omnibus::detail
