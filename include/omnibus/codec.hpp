// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <exception>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <omnibus/result.hpp>

// Codec<E>: the one place to say how a type becomes bytes and what it is called on the wire.

namespace omnibus {

/// Makes E an event. Specialise it for your type:
///
///     template <> struct omnibus::Codec<OrderPlaced> {
///       static constexpr std::string_view type = "order.placed";           // the message type
///       static void encode(const OrderPlaced& event, std::string& out);    // appends bytes
///       static omnibus::Result<OrderPlaced> decode(std::string_view bytes);
///       static std::string_view key(const OrderPlaced& event);             // optional: the key
///     };
///
/// `encode` may throw or return `Result<>`; `decode` returns an error or throws when the bytes are
/// no E, and the message is then dead-lettered at once. `type` is empty for types that carry no name,
/// such as text. A codec whose bytes already lie in the event may have `view(const E&)` returning a
/// std::string_view instead of `encode`. For JSON: `#include <omnibus/codec/json.hpp>`.
/// Thread safety: the functions are called from many threads at once.
template <class E>
struct Codec;

namespace detail {

template <class E>
concept HasCodec = requires { sizeof(Codec<E>); };

template <class E>
concept ViewEncoder = requires(const E& event) {
  { Codec<E>::view(event) } -> std::convertible_to<std::string_view>;
};

template <class E>
concept AppendEncoder =
    requires(const E& event, std::string& out) { Codec<E>::encode(event, out); };

template <class E>
concept Decoder = requires(std::string_view bytes) {
  { Codec<E>::decode(bytes) } -> std::same_as<Result<E>>;
};

template <class E>
concept Keyed = requires(const E& event) {
  { Codec<E>::key(event) } -> std::convertible_to<std::string_view>;
};

/// The message type that E has on the wire; empty when its codec names none.
template <class E>
constexpr std::string_view event_type() noexcept {
  if constexpr (requires { std::string_view{Codec<E>::type}; }) {
    return Codec<E>::type;
  } else {
    return {};
  }
}

/// Calls E's codec; whatever it throws, or answers in place of a value, becomes an error of this code.
template <class E, class Call>
auto ask_codec(Errc code, std::string_view verb, Call&& call) -> decltype(call()) {
  const auto refused = [&](std::string why) {
    std::string operation{verb};
    if (!event_type<E>().empty()) operation.append(" ").append(event_type<E>());
    return Error::make(code, std::move(operation), std::move(why));
  };
  try {
    auto answer = call();
    if (!answer) return refused(std::move(answer.error().context));
    return answer;
  } catch (const std::exception& failure) {
    return refused(failure.what());
  } catch (...) {
    return refused("the codec threw something that is no std::exception");
  }
}

/// An E out of its bytes. Errors: decode_failed.
template <class E>
Result<E> decode_event(std::string_view bytes) {
  return ask_codec<E>(Errc::decode_failed, "decode", [&] { return Codec<E>::decode(bytes); });
}

/// The bytes of an event: those that lie in it, or those that its codec appends to `bytes`. Throws what the
/// codec throws.
template <class E>
Result<std::string_view> bytes_of(const E& event, std::string& bytes) {
  if constexpr (ViewEncoder<E>) {
    return std::string_view{Codec<E>::view(event)};
  } else if constexpr (AppendEncoder<E>) {
    if constexpr (std::is_void_v<decltype(Codec<E>::encode(event, bytes))>) {
      Codec<E>::encode(event, bytes);
    } else if (Result<> encoded = Codec<E>::encode(event, bytes); !encoded) {
      return std::move(encoded.error());
    }
    return std::string_view{bytes};
  } else {
    return std::string_view{};  // which was complained about
  }
}

}  // namespace detail
}  // namespace omnibus
