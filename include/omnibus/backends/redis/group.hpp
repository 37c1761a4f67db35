// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <omnibus/backends/redis/entry.hpp>
#include <omnibus/backends/redis/keys.hpp>
#include <omnibus/time.hpp>

// A group of a topic, and what its members do.

namespace omnibus::redis {

/// What a member is a member of.
struct Group {
  TopicKeys keys;
  std::string name;
  std::string owners;
  std::string members;
  std::vector<std::string> starts;  ///< of each stream: where the group begins; "$": with what is new
  Duration lease{};

  /// The one consumer of the group at the server: what is pending belongs to whoever owns the shard.
  static constexpr std::string_view consumer = "omnibus";
};

/// What a member does beside reading.
struct GroupPlan {
  std::string topic;
  Group group;
  ForeignFields foreign{};
  std::size_t largest_entry = 0;
  bool trim = false;     ///< remove what every group has finished
  bool bounded = false;  ///< entries may be dropped unread
  bool picks = false;    ///< some messages are settled, and others left for the next owner
};

}  // namespace omnibus::redis
