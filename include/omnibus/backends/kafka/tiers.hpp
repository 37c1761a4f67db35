// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <omnibus/time.hpp>

// Where messages wait that are to be delivered later: beside each topic, one more topic for each length
// of delay, made when it is first needed. Groups consume them with the topic. Pure functions.

namespace omnibus::kafka {

/// A topic of messages whose delays are between two bounds, so that they become due in nearly the
/// order in which they stand there.
struct Tier {
  std::string_view name;
  Duration from;
};
inline constexpr std::array<Tier, 9> tiers{{{"0s", Duration::zero()},
                                            {"1s", std::chrono::seconds{1}},
                                            {"5s", std::chrono::seconds{5}},
                                            {"30s", std::chrono::seconds{30}},
                                            {"2m", std::chrono::minutes{2}},
                                            {"10m", std::chrono::minutes{10}},
                                            {"1h", std::chrono::hours{1}},
                                            {"6h", std::chrono::hours{6}},
                                            {"1d", std::chrono::hours{24}}}};
inline constexpr Duration longest_delay = std::chrono::hours{24 * 30};
/// Topics that wait keep what they have for longer than the longest delay.
inline constexpr std::chrono::milliseconds later_retention = std::chrono::hours{24 * 60};

/// The tier for a delay: its number.
constexpr std::size_t tier_of(Duration delay) noexcept {
  std::size_t tier = 0;
  while (tier + 1 < tiers.size() && tiers[tier + 1].from <= delay) ++tier;
  return tier;
}

/// The topic in which a topic's messages of a tier wait.
inline std::string later_topic(std::string_view topic, std::size_t tier) {
  std::string name{topic};
  return name.append(".later.").append(tiers[tier].name);
}

}  // namespace omnibus::kafka
