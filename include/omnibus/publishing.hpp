// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <omnibus/backend.hpp>
#include <omnibus/codec.hpp>
#include <omnibus/codec/text.hpp>
#include <omnibus/detail/latch.hpp>
#include <omnibus/options.hpp>

// From an event to the backend's window: encode it, and wait for its ending where that is wanted.

namespace omnibus::detail {

/// What an argument of `publish` is taken for: string literals count as text.
template <class E>
using EventOf = std::conditional_t<std::is_convertible_v<const E&, std::string_view> &&
                                       !std::is_same_v<E, std::string>,
                                   std::string_view, E>;

/// Says what is wrong with an event that is to be published, in one sentence.
template <class E>
consteval void check_event() {
  constexpr bool is_message = std::is_same_v<E, Message> || std::is_same_v<E, MessageView>;
  constexpr bool has_codec = is_message || HasCodec<EventOf<E>>;
  static_assert(has_codec,
                "omnibus: this event has no codec. Write template <> struct omnibus::Codec<Event> "
                "with encode and decode, or publish a std::string or an omnibus::Message");
  constexpr bool encodes = is_message || ViewEncoder<EventOf<E>> || AppendEncoder<EventOf<E>>;
  static_assert(encodes || !has_codec,
                "omnibus: the event's codec cannot encode. Write static void encode(const Event& "
                "event, std::string& out)");
}

/// A completion as backends take it. Says what is wrong with what is none, in one sentence.
template <class Done>
PublishDone completion(Done&& done) {
  constexpr bool good = std::is_invocable_v<Done&, Result<Receipt>>;
  static_assert(good,
                "omnibus: this is no completion of publish_async. Write a callable "
                "(omnibus::Result<omnibus::Receipt>)");
  if constexpr (good) {
    return std::forward<Done>(done);
  } else {
    return {};
  }
}

/// An event as a message, with the bytes that the event itself does not hold. The message views
/// `bytes`, the event, the options and the id, so that it stays where it is.
struct EncodedMessage {
  std::string bytes;
  MessageView message;

  EncodedMessage() = default;
  EncodedMessage(const EncodedMessage&) = delete;
  EncodedMessage& operator=(const EncodedMessage&) = delete;

  /// `new_id` is used when neither the event nor the options have an id.
  template <class E, class Options>
  Result<> encode(const E& event, const Options& options, std::string_view new_id, Time now) {
    if constexpr (std::is_same_v<E, Message> || std::is_same_v<E, MessageView>) {
      if constexpr (std::is_same_v<E, Message>) {
        message = event.view();
      } else {
        message = event;
      }
      if (message.time == Time{}) message.time = now;
    } else {
      message.time = now;
      if (Result<> encoded = encode_payload<EventOf<E>>(event); !encoded) return encoded;
    }
    if (!options.key.empty()) message.key = options.key;
    if (!options.headers.empty()) message.headers = options.headers;
    if (!options.id.empty()) message.id = options.id;
    if (message.id.empty()) message.id = new_id;
    if (options.sequence.epoch != 0) message.sequence = options.sequence;
    return {};
  }

 private:
  template <class E>
  Result<> encode_payload(const E& event) {
    message.type = event_type<E>();
    return ask_codec<E>(Errc::encode_failed, "encode", [&]() -> Result<> {
      Result<std::string_view> payload = bytes_of(event, bytes);
      if (!payload) return std::move(payload.error());
      message.payload = *payload;
      if constexpr (Keyed<E>) message.key = Codec<E>::key(event);
      return {};
    });
  }
};

/// Submits one message and blocks until its ending. `to` is a backend, or what stands before one.
template <class To>
Result<Receipt> submit_and_wait(To& to, std::string_view topic, const MessageView& message,
                                Duration delay, Submit how) {
  how.awaited = true;
  Result<Receipt> result = Receipt{};
  Latch ended{1};
  Outgoing outgoing{message, delay, [&](Result<Receipt> ending) {
                      result = std::move(ending);
                      ended.arrive();
                    }};
  to.submit(topic, {&outgoing, 1}, how);
  ended.wait();
  return result;
}

}  // namespace omnibus::detail
