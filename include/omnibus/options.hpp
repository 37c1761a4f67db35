// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <omnibus/backend.hpp>
#include <omnibus/headers.hpp>
#include <omnibus/limits.hpp>
#include <omnibus/parked_store.hpp>
#include <omnibus/subscription_spec.hpp>

// What a caller may say when publishing and subscribing. What a backend cannot do is a compile
// error at the place where it is asked for.

namespace omnibus {

/// What holds for a whole bus.
struct BusOptions {
  Duration publish_timeout = std::chrono::seconds{10};  ///< when a publish does not say otherwise
  Duration close_timeout = std::chrono::seconds{30};    ///< of `run` and of the destructor
  MessageLimits limits{};                               ///< checked before anything is sent
  /// Number the messages of each key, for those who receive them behind `sequenced`: so many keys are
  /// remembered. 0: messages have no numbers. The publishes of a bus then follow one another.
  std::size_t numbered_keys = 0;
  std::uint64_t seed = 0;  ///< of the jitter of back-offs, for runs that repeat; 0: another each time
};

/// A delay before delivery, for backends that can delay.
template <class B>
struct Delay {
  Duration value{};
  Delay() = default;
  template <class Rep, class Period>
  Delay(std::chrono::duration<Rep, Period> delay) : value{delay} {
    static_assert(B::capabilities.delays,
                  "omnibus: this backend cannot delay messages. Leave .delay out, or choose a "
                  "backend whose capabilities say delays");
  }
};

/// How to publish one message.
template <class B>
struct PublishOptions {
  std::string_view key = {};  ///< what must stay in order; empty: the codec's key, if it has one
  Headers headers = {};
  std::string_view id = {};   ///< unique; empty: a new UUIDv7
  Delay<B> delay = {};        ///< delivered no earlier than this from now
  Duration timeout = {};      ///< until the ending is known; zero: the bus's publish_timeout
  bool wait_for_room = true;  ///< false: a full window fails at once with window_full
  Sequence sequence = {};     ///< where the message stands in its key's numbering
};

/// How to publish the messages of a MessageBatch.
struct BatchPublishOptions {
  Duration timeout = {};      ///< until the endings of all are known; zero: the bus's publish_timeout
  bool wait_for_room = true;  ///< false: a full window fails at once with window_full
};

/// Tags for `SubscribeOptions::order`; see Order.
inline constexpr struct StrictOrder {
} strict;
inline constexpr struct ParkedOrder {
} parked;
inline constexpr struct RelaxedOrder {
} relaxed;

/// Tags and values for `SubscribeOptions::start`; see Start.
inline constexpr struct FromEarliest {
} earliest;
inline constexpr struct FromLatest {
} latest;
struct FromPosition {
  std::vector<Start::At> positions;
};
struct FromTime {
  Time time;
};
/// Starts with the message at this position of this partition.
inline FromPosition at(Position position, std::int32_t partition = 0) {
  return {{{partition, position}}};
}
/// Starts with the first message published at this time or later.
inline FromTime since(Time time) { return {time}; }

/// An order that backend B can keep.
template <class B>
struct OrderOf {
  Order value = Order::strict;
  OrderOf() = default;
  OrderOf(StrictOrder) {}
  OrderOf(ParkedOrder) : value{Order::parked} {}
  template <class T>
    requires std::is_same_v<T, RelaxedOrder>
  OrderOf(T) : value{Order::relaxed} {
    static_assert(B::capabilities.delays && B::capabilities.redelivers,
                  "omnibus: this backend cannot redeliver later. Write .order = omnibus::strict, or "
                  "choose a backend whose capabilities say delays and redelivers");
  }
};

/// A start that backend B can offer.
template <class B>
struct StartOf {
  Start value{};
  StartOf() = default;
  StartOf(FromEarliest) {}
  StartOf(FromLatest) { value.from = Start::From::latest; }
  template <class T>
    requires std::is_same_v<T, FromPosition>
  StartOf(T from) {
    static_assert(B::capabilities.replay_by_position,
                  "omnibus: this backend has no positions to start from. Write .start = "
                  "omnibus::earliest or omnibus::latest");
    value.from = Start::From::position;
    value.positions = std::move(from.positions);
  }
  template <class T>
    requires std::is_same_v<T, FromTime>
  StartOf(T from) {
    static_assert(B::capabilities.replay_by_time,
                  "omnibus: this backend cannot start at a time. Write .start = omnibus::earliest "
                  "or omnibus::latest");
    value.from = Start::From::time;
    value.time = from.time;
  }
};

/// Where a group on backend B keeps its parked keys. Lifetime: the store must outlive the subscription.
template <class B>
struct ParkedIn {
  ParkedStore* value = nullptr;
  ParkedIn() = default;
  template <class S>
    requires std::is_base_of_v<ParkedStore, S>
  ParkedIn(S& store) : value{&store} {
    static_assert(B::capabilities.groups && B::capabilities.redelivers,
                  "omnibus: this backend has no groups that share parked keys. Leave .parked_in out, or "
                  "choose a backend whose capabilities say groups and redelivers");
  }
  template <class S>
    requires std::is_base_of_v<ParkedStore, S>
  ParkedIn(const S&& store) = delete;  ///< it would be gone before the first message
};

/// How to subscribe. Everything has a safe default.
template <class B>
struct SubscribeOptions {
  std::string group = {};                ///< empty: the group of the bus's config
  std::size_t concurrency = 1;           ///< handlers that run at once, for different keys
  OrderOf<B> order = {};                 ///< strict, parked or relaxed
  /// With `parked`: the store of the group's parked keys, the same for all of its members, which then know
  /// them after a restart as well. Nothing: in memory, of this subscription alone, until it ends.
  ParkedIn<B> parked_in = {};
  StartOf<B> start = {};                 ///< for a group without a position, and for readers
  std::size_t window = 1024;             ///< messages taken from the broker and not yet settled
  std::size_t window_waiting = 8192;     ///< and more of them that wait for another attempt
  std::size_t window_bytes = 16u << 20;  ///< and their payload bytes
};

}  // namespace omnibus
