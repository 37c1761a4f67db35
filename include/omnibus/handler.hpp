// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <exception>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include <omnibus/codec.hpp>
#include <omnibus/delivery.hpp>
#include <omnibus/detail/handler_traits.hpp>
#include <omnibus/detail/unique_function.hpp>

// From a user's function to something a pipeline can call: choose by message type, decode, call,
// and turn whatever comes out, exceptions too, into a Result.

namespace omnibus {

/// Several handlers of one topic, chosen by message type. Made by `handlers`.
template <class... H>
struct HandlerSet {
  std::tuple<H...> members;
};

/// Several handlers for one subscription: each takes the messages of its event's type. One that
/// takes a Delivery gets what no other takes; without one such messages are dead-lettered.
///
///     bus.subscribe("orders", ob::handlers(charge, ship, cancel) | reliable);
template <class... H>
auto handlers(H&&... members) {
  return HandlerSet<std::decay_t<H>...>{std::tuple<std::decay_t<H>...>{std::forward<H>(members)...}};
}

namespace detail {

/// Calls user code; whatever it throws becomes an Error.
template <class F>
Result<> guarded(F&& call) {
  try {
    return call();
  } catch (const BadResult& failure) {
    return failure.error();
  } catch (const std::exception& failure) {
    return retryable(failure.what());
  } catch (...) {
    return retryable("threw something that is no std::exception");
  }
}

/// Calls a handler that returns nothing or a Result<>.
template <class F, class... Args>
Result<> call_handler(F& handler, Args&&... args) {
  return guarded([&]() -> Result<> {
    if constexpr (std::is_void_v<std::invoke_result_t<F&, Args...>>) {
      handler(std::forward<Args>(args)...);
      return {};
    } else {
      return handler(std::forward<Args>(args)...);
    }
  });
}

/// What can be wrong with a handler; `check_pipeline` says it in a sentence.
enum class HandlerFlaw : std::uint8_t { none, call, returns, parameters, no_codec, no_decode };

template <class H>
struct HandlerShape {
  using Traits = call_traits_t<H>;

  static consteval HandlerFlaw flaw() {
    if constexpr (!Traits::known) {
      return HandlerFlaw::call;
    } else {
      using R = typename Traits::Returns;
      if (!std::is_void_v<R> && !std::is_same_v<R, Result<>>) return HandlerFlaw::returns;
      if constexpr (Traits::arity != 1 && Traits::arity != 2) {
        return HandlerFlaw::parameters;
      } else {
        return flaw_of_event<typename Traits::template Arg<0>>();
      }
    }
  }

  /// True when the handler takes the Delivery alone.
  static consteval bool raw() {
    return std::is_same_v<typename Traits::template Arg<0>, Delivery>;
  }

 private:
  template <class E>
  static consteval HandlerFlaw flaw_of_event() {
    constexpr bool alone = Traits::arity == 1;
    constexpr bool takes_delivery = alone && std::is_invocable_v<H&, Delivery&>;
    if (std::is_same_v<E, Delivery>) {
      return takes_delivery ? HandlerFlaw::none : HandlerFlaw::parameters;
    }
    constexpr bool takes_event = alone ? std::is_invocable_v<H&, const E&>
                                       : std::is_invocable_v<H&, const E&, Delivery&>;
    if (!takes_event) return HandlerFlaw::parameters;
    if (!HasCodec<E>) return HandlerFlaw::no_codec;
    return Decoder<E> ? HandlerFlaw::none : HandlerFlaw::no_decode;
  }
};

template <class... H>
struct HandlerShape<HandlerSet<H...>> {
  /// The first flaw of a member.
  static consteval HandlerFlaw flaw() {
    HandlerFlaw first = HandlerFlaw::none;
    ((first = first == HandlerFlaw::none ? HandlerShape<H>::flaw() : first), ...);
    return first;
  }
};

/// Decodes and calls one typed handler.
template <class E, class H>
Result<> decode_and_call(H& handler, Delivery& delivery) {
  Result<E> event = decode_event<E>(delivery.payload());
  if (!event) return std::move(event.error());
  if constexpr (call_traits_t<H>::arity == 2) {
    return call_handler(handler, std::as_const(*event), delivery);
  } else {
    return call_handler(handler, std::as_const(*event));
  }
}

inline Error unknown_type(const Delivery& delivery) {
  return Error::make(Errc::unknown_type, "choose handler",
                     "no handler takes the message type \"" + std::string{delivery.type()} + "\"");
}

/// Calls a handler if it takes this message; says whether it does. A message without a type, from a
/// foreign program, is taken by the first typed handler.
template <class H>
bool try_handler(H& handler, Delivery& delivery, Result<>& result) {
  if constexpr (HandlerShape<H>::raw()) {
    return false;
  } else {
    using E = typename call_traits_t<H>::template Arg<0>;
    constexpr std::string_view type = event_type<E>();
    if (!type.empty() && !delivery.type().empty() && delivery.type() != type) return false;
    result = decode_and_call<E>(handler, delivery);
    return true;
  }
}

template <class H>
bool try_raw(H& handler, Delivery& delivery, Result<>& result) {
  if constexpr (HandlerShape<H>::raw()) {
    result = call_handler(handler, delivery);
    return true;
  } else {
    return false;
  }
}

/// A handler of any kind as one callable.
using ErasedHandler = UniqueFunction<Result<>(Delivery&)>;

/// Erases handlers without a flaw; of others, which have been complained about, nothing is left.
template <class... H>
ErasedHandler erase_handlers(std::tuple<H...> members) {
  if constexpr (HandlerShape<HandlerSet<H...>>::flaw() == HandlerFlaw::none) {
    return [members = std::move(members)](Delivery& delivery) mutable -> Result<> {
      Result<> result;
      delivery.mark_attempted();
      const bool taken = std::apply(
          [&](auto&... member) {
            return (try_handler(member, delivery, result) || ...) ||
                   (try_raw(member, delivery, result) || ...);
          },
          members);
      if (!taken) return unknown_type(delivery);
      return result;
    };
  } else {
    return {};
  }
}

template <class T>
inline constexpr bool is_handler_set = false;
template <class... H>
inline constexpr bool is_handler_set<HandlerSet<H...>> = true;

template <class H>
ErasedHandler erase_handler(H&& handler) {
  if constexpr (is_handler_set<std::remove_cvref_t<H>>) {
    return erase_handlers(std::forward<H>(handler).members);
  } else {
    return erase_handlers(std::tuple<std::decay_t<H>>{std::forward<H>(handler)});
  }
}

}  // namespace detail
}  // namespace omnibus
