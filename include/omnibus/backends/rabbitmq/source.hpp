// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <omnibus/backend.hpp>
#include <omnibus/backends/rabbitmq/received.hpp>
#include <omnibus/backends/rabbitmq/shard.hpp>
#include <omnibus/backends/rabbitmq/topology.hpp>
#include <omnibus/clock.hpp>
#include <omnibus/subscription_spec.hpp>

// Where a subscription's messages come from: the shard queues of its group, the log of a topic, or a
// queue that somebody else made.

namespace omnibus::rabbitmq {

/// Where a reader of a log stands. Without I/O.
class LogCursor {
 public:
  LogCursor() = default;
  LogCursor(const Start& start, Time now) {
    // The broker knows when it took a message, a minute or so from when that was published.
    constexpr auto margin = std::chrono::minutes{1};
    switch (start.from) {
      case Start::From::earliest: from_ = std::string{"first"}; break;
      case Start::From::latest:
        from_ = std::string{"next"};
        registered_ = now;
        break;
      case Start::From::position:
        if (start.positions.empty()) {
          from_ = std::string{"first"};
        } else {
          from_ = static_cast<std::int64_t>(start.positions.front().position.major);
        }
        break;
      case Start::From::time:
        since_ = start.time;
        from_ = (start.time < now ? start.time : now) - margin;
        break;
    }
  }

  /// Where to enter the stream.
  const StreamOffset& from() const noexcept { return from_; }

  /// Notes a message, of which `tag` counts from 1 on each channel; `first_open` is the first one that
  /// is not done. False for what lies before the time to start at: a stream is entered at the beginning
  /// of a chunk (rabbitmq.com/docs/streams#consuming).
  bool wants(const Received& received, std::uint64_t tag, std::uint64_t first_open) {
    const std::uint64_t offset = received.facts().offset;
    if (const auto* wanted = std::get_if<std::int64_t>(&from_); wanted != nullptr && next_tag_ == 1) {
      lost_ = offset > static_cast<std::uint64_t>(*wanted);
    }
    next_tag_ = tag + 1;
    offsets_.push_back(offset);
    while (next_tag_ - offsets_.size() < first_open && offsets_.size() > 1) offsets_.pop_front();
    if (received.message().time < since_) return false;
    since_ = Time::min();
    return true;
  }
  /// True once, when the log begins after the position that was wanted.
  bool lost() noexcept { return std::exchange(lost_, false); }

  /// The channel is gone, of which `first_open` is the first delivery that is not done.
  void resume_after(std::uint64_t first_open) {
    if (!offsets_.empty()) {
      const std::uint64_t index = first_open - (next_tag_ - offsets_.size());
      from_ = static_cast<std::int64_t>(index < offsets_.size() ? offsets_[index]
                                                                : offsets_.back() + 1);
    } else if (registered_ != Time{}) {
      since_ = registered_;  // nothing has come yet: what was published meanwhile is wanted
      from_ = registered_ - std::chrono::minutes{1};
    }
    registered_ = Time{};
    offsets_.clear();
    next_tag_ = 1;
  }

 private:
  StreamOffset from_;
  Time since_ = Time::min();
  Time registered_{};  // of a reader that starts with what is new
  bool lost_ = false;
  std::deque<std::uint64_t> offsets_;  // of the deliveries up to next_tag_, from the first open one on
  std::uint64_t next_tag_ = 1;
};

/// What a subscription reads, and what must stand before it can.
struct Source {
  std::string topic;
  std::vector<std::string> queues = {};  ///< the last of them is `held`, where there is one
  std::string held = {};                 ///< what came before the first group
  DeclareQueue members = {};             ///< without a name: nobody is counted
  Topology topology = {};
  std::string later_name = {};           ///< what delay queues are named after
  std::size_t prefetch = 1;              ///< for each queue
  bool is_log = false;
  bool looks = false;                    ///< nothing is acknowledged
  LogCursor cursor = {};
};

namespace sources {

/// What each shard queue hands out at once. The same for every member, because quorum queues keep the
/// order of what comes back to them only if the next consumer takes all of it at once.
inline constexpr std::size_t shard_prefetch = 256;
/// What one hands out to those who leave messages unacknowledged, until they have seen all. The protocol
/// has no larger number.
inline constexpr std::size_t picking_prefetch = 65535;

/// For queues of which a window decides: at most what a quorum queue hands out
/// (rabbitmq.com/docs/quorum-queues).
inline std::size_t prefetch_for(std::size_t window) noexcept { return window < 2000 ? window : 2000; }

/// The log of a topic, for a reader without a group.
inline Source log(const SubscriptionSpec& spec, Shape shape, const Clock& clock) {
  shape.log = true;
  shape.hold = false;
  Source source{spec.topic, {log_queue(spec.topic)}};
  source.topology = topic_topology(spec.topic, shape);
  source.prefetch = prefetch_for(spec.window);
  source.is_log = true;
  source.cursor = LogCursor{spec.start, clock.wall()};
  return source;
}

/// The shard queues of a group.
inline Source group(const SubscriptionSpec& spec, const Shape& shape) {
  Source source{spec.topic};
  for (std::int32_t shard = 0; shard < shape.shards; ++shard) {
    source.queues.push_back(shard_queue(spec.topic, spec.group, shard));
  }
  source.prefetch = spec.use == Use::handle ? shard_prefetch : picking_prefetch;
  source.looks = spec.use == Use::look;
  if (spec.start.from == Start::From::earliest) {
    source.held = held_queue(spec.topic);
    source.queues.push_back(source.held);
  }
  source.members = members_declaration(spec.topic, spec.group);
  source.topology = group_topology(spec.topic, spec.group, shape);
  source.later_name = spec.topic + "/" + spec.group;
  return source;
}

/// A queue that somebody else made.
inline Source given(const SubscriptionSpec& spec, const std::string& queue) {
  Source source{spec.topic, {queue}};
  DeclareQueue there{queue};
  there.passive = true;
  source.topology = {there};
  source.prefetch = prefetch_for(spec.window);
  source.later_name = queue;
  return source;
}

}  // namespace sources

}  // namespace omnibus::rabbitmq
