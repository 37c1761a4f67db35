// SPDX-License-Identifier: MIT
#pragma once

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

template <class H>
struct HandlerShape {
  using Traits = call_traits_t<H>;

  /// Says what is wrong with a handler, in one sentence; true when nothing is.
  static consteval bool check() {
    static_assert(Traits::known,
                  "omnibus: the handler's event type cannot be deduced. Write a function or lambda "
                  "with one call operator and a named parameter type instead of auto");
    if constexpr (Traits::known) {
      using R = typename Traits::Returns;
      constexpr bool returns = std::is_void_v<R> || std::is_same_v<R, Result<>>;
      static_assert(returns, "omnibus: a handler returns nothing or omnibus::Result<>: write void");
      constexpr bool arity = Traits::arity == 1 || Traits::arity == 2;
      static_assert(arity,
                    "omnibus: a handler takes an event, an event and its Delivery, or a Delivery: "
                    "write (const Event&) or (const Event&, const omnibus::Delivery&)");
      if constexpr (returns && arity) {
        using E = typename Traits::template Arg<0>;
        if constexpr (std::is_same_v<E, Delivery>) {
          static_assert(Traits::arity == 1, "omnibus: a handler of a Delivery takes nothing else");
          return Traits::arity == 1;
        } else {
          static_assert(HasCodec<E>,
                        "omnibus: the handler's event has no codec. Write template <> struct "
                        "omnibus::Codec<Event> with encode and decode, or take std::string");
          if constexpr (HasCodec<E>) {
            static_assert(Decoder<E>,
                          "omnibus: the event's codec cannot decode. Write static "
                          "omnibus::Result<Event> decode(std::string_view bytes)");
            return Decoder<E>;
          }
        }
      }
    }
    return false;
  }

  /// True when the handler takes the Delivery alone.
  static consteval bool raw() {
    return std::is_same_v<typename Traits::template Arg<0>, Delivery>;
  }
};

/// Decodes and calls one typed handler.
template <class E, class H>
Result<> decode_and_call(H& handler, Delivery& delivery) {
  const auto refused = [](std::string why) {
    std::string operation = "decode";
    if (!event_type<E>().empty()) operation.append(" ").append(event_type<E>());
    return Error::make(Errc::decode_failed, std::move(operation), std::move(why));
  };
  const auto decode = [&]() -> Result<E> {
    try {
      return Codec<E>::decode(delivery.payload());
    } catch (const std::exception& failure) {
      return refused(failure.what());
    } catch (...) {
      return refused("the codec threw something that is no std::exception");
    }
  };
  Result<E> event = decode();
  if (!event) return refused(std::move(event.error().context));
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

template <class... H>
ErasedHandler erase_handlers(std::tuple<H...> members) {
  if constexpr ((HandlerShape<H>::check() && ...)) {
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
