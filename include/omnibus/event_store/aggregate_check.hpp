// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <type_traits>

#include <omnibus/codec.hpp>
#include <omnibus/event_store/event.hpp>
#include <omnibus/event_store/typed.hpp>

// What can be wrong with what a user gives to an Aggregate, found while it is compiled.

namespace omnibus {
namespace detail {

/// True when the two have `void evolve(State&, const E&)` in a namespace of theirs.
template <class State, class E>
concept Evolves = requires(State& state, const E& event) { evolve(state, event); };

template <class State>
concept ListsEvents = requires { typename State::Events; };

/// What can be wrong with a state; Aggregate says it in a sentence.
enum class StateFlaw : std::uint8_t { none, no_list, no_codec, no_type, no_evolve, no_snapshot_type };

template <class State, class E>
consteval StateFlaw flaw_of_event() {
  if constexpr (std::is_same_v<E, StoredEvent>) {
    return Evolves<State, E> ? StateFlaw::none : StateFlaw::no_evolve;
  } else if constexpr (!Encoder<E> || !Decoder<E>) {
    return StateFlaw::no_codec;
  } else {
    if (event_type<E>().empty()) return StateFlaw::no_type;
    return Evolves<State, E> ? StateFlaw::none : StateFlaw::no_evolve;
  }
}
template <class State, class... E>
consteval StateFlaw flaw_of_events(EventTypes<E...>) {
  StateFlaw first = StateFlaw::none;
  ((first = first == StateFlaw::none ? flaw_of_event<State, E>() : first), ...);
  return first;
}
template <class State>
consteval StateFlaw flaw_of_state() {
  if constexpr (!ListsEvents<State>) {
    return StateFlaw::no_list;
  } else {
    if constexpr (HasCodec<State>) {
      if (event_type<State>().empty()) return StateFlaw::no_snapshot_type;
    }
    return flaw_of_events<State>(typename State::Events{});
  }
}

/// What can be wrong with a decision; Aggregate::execute says it in a sentence.
enum class DecideFlaw : std::uint8_t { none, takes, returns };

template <class State, class Decide>
consteval DecideFlaw flaw_of_decide() {
  if constexpr (!std::is_invocable_v<Decide&, const State&>) {
    return DecideFlaw::takes;
  } else {
    using Made = std::remove_cvref_t<std::invoke_result_t<Decide&, const State&>>;
    constexpr bool makes = !std::is_void_v<Made> && holds_only<Made, typename State::Events> &&
                           !holds_only<Made, EventTypes<StoredEvent>>;
    return makes ? DecideFlaw::none : DecideFlaw::returns;
  }
}

}  // namespace detail
}  // namespace omnibus
