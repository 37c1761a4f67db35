// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <omnibus/detail/hash.hpp>
#include <omnibus/message.hpp>

// What stands under which key. All keys of a topic have its name in braces, so that a cluster keeps them
// together, and a program may find them:
//
//   {orders}:0 ... {orders}:3      the streams, one for each shard
//   {orders}:shards                how many there are
//   {orders}:delayed               what is to come later: ids by due time, in microseconds
//   {orders}:delayed:bodies        and what they are
//   {orders}:owners:billing        of a group: which member owns which shard, as "fence:member"
//   {orders}:members:billing       and its members, by the end of their lease, in milliseconds
//   {orders}:0:later:billing       entries that are to be delivered again, by due time

namespace omnibus::redis {

/// A topic's name in braces. The key of somebody else's stream may have braces of its own.
inline std::string key_prefix(std::string_view name) {
  if (name.find('{') != std::string_view::npos) return std::string{name};
  return std::string{"{"}.append(name).append("}");
}

/// The keys of one topic, or of one stream that somebody else made.
struct TopicKeys {
  std::string prefix;
  std::vector<std::string> streams;
  std::string shards;  ///< empty: nobody counts them
  std::string delayed;
  std::string bodies;

  /// For a topic of ours.
  static TopicKeys of_topic(std::string_view topic, std::int32_t shards) {
    TopicKeys keys = of_prefix(key_prefix(topic));
    for (std::int32_t shard = 0; shard < shards; ++shard) {
      keys.streams.push_back(keys.prefix + ":" + std::to_string(shard));
    }
    keys.shards = keys.prefix + ":shards";
    return keys;
  }
  /// For a stream that is there.
  static TopicKeys of_stream(const std::string& stream) {
    TopicKeys keys = of_prefix(key_prefix(stream));
    keys.streams.push_back(stream);
    return keys;
  }

  std::string owners(std::string_view group) const {
    return std::string{prefix}.append(":owners:").append(group);
  }
  std::string members(std::string_view group) const {
    return std::string{prefix}.append(":members:").append(group);
  }
  std::string later(std::size_t shard, std::string_view group) const {
    return (prefix + ":" + std::to_string(shard)).append(":later:").append(group);
  }

 private:
  static TopicKeys of_prefix(std::string prefix) {
    TopicKeys keys;
    keys.delayed = prefix + ":delayed";
    keys.bodies = prefix + ":delayed:bodies";
    keys.prefix = std::move(prefix);
    return keys;
  }
};

/// The shard of a message: by its key, or by its id where it has none. Frozen, and the same as on
/// RabbitMQ.
inline std::int32_t shard_of(const MessageView& message, std::int32_t shards) noexcept {
  const std::uint64_t hash =
      omnibus::detail::hash64(message.key.empty() ? message.id : message.key);
  return static_cast<std::int32_t>(hash % static_cast<std::uint64_t>(shards));
}

}  // namespace omnibus::redis
