// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <omnibus/headers.hpp>
#include <omnibus/time.hpp>

// The envelope. Message owns its bytes; MessageView looks at bytes that someone else keeps, which is
// what travels through backends, so that each copies a message once, into the place where it stays.

namespace omnibus {

/// Where a message stands in the numbering of its key by its producer. An epoch of 0 means that the
/// producer does not number.
struct Sequence {
  std::uint64_t epoch = 0;   ///< grows each time the producer starts
  std::uint64_t number = 0;  ///< counts the key's messages from 0 within an epoch
  bool operator==(const Sequence&) const = default;
};

/// A message whose bytes live elsewhere. Lifetime: of what it was made from.
struct MessageView {
  std::string_view id;       ///< unique; the same on every resend and redelivery
  std::string_view type;     ///< names what the payload is; empty on foreign messages
  std::string_view key;      ///< what must stay in order; empty: no order asked for
  HeadersView headers;
  std::string_view payload;  ///< bytes, not necessarily text
  Time time{};               ///< when it was published
  Sequence sequence{};
};

/// A message that owns its bytes: a plain value.
struct Message {
  std::string id;
  std::string type;
  std::string key;
  Headers headers;
  std::string payload;
  Time time{};
  Sequence sequence{};

  Message() = default;
  /// Copies what the view shows.
  explicit Message(const MessageView& view)
      : id{view.id},
        type{view.type},
        key{view.key},
        headers{view.headers},
        payload{view.payload},
        time{view.time},
        sequence{view.sequence} {}

  MessageView view() const noexcept {
    return {id, type, key, headers.view(), payload, time, sequence};
  }
};

/// A message's place in its partition: an offset, a stream id or a log position, whichever the
/// broker has. Order: positions of one partition grow in the order of delivery.
struct Position {
  std::uint64_t major = 0;
  std::uint64_t minor = 0;  ///< the second half of a Redis stream id; 0 elsewhere
  auto operator<=>(const Position&) const = default;
};

/// What the broker said when it took a message.
struct Receipt {
  std::int32_t partition = 0;
  Position position{};  ///< zero where the broker does not tell
};

/// What a backend hands over with each message.
struct Incoming {
  const MessageView* message = nullptr;  ///< stays valid until the token is settled
  std::string_view topic;                ///< likewise
  std::int32_t partition = 0;
  Position position{};
  std::uint32_t attempts = 0;  ///< how often it was delivered before, as far as the broker knows
  std::uint64_t token = 0;     ///< the backend's name for this delivery, unique within a consumer
  /// Where it is not null, the message shows its key, payload and time alone until this has been called
  /// with the token: once, by whoever needs the rest first, before the token is settled.
  void (*complete)(std::uint64_t token) = nullptr;
};

}  // namespace omnibus
