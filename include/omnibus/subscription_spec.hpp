// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <omnibus/message.hpp>

// What a subscription asks of the broker: which messages, from where on, in which order.

namespace omnibus {

/// Where a subscription starts when its group has no position yet, and where a reader without a
/// group always starts.
struct Start {
  enum class From : std::uint8_t { earliest, latest, position, time };
  /// A position in a partition.
  struct At {
    std::int32_t partition = 0;
    Position position{};
  };
  From from = From::earliest;
  std::vector<At> positions{};  ///< partitions that are not named start at the earliest message
  Time time{};                  ///< the first message of this time or later
};

/// What happens to a key's order when one of its messages fails.
enum class Order : std::uint8_t {
  strict,   ///< the failing key waits for its retry, other keys go on
  parked,   ///< after a dead letter the key's later messages follow it, in order
  relaxed,  ///< the broker delivers the failed message again later; order is given up
};

/// What a consumer does with what it gets.
enum class Use : std::uint8_t {
  handle,  ///< settles all of it, sooner or later
  pick,    ///< settles some: what it releases stays aside, for whoever comes after this consumer
  look,    ///< takes nothing: it sees what the group has not finished, and settling tells nobody
};

/// What a subscription wants of the broker.
struct SubscriptionSpec {
  std::string topic;
  std::string group;                 ///< empty: a reader of its own, which remembers nothing
  Start start;
  Order order = Order::strict;
  std::size_t window = 0;            ///< messages that may be unsettled at once
  std::vector<std::string> outputs{};  ///< topics the pipeline may publish to, dead letters above all
  Use use = Use::handle;
  bool transactional = false;        ///< settlements may have outputs
};

}  // namespace omnibus
