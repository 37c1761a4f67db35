// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <omnibus/backends/rabbitmq/amqp.hpp>
#include <omnibus/backends/rabbitmq/received.hpp>
#include <omnibus/backends/rabbitmq/settled.hpp>
#include <omnibus/subscription_spec.hpp>

// One queue that is consumed, on a channel of its own: closing that channel gives back what is not
// acknowledged, in order, and disturbs no other queue.

namespace omnibus::rabbitmq {

class Shard;

/// A message that has come in and is not settled. Its address is its token.
struct Held {
  Received received;
  Shard* shard = nullptr;
  std::uint64_t generation = 0;  ///< of the channel it came on
  std::uint64_t tag = 0;
  bool redelivered = false;
  Duration delay{};            ///< of the copy that is being sent
  std::uint32_t attempts = 0;  ///< likewise
  Held* next_free = nullptr;

  /// Whether its channel is still there, so that it can be acknowledged.
  bool current() const noexcept;
};

/// Memory of messages, used again. Thread safety: one thread at a time.
class HeldPool {
 public:
  Held& take() {
    if (free_ == nullptr) {
      blocks_.push_back(std::make_unique<Held[]>(block_size));
      for (std::size_t i = 0; i < block_size; ++i) give_back(blocks_.back()[i]);
    }
    Held& held = *free_;
    free_ = held.next_free;
    return held;
  }
  void give_back(Held& held) noexcept {
    held.received.release();
    held.next_free = free_;
    free_ = &held;
  }

 private:
  static constexpr std::size_t block_size = 64;
  std::vector<std::unique_ptr<Held[]>> blocks_;
  Held* free_ = nullptr;
};

/// Where a stream is read from: "first" or "next", an offset, or a time.
using StreamOffset = std::variant<std::monostate, std::string, std::int64_t, Time>;

/// One queue and its channel. A state machine without I/O. Thread safety: one thread at a time.
class Shard {
 public:
  enum class State : std::uint8_t {
    closed,
    opening,
    consuming,  ///< registered; perhaps another member is the active consumer
    draining,   ///< takes nothing more; its channel closes when nothing is being handled
    finishing,  ///< the last acknowledgements are on their way
    closing,
  };

  Shard(std::int32_t index, std::uint16_t channel, std::string queue, std::size_t prefetch)
      : index_{index},
        channel_{channel},
        queue_{std::move(queue)},
        prefetch_{static_cast<std::uint16_t>(prefetch)} {}

  std::int32_t index() const noexcept { return index_; }
  std::uint16_t channel() const noexcept { return channel_; }
  const std::string& queue() const noexcept { return queue_; }
  State state() const noexcept { return state_; }
  std::uint64_t generation() const noexcept { return generation_; }
  bool takes() const noexcept { return state_ == State::consuming || state_ == State::opening; }
  /// True when it is the active consumer, as far as deliveries have shown.
  bool active() const noexcept { return state_ == State::consuming && active_; }
  /// A delivery is being handed on.
  void took() noexcept {
    active_ = true;
    ++unsettled_;
  }
  /// It has ended: `done`, or given back. Call only for deliveries of this generation.
  void settle(std::uint64_t tag, bool done) {
    --unsettled_;
    if (done) settled_.done(tag);
  }
  /// How many have not ended.
  std::size_t unsettled() const noexcept { return unsettled_; }
  /// How many acknowledgements are worth a frame at once.
  std::size_t batch() const noexcept { return prefetch_ < 256 ? prefetch_ / 4u + 1u : 64u; }

