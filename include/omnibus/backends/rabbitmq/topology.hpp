// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <omnibus/detail/hash.hpp>
#include <omnibus/message.hpp>
#include <omnibus/time.hpp>

// What stands on the broker for a topic, a group, a reader and a delay: names and declarations, as
// data. Names that a user chose cannot contain '/', so that no two of these can be the same.

namespace omnibus::rabbitmq {

/// What keeps a group's messages.
enum class QueueType : std::uint8_t {
  quorum,   ///< on a majority of the cluster's nodes
  classic,  ///< on one node, and lost with it
};

/// One argument of a declaration.
struct Argument {
  std::string name;
  std::variant<std::int64_t, std::string, bool> value;
};

struct DeclareExchange {
  std::string name;
  std::string type;
  std::string alternate = {};  ///< the exchange that gets what is routed to no queue
  bool passive = false;        ///< it must be there, whatever it is like
};
struct DeclareQueue {
  std::string name;
  std::vector<Argument> arguments = {};
  bool passive = false;
};
struct Bind {
  std::string queue;
  std::string exchange;
  std::string routing_key;
};
/// Keeps others from declaring what is called so, until Unlock or the end of the connection. Who declares
/// a quorum queue that another connection is just declaring is told that it is there before it is (RabbitMQ
/// 3.10), and what is bound then refuses messages. Who is locked out gets Errc::unavailable.
struct Lock {
  std::string name;
};
struct Unlock {
  std::string name;
};
using Declaration = std::variant<DeclareExchange, DeclareQueue, Bind, Lock, Unlock>;
/// Declarations in the order in which they must be made. All of them may be made again.
using Topology = std::vector<Declaration>;

/// What shapes the topology. All buses on one topic must agree; where they do not, the broker says so.
struct Shape {
  std::int32_t shards = 4;
  QueueType queues = QueueType::quorum;
  bool hold = false;
  bool log = false;
  Duration log_age = std::chrono::hours{24 * 7};
};

inline std::string shard_queue(std::string_view topic, std::string_view group, std::int32_t shard) {
  return std::string{topic}.append("/").append(group).append("/").append(std::to_string(shard));
}
/// Its consumers are the members of the group.
inline std::string members_queue(std::string_view topic, std::string_view group) {
  return std::string{topic}.append("/").append(group).append("/members");
}
inline std::string log_queue(std::string_view topic) { return std::string{topic}.append("/log"); }
/// Holds what came before any group had subscribed.
inline std::string held_queue(std::string_view topic) { return std::string{topic}.append("/held"); }
/// The name carries the number of shards: the broker compares it, so that a bus with another number
/// is refused instead of sending keys where nobody looks.
inline std::string alternate_exchange(std::string_view topic, std::int32_t shards) {
  return std::string{topic}.append("/unrouted-of-").append(std::to_string(shards));
}
inline std::string later_exchange(std::string_view target, Duration tier) {
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(tier).count();
  return std::string{target}.append("/@").append(std::to_string(ms)).append("ms");
}

/// What a shard is chosen by: the key of a message, or its id where it has none. Frozen.
inline std::uint64_t shard_hash(const MessageView& message) noexcept {
  return detail::hash64(message.key.empty() ? message.id : message.key);
}
/// The shard of messages with this hash.
inline std::int32_t shard_of(std::uint64_t hash, std::int32_t shards) noexcept {
  return static_cast<std::int32_t>(hash % static_cast<std::uint64_t>(shards));
}

/// The exchange of a topic and, if the shape wants it, what holds or keeps its messages.
inline Topology topic_topology(const std::string& topic, const Shape& shape) {
  const std::string alternate = alternate_exchange(topic, shape.shards);
  Topology made;
  made.push_back(DeclareExchange{topic, "direct", alternate});
  if (shape.hold || shape.log) made.push_back(Lock{topic});
  if (shape.hold) {
    made.push_back(DeclareExchange{alternate, "fanout"});
    made.push_back(DeclareQueue{held_queue(topic),
                                {{"x-queue-type", std::string{"quorum"}},
                                 {"x-single-active-consumer", true},
                                 {"x-delivery-limit", std::int64_t{1'000'000}}}});
    made.push_back(Bind{held_queue(topic), alternate, ""});
  }
  if (shape.log) {
    const auto age = std::chrono::duration_cast<std::chrono::seconds>(shape.log_age).count();
    made.push_back(DeclareQueue{log_queue(topic),
                                {{"x-queue-type", std::string{"stream"}},
                                 {"x-max-age", std::to_string(age).append("s")}}});
    for (std::int32_t shard = 0; shard < shape.shards; ++shard) {
      made.push_back(Bind{log_queue(topic), topic, std::to_string(shard)});
    }
  }
  if (shape.hold || shape.log) made.push_back(Unlock{topic});
  return made;
}

/// The queue that only serves to count the members of a group, and goes when it had none for a day.
inline DeclareQueue members_declaration(std::string_view topic, std::string_view group) {
  return {members_queue(topic, group),
          {{"x-queue-type", std::string{"quorum"}}, {"x-expires", std::int64_t{24 * 3600 * 1000}}}};
}

/// The topic and the queues of one of its groups. RabbitMQ 4 drops what was delivered 20 times unless
/// a limit is given (rabbitmq.com/docs/quorum-queues#poison-message-handling); here no delivery is
/// ever dropped, so that the limit is one that is never reached.
inline Topology group_topology(const std::string& topic, const std::string& group, Shape shape) {
  shape.hold = shape.log = false;
  Topology made = topic_topology(topic, shape);
  const std::string lock = members_queue(topic, group);
  made.push_back(Lock{lock});
  for (std::int32_t shard = 0; shard < shape.shards; ++shard) {
    DeclareQueue queue{shard_queue(topic, group, shard), {{"x-single-active-consumer", true}}};
    if (shape.queues == QueueType::quorum) {
      queue.arguments.push_back({"x-queue-type", std::string{"quorum"}});
      queue.arguments.push_back({"x-delivery-limit", std::int64_t{1'000'000}});
    }
    made.push_back(queue);
    made.push_back(Bind{queue.name, topic, std::to_string(shard)});
  }
  made.push_back(members_declaration(topic, group));
  made.push_back(Unlock{lock});
  return made;
}

/// The delays that have a queue of their own: 1, 2 and 5 times powers of ten, from 10 ms. Returns the
/// one to wait in first for `delay`; what is left of the delay is waited for afterwards. Of all hops
/// together nothing comes early, nor later than an eighth of the delay or 10 ms. A pure function.
inline Duration delay_tier(Duration delay) noexcept {
  using std::chrono::milliseconds;
  const Duration slack = delay / 8 > milliseconds{10} ? delay / 8 : Duration{milliseconds{10}};
  Duration below = milliseconds{10};
  Duration tier = milliseconds{10};
  constexpr Duration longest = std::chrono::seconds{500'000};
  for (int step = 0; tier < delay && tier < longest; ++step) {
    below = tier;
    tier = step % 3 == 1 ? tier * 5 / 2 : tier * 2;
  }
  return tier - delay <= slack ? tier : below;
}

/// A queue in which copies wait for `tier` and then go to `target`: to the exchange of a topic, or,
/// with an empty name, to the queue that the routing key names. Dead-lettering of quorum queues is at
/// least once with these arguments, from RabbitMQ 3.10 on (rabbitmq.com/docs/quorum-queues).
inline Topology later_topology(std::string_view name, const std::string& target, Duration tier) {
  const std::string waiting = later_exchange(name, tier);
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(tier).count();
  return {Lock{waiting},
          DeclareExchange{waiting, "fanout"},
          DeclareQueue{waiting,
                       {{"x-queue-type", std::string{"quorum"}},
                        {"x-message-ttl", std::int64_t{ms}},
                        {"x-dead-letter-exchange", target},
                        {"x-dead-letter-strategy", std::string{"at-least-once"}},
                        {"x-overflow", std::string{"reject-publish"}}}},
          Bind{waiting, waiting, ""},
          Unlock{waiting}};
}

}  // namespace omnibus::rabbitmq
