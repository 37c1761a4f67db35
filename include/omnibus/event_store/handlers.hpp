// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include <omnibus/codec.hpp>
#include <omnibus/detail/handler_traits.hpp>
#include <omnibus/event_store/event.hpp>
#include <omnibus/event_store/typed.hpp>
#include <omnibus/event_store/upcast.hpp>
#include <omnibus/handler.hpp>
#include <omnibus/result.hpp>

// What a projection does with its events, as functions of typed events: upcast, choose by type, decode, call.

namespace omnibus {

/// How event handlers read.
struct EventReading {
  UnknownType unknown = UnknownType::fail;
  Upcasts upcasts{};
};

namespace detail {

/// What a handler of stored events takes: an event, perhaps the StoredEvent that it was, perhaps a
/// transaction.
template <class H, class Traits = call_traits_t<H>>
struct EventHandlerShape {
  using First = typename Traits::template Arg<0>;
  static constexpr bool raw = std::is_same_v<First, StoredEvent>;
  static constexpr std::size_t in_transaction_arity = raw ? 2 : 3;
  static constexpr bool in_transaction = Traits::arity == in_transaction_arity;
};

template <class H>
consteval auto transaction_of() {
  using Shape = EventHandlerShape<H>;
  if constexpr (Shape::in_transaction) {
    return std::type_identity<typename call_traits_t<H>::template Arg<Shape::in_transaction_arity - 1>>{};
  } else {
    return std::type_identity<void>{};
  }
}
/// The type of the transaction that a handler takes, or void.
template <class H>
using TransactionOf = typename decltype(transaction_of<H>())::type;

template <class H>
consteval bool is_event_handler() {
  using Traits = call_traits_t<H>;
  if constexpr (Traits::known) {
    using Returns = typename Traits::Returns;
    if constexpr (Traits::arity >= 1 && Traits::arity <= 3 &&
                  (std::is_void_v<Returns> || std::is_same_v<Returns, Result<>>)) {
      using First = typename Traits::template Arg<0>;
      if constexpr (std::is_same_v<First, StoredEvent>) {
        return Traits::arity <= 2;
      } else if constexpr (Decoder<First>) {
        if constexpr (Traits::arity >= 2) {
          if (!std::is_same_v<typename Traits::template Arg<1>, StoredEvent>) return false;
        }
        return !event_type<First>().empty();
      }
    }
  }
  return false;
}

}  // namespace detail

/// Handlers of typed events as one callable, for a Projection. Made by `event_handlers`.
template <class... H>
class EventHandlers {
  template <class T>
  static constexpr bool takes_transaction =
      std::is_void_v<T> ? (std::is_void_v<detail::TransactionOf<H>> && ...)
                        : (std::is_same_v<detail::TransactionOf<H>, T> || ...);

 public:
  EventHandlers(EventReading reading, H... handlers)
      : reading_{std::move(reading)}, handlers_{std::move(handlers)...} {}

  Result<> operator()(const StoredEvent& event)
    requires(takes_transaction<void>)
  {
    return handle(event);
  }
  template <class Transaction>
    requires(takes_transaction<Transaction>)
  Result<> operator()(const StoredEvent& event, Transaction transaction) {
    return handle(event, transaction);
  }

 private:
  template <class... Transaction>
  Result<> handle(const StoredEvent& stored, Transaction... transaction) {
    return reading_.upcasts.apply(stored, [&](const StoredEvent& event) -> Result<> {
      Result<> result;
      const bool taken = std::apply(
          [&](H&... each) {
            return (try_typed(each, event, result, transaction...) || ...) ||
                   (try_raw(each, event, result, transaction...) || ...);
          },
          handlers_);
      if (taken || reading_.unknown == UnknownType::skip) return result;
      return detail::nobody_takes(event);
    });
  }
  template <class Handler, class... Transaction>
  static bool try_typed(Handler& handler, const StoredEvent& stored, Result<>& result,
                        Transaction... transaction) {
    if constexpr (detail::EventHandlerShape<Handler>::raw) {
      return false;
    } else {
      using E = typename detail::EventHandlerShape<Handler>::First;
      if (stored.type != detail::event_type<E>()) return false;
      const Result<E> event = detail::decode_event<E>(stored.payload);
      if (!event) {
        result = event.error();
      } else if constexpr (detail::call_traits_t<Handler>::arity == 1) {
        result = detail::call_handler(handler, *event);
      } else if constexpr (detail::EventHandlerShape<Handler>::in_transaction) {
        result = detail::call_handler(handler, *event, stored, transaction...);
      } else {
        result = detail::call_handler(handler, *event, stored);
      }
      return true;
    }
  }
  template <class Handler, class... Transaction>
  static bool try_raw(Handler& handler, const StoredEvent& stored, Result<>& result,
                      Transaction... transaction) {
    if constexpr (!detail::EventHandlerShape<Handler>::raw) {
      return false;
    } else {
      if constexpr (detail::EventHandlerShape<Handler>::in_transaction) {
        result = detail::call_handler(handler, stored, transaction...);
      } else {
        result = detail::call_handler(handler, stored);
      }
      return true;
    }
  }

  EventReading reading_;
  std::tuple<H...> handlers_;
};

/// Handlers of typed events for a Projection. Each is a `void` or `Result<>` of
/// `(const Paid&[, const StoredEvent& stored_as[, S::Transaction]])` and takes the events of its codec's type,
/// once they are upcast; one that takes a StoredEvent first gets what no other takes.
///
///     ob::Projection revenue{store, {.name = "revenue"},
///                            ob::event_handlers({}, [&](const Paid& paid) { total += paid.amount; })};
///
/// Errors of the callable: those of the handlers and upcasts; decode_failed; unknown_type, unless that is
/// skipped.
template <class... H>
auto event_handlers(EventReading reading, H... handlers) {
  constexpr bool good = sizeof...(H) > 0 && (detail::is_event_handler<H>() && ...);
  static_assert(good,
                "omnibus: this is no handler of stored events. Write a callable that takes an event whose codec "
                "has a type, (const Event&) or (const Event&, const omnibus::StoredEvent&), and returns nothing or "
                "an omnibus::Result<>");
  if constexpr (good) {
    return EventHandlers<H...>{std::move(reading), std::move(handlers)...};
  } else {
    return [](const StoredEvent&) -> Result<> { return {}; };
  }
}

}  // namespace omnibus
