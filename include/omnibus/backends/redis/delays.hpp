// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <omnibus/backends/redis/command.hpp>
#include <omnibus/backends/redis/keys.hpp>
#include <omnibus/backends/redis/record.hpp>
#include <omnibus/backends/redis/scripts.hpp>
#include <omnibus/message.hpp>
#include <omnibus/time.hpp>

// Messages that are to come later stand in a sorted set, by due time on the server's clock. Whoever
// publishes moves them when they are due, and so does every member of a group, in case that one is gone.

namespace omnibus::redis {

/// The longest delay: sorted sets count in doubles, and the sum is to stay exact to the microsecond.
inline constexpr Duration longest_delay = std::chrono::hours{24 * 365 * 100};

/// Appends the beginning of EVAL, up to the number of keys.
inline void append_script(std::string& out, std::string_view script, std::size_t keys) {
  append_argument(out, "EVAL");
  append_argument(out, script);
  append_argument(out, keys);
}

/// Appends the command that holds a message back. `bound` is how many entries the stream may have; 0: any.
inline void append_delayed(std::string& out, const TopicKeys& keys, std::size_t shard,
                           std::uint64_t bound, const MessageView& message, Duration delay) {
  begin_command(out, 3 + 2 + 3 + count_fields(message));
  append_script(out, scripts::delay, 2);
  append_argument(out, keys.delayed);
  append_argument(out, keys.bodies);
  append_argument(out, std::chrono::ceil<std::chrono::microseconds>(delay).count());
  append_argument(out, keys.streams[shard]);
  append_argument(out, bound);
  append_fields(out, message);
}

/// Appends the command that moves what is due.
inline void append_move(std::string& out, const TopicKeys& keys) {
  constexpr int at_once = 100;
  begin_command(out, 3 + 2 + keys.streams.size() + 1);
  append_script(out, scripts::move, 2 + keys.streams.size());
  append_argument(out, keys.delayed);
  append_argument(out, keys.bodies);
  for (const std::string& stream : keys.streams) append_argument(out, stream);
  append_argument(out, at_once);
}

}  // namespace omnibus::redis