  /// Opens the channel and consumes. The answers come as methods.
  void open(std::string& out, const StreamOffset& from = {}) {
    amqp_channel_open_t open{};
    append_method(out, channel_, AMQP_CHANNEL_OPEN_METHOD, &open);
    amqp_basic_qos_t qos{};
    qos.prefetch_count = prefetch_;
    append_method(out, channel_, AMQP_BASIC_QOS_METHOD, &qos);
    append_consume(out, from, "");
    state_ = State::opening;
    active_ = false;
  }
  void opened() noexcept { state_ = State::consuming; }
  void drain() noexcept { state_ = State::draining; }
  /// Acknowledges what is done and then closes the channel: the rest goes back. To be called again at
  /// each answer of the broker, until it is closed. In between a second consumer is asked for and
  /// cancelled, which the broker answers only when the queue has applied every acknowledgement before
  /// it: what it has not applied it would forget with the channel.
  void finish(std::string& out) {
    if (state_ == State::opening) return abandon(out);  // nothing has come
    const std::size_t before = out.size();
    settled_.acknowledge(out, channel_, true);
    if (out.size() != before || state_ != State::finishing || second_) {
      append_barrier(out);
      state_ = State::finishing;
    } else {
      append_close(out);
    }
  }
  /// Acknowledges what is done and closes the channel without waiting for anything.
  void abandon(std::string& out) {
    settled_.acknowledge(out, channel_, true);
    append_close(out);
  }
  /// The channel is gone: what came on it can no longer be settled.
  void closed() noexcept {
    state_ = State::closed;
    active_ = false;
    ++generation_;
    unsettled_ = 0;
    second_ = false;
    settled_.reset();
  }

  /// The acknowledgements of this channel.
  Settled& settled() noexcept { return settled_; }

  /// The message whose header and body are coming in.
  Held* arriving = nullptr;
  /// Copies of messages that are on their way to a delay queue.
  std::size_t forwarding = 0;

 private:
  static constexpr std::string_view second_tag = "second";

  void append_barrier(std::string& out) {
    second_ = !second_;
    if (second_) return append_consume(out, {}, second_tag);
    amqp_basic_cancel_t cancel{};
    cancel.consumer_tag = bytes_of(second_tag);
    append_method(out, channel_, AMQP_BASIC_CANCEL_METHOD, &cancel);
  }

  void append_close(std::string& out) {
    append_channel_close(out, channel_);
    state_ = State::closing;
  }

  void append_consume(std::string& out, const StreamOffset& from, std::string_view tag) {
    amqp_basic_consume_t consume{};
    consume.queue = bytes_of(queue_);
    consume.consumer_tag = bytes_of(tag);
    amqp_table_entry_t offset{};
    offset.key = bytes_of("x-stream-offset");
    if (set(offset.value, from)) consume.arguments = {1, &offset};
    append_method(out, channel_, AMQP_BASIC_CONSUME_METHOD, &consume);
  }

  static bool set(amqp_field_value_t& field, const StreamOffset& from) {
    if (const auto* name = std::get_if<std::string>(&from)) {
      field.kind = AMQP_FIELD_KIND_UTF8;
      field.value.bytes = bytes_of(*name);
    } else if (const auto* offset = std::get_if<std::int64_t>(&from)) {
      field.kind = AMQP_FIELD_KIND_I64;
      field.value.i64 = *offset;
    } else if (const auto* time = std::get_if<Time>(&from)) {
      const auto since = std::chrono::floor<std::chrono::seconds>(time->time_since_epoch());
      field.kind = AMQP_FIELD_KIND_TIMESTAMP;
      field.value.u64 = static_cast<std::uint64_t>(since.count() > 0 ? since.count() : 0);
    } else {
      return false;
    }
    return true;
  }

  const std::int32_t index_;
  const std::uint16_t channel_;
  const std::string queue_;
  const std::uint16_t prefetch_;
  State state_ = State::closed;
  bool active_ = false;
  bool second_ = false;  // a second consumer stands there, or has been asked for
  std::uint64_t generation_ = 0;
  std::size_t unsettled_ = 0;
  Settled settled_;
};

inline bool Held::current() const noexcept { return generation == shard->generation(); }

}  // namespace omnibus::rabbitmq
