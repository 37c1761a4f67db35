// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <omnibus/backend.hpp>
#include <omnibus/backends/redis/command.hpp>
#include <omnibus/backends/redis/delays.hpp>
#include <omnibus/backends/redis/reader.hpp>
#include <omnibus/backends/redis/record.hpp>
#include <omnibus/backends/redis/routes.hpp>
#include <omnibus/backends/redis/scripts.hpp>
#include <omnibus/backends/redis/stream_id.hpp>

// Messages that are published as one: one command with one reply, and so one ending. No I/O.

namespace omnibus::redis {

/// Where one of several messages goes.
struct Placed {
  MessageView message;
  Route* route = nullptr;
  std::int32_t shard = 0;

  std::string_view stream() const noexcept { return route->keys.streams[static_cast<std::size_t>(shard)]; }
};

/// Appends the command that stores messages, all of them or none. `bound` is how many entries a stream may
/// have, roughly; 0: any.
inline void append_several(std::string& out, std::span<const Placed> all, std::uint64_t bound) {
  std::map<std::string_view, std::size_t> streams;
  std::size_t arguments = 0;
  for (const Placed& each : all) {
    streams.emplace(each.stream(), 0);
    arguments += 2 + count_fields(each.message);
  }
  begin_command(out, 3 + streams.size() + 1 + arguments);
  append_script(out, scripts::several, streams.size());
  std::size_t number = 0;
  for (auto& [stream, index] : streams) {
    index = ++number;  // as Lua counts
    append_argument(out, stream);
  }
  append_argument(out, bound);
  for (const Placed& each : all) {
    append_argument(out, streams.find(each.stream())->second);
    append_argument(out, count_fields(each.message));
    append_fields(out, each.message);
  }
}

/// The topics of several messages, and the reply to their command.
class Several {
 public:
  explicit Several(std::span<const Placed> all) {
    for (const Placed& each : all) {
      bool known = false;
      for (const Route* one : routes_) known |= one == each.route;
      if (!known) routes_.push_back(each.route);
      receipts_.push_back({each.shard, {}});
    }
  }

  std::span<Route* const> routes() const noexcept { return routes_; }

  /// A part of the reply: an array, and an id for each message.
  void note(const Part& part) noexcept {
    if (part.depth == 0) read_ = 0;
    if (part.depth != 1 || part.index >= receipts_.size()) return;
    if (part.kind == Part::Kind::text && parse_id(part.text, receipts_[part.index].position)) ++read_;
  }
  /// True when the reply has made sense.
  bool is_whole() const noexcept { return read_ == receipts_.size(); }
  std::span<const Receipt> receipts() const noexcept { return receipts_; }

 private:
  std::vector<Route*> routes_;
  std::vector<Receipt> receipts_;
  std::size_t read_ = 0;
};

}  // namespace omnibus::redis
