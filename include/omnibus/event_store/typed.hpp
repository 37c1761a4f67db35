// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <variant>
#include <vector>

#include <omnibus/codec.hpp>
#include <omnibus/event_store/event.hpp>
#include <omnibus/result.hpp>

// Between events as users write them, each a type with a codec, and events as stores keep them.

namespace omnibus {

/// A list of types of events.
template <class... E>
struct EventTypes {
  template <class T>
  static constexpr bool has = (std::is_same_v<T, E> || ...);
};

/// What becomes of an event whose type nobody takes.
enum class UnknownType : std::uint8_t {
  fail,  ///< reading ends in front of it, with `unknown_type`: nothing is left out in silence
  skip,  ///< it is left out
};

namespace detail {

template <class E>
concept Encoder = HasCodec<E> && (ViewEncoder<E> || AppendEncoder<E>);

/// True when a value of type T holds events of these types alone: one of them, or a std::variant, std::tuple,
/// std::optional or std::vector of what does.
template <class T, class Types>
inline constexpr bool holds_only = Types::template has<T>;
template <class... T, class Types>
inline constexpr bool holds_only<std::variant<T...>, Types> = (holds_only<T, Types> && ...);
template <class... T, class Types>
inline constexpr bool holds_only<std::tuple<T...>, Types> = (holds_only<T, Types> && ...);
template <class T, class Types>
inline constexpr bool holds_only<std::optional<T>, Types> = holds_only<T, Types>;
template <class T, class Types>
inline constexpr bool holds_only<std::vector<T>, Types> = holds_only<T, Types>;
template <class T, class Types>
inline constexpr bool holds_only<Result<T>, Types> = holds_only<T, Types>;

/// Calls `each` for every event that a value holds, in its order, until one fails.
template <class T, class Each>
Result<> for_each_event(const T& event, Each& each) {
  return each(event);
}
template <class... T, class Each>
Result<> for_each_event(const std::variant<T...>& one, Each& each);
template <class... T, class Each>
Result<> for_each_event(const std::tuple<T...>& all, Each& each);
template <class T, class Each>
Result<> for_each_event(const std::optional<T>& maybe, Each& each);
template <class T, class Each>
Result<> for_each_event(const std::vector<T>& many, Each& each);
template <class T, class Each>
Result<> for_each_event(const Result<T>& answer, Each& each);

template <class... T, class Each>
Result<> for_each_event(const std::variant<T...>& one, Each& each) {
  return std::visit([&each](const auto& event) { return for_each_event(event, each); }, one);
}
template <class... T, class Each>
Result<> for_each_event(const std::tuple<T...>& all, Each& each) {
  Result<> done;
  const auto next = [&](const auto& event) { return bool{done = for_each_event(event, each)}; };
  (void)std::apply([&next](const auto&... event) { return (next(event) && ...); }, all);
  return done;
}
template <class T, class Each>
Result<> for_each_event(const std::optional<T>& maybe, Each& each) {
  return maybe ? for_each_event(*maybe, each) : Result<>{};
}
template <class T, class Each>
Result<> for_each_event(const std::vector<T>& many, Each& each) {
  for (const T& event : many) {
    if (Result<> done = for_each_event(event, each); !done) return done;
  }
  return {};
}
template <class T, class Each>
Result<> for_each_event(const Result<T>& answer, Each& each) {
  return answer ? for_each_event(*answer, each) : Result<>{answer.error()};
}

/// An error with the event at which it came up.
inline Error at_event(Error error, const StoredEvent& event) {
  error.context += ", at event " + std::string{event.id} + " of stream " + std::string{event.stream} +
                   ", version " + std::to_string(event.version) + ", position " + std::to_string(event.position);
  return error;
}

inline Error nobody_takes(const StoredEvent& event) {
  return Error::make(Errc::unknown_type, "read events",
                     "nobody takes the type \"" + std::string{event.type} +
                         "\": take it, upcast it, or read with UnknownType::skip");
}

}  // namespace detail
}  // namespace omnibus
