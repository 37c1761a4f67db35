// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <omnibus/detail/uuid.hpp>
#include <omnibus/headers.hpp>
#include <omnibus/limits.hpp>
#include <omnibus/message.hpp>
#include <omnibus/publishing.hpp>
#include <omnibus/result.hpp>
#include <omnibus/sequence.hpp>

// Messages for several topics, to be published together.

namespace omnibus {

/// What one message of a batch has that its event does not say.
struct MessageOptions {
  std::string_view key = {};  ///< what must stay in order; empty: the codec's key, if it has one
  Headers headers = {};
  std::string_view id = {};   ///< unique; empty: a new UUIDv7
  Sequence sequence = {};     ///< where the message stands in its key's numbering
};

/// Messages that are published together, in this order. Who publishes it gives ids to those that have none, which
/// they keep when it is published again.
/// Thread safety: one thread at a time.
class MessageBatch {
 public:
  /// One message and where it goes.
  struct Each {
    std::string topic;
    Message message;
  };

  /// Adds an event, which is any type with a Codec, a Message or a MessageView; it is copied.
  /// Errors: encode_failed, and invalid_argument where the topic has no name; nothing is then added.
  template <class E>
  Result<> add(std::string_view topic, const E& event, const MessageOptions& options = {}) {
    detail::check_event<E>();
    if (!is_topic_name(topic)) {
      return Error::make(Errc::invalid_argument, "add to a batch", "the topic is no topic name");
    }
    detail::EncodedMessage encoded;
    if (Result<> done = encoded.encode(event, options, {}, {}); !done) return done;
    bytes_ += encoded.message.payload.size();
    all_.push_back({std::string{topic}, Message{encoded.message}});
    return {};
  }

  bool empty() const noexcept { return all_.empty(); }
  std::size_t size() const noexcept { return all_.size(); }
  /// Of the payloads.
  std::size_t bytes() const noexcept { return bytes_; }
  auto begin() const noexcept { return all_.begin(); }
  auto end() const noexcept { return all_.end(); }
  const Each& operator[](std::size_t index) const noexcept { return all_[index]; }
  void clear() noexcept {
    all_.clear();
    bytes_ = 0;
  }

  /// For who publishes it: each message has an id and a time from now on.
  void stamp(detail::UuidGenerator& ids, Time now) {
    for (Each& each : all_) {
      if (each.message.time == Time{}) each.message.time = now;
      if (!each.message.id.empty()) continue;
      const detail::UuidText id = ids.next(now);
      each.message.id.assign(id.data(), id.size());
    }
  }

 private:
  std::vector<Each> all_;
  std::size_t bytes_ = 0;
};

namespace detail {

/// Says whether the messages may be published. Errors: as check_message, and which message it is.
inline Result<> check_batch(const MessageBatch& batch, const MessageLimits& limits) {
  for (std::size_t i = 0; i < batch.size(); ++i) {
    Result<> good = check_message(batch[i].message.view(), limits);
    if (good) continue;
    good.error().context.insert(0, "message " + std::to_string(i) + " of the batch: ");
    return good;
  }
  return {};
}

}  // namespace detail
}  // namespace omnibus
