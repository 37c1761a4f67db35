// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <omnibus/codec.hpp>
#include <omnibus/detail/handler_traits.hpp>
#include <omnibus/event_store/event.hpp>
#include <omnibus/event_store/typed.hpp>
#include <omnibus/handler.hpp>
#include <omnibus/result.hpp>

// Old events as the program knows them today. Stored events never change; what changed is said here, once,
// and applied whenever events are read. A type's version is part of its name: "order.paid", then
// "order.paid.v2".

namespace omnibus {

/// What an old event becomes; for steps that work on bytes.
class Successors {
 public:
  /// Adds an event of this type. It has all else from the old one: stream, version, position, id, time.
  void add(std::string type, std::string payload) { events_.push_back({std::move(type), std::move(payload)}); }
  /// Likewise, by its codec. Errors: encode_failed.
  template <detail::Encoder E>
  Result<> add(const E& event) {
    return detail::ask_codec<E>(Errc::encode_failed, "encode", [&]() -> Result<> {
      std::string bytes;
      Result<std::string_view> payload = detail::bytes_of(event, bytes);
      if (!payload) return std::move(payload.error());
      add(std::string{detail::event_type<E>()}, std::string{*payload});
      return {};
    });
  }

 private:
  friend class Upcasts;
  struct Typed {
    std::string type;
    std::string payload;
  };
  std::vector<Typed> events_;
};

namespace detail {

struct AnyEncoded {
  template <class E>
  static constexpr bool has = Encoder<E> && !event_type<E>().empty();
};

template <class Step>
consteval bool is_upcast() {
  using Traits = call_traits_t<Step>;
  if constexpr (Traits::known) {
    if constexpr (Traits::arity == 1) {
      using Old = typename Traits::template Arg<0>;
      using Made = std::remove_cvref_t<typename Traits::Returns>;
      if constexpr (HasCodec<Old>) {
        return Decoder<Old> && !event_type<Old>().empty() && std::is_invocable_v<const Step&, const Old&> &&
               (std::is_void_v<Made> || holds_only<Made, AnyEncoded>);
      }
    }
  }
  return false;
}

}  // namespace detail

/// A table of steps from old events to newer ones, each by the type that it takes. Steps follow each other,
/// v1 to v2 to v3, until there is none for a type.
/// Thread safety: as that of the steps, which many threads may call at once. Copies are independent.
class Upcasts {
 public:
  /// What a step on bytes is.
  using Step = std::function<Result<>(const StoredEvent& old, Successors& into)>;

  Upcasts() = default;
  /// From callables that take an old event and return what it is today: an event, or a std::vector,
  /// std::tuple, std::variant, std::optional or Result of them; nothing, when it means nothing any more.
  ///
  ///     const ob::Upcasts upcasts{[](const PaidV1& old) { return PaidV2{old.order, cents(old.amount)}; },
  ///                               [](const Viewed&) {}};
  ///
  /// Throws std::invalid_argument when two take the same type.
  template <class... Steps>
    requires(sizeof...(Steps) > 0 && !(std::is_same_v<std::remove_cvref_t<Steps>, Upcasts> || ...))
  explicit Upcasts(Steps&&... steps) {
    (add(std::forward<Steps>(steps)), ...);
  }

  /// Adds a step by callable, as in the constructor. Throws std::invalid_argument.
  template <class F>
  Upcasts& add(F step) {
    constexpr bool good = detail::is_upcast<F>();
    static_assert(good,
                  "omnibus: this is no upcast. Write a callable that takes an old event (const Old&) and returns "
                  "newer ones, all with codecs that have a type, or nothing");
    if constexpr (good) {
      using Old = typename detail::call_traits_t<F>::template Arg<0>;
      return add(std::string{detail::event_type<Old>()},
                 [step = std::move(step)](const StoredEvent& stored, Successors& into) -> Result<> {
                   Result<Old> old = detail::decode_event<Old>(stored.payload);
                   if (!old) return std::move(old.error());
                   if constexpr (std::is_void_v<decltype(step(*old))>) {
                     step(*old);
                     return {};
                   } else {
                     const auto each = [&into](const auto& event) { return into.add(event); };
                     return detail::for_each_event(step(*old), each);
                   }
                 });
    } else {
      return *this;
    }
  }
  /// Adds a step on bytes, for what has no type of yours any more, or whose metadata matter. Throws
  /// std::invalid_argument.
  Upcasts& add(std::string type, Step step) {
    const auto [at, is_new] = steps_.try_emplace(std::move(type), std::move(step));
    if (!is_new) throw std::invalid_argument{"omnibus: Upcasts: two steps take the type \"" + at->first + "\""};
    return *this;
  }
  /// Events that are called otherwise now. Throws std::invalid_argument.
  Upcasts& rename(std::string old, std::string now) {
    return add(std::move(old), [now = std::move(now)](const StoredEvent& event, Successors& into) -> Result<> {
      into.add(now, std::string{event.payload});
      return {};
    });
  }

  /// Calls `visit(const StoredEvent&)`, a Result<>, with what the event is today: itself, or what the steps
  /// make of it, in their order. Lifetime: of what it visits, for the length of the call. Errors: those of
  /// `visit` and of the steps; decode_failed, encode_failed; internal, when steps go round in a circle.
  template <class Visit>
  Result<> apply(const StoredEvent& event, Visit&& visit) const {
    return apply(event, visit, 0);
  }

 private:
  template <class Visit>
  Result<> apply(const StoredEvent& event, Visit& visit, std::size_t taken) const {
    const auto step = steps_.find(event.type);
    if (step == steps_.end()) return visit(event);
    if (taken == steps_.size()) {
      return Error::make(Errc::internal, "upcast", "the steps go round in a circle at \"" + step->first + "\"");
    }
    Successors made;
    if (Result<> done = detail::guarded([&] { return step->second(event, made); }); !done) return done;
    StoredEvent next = event;
    for (const Successors::Typed& each : made.events_) {
      next.type = each.type;
      next.payload = each.payload;
      if (Result<> done = apply(next, visit, taken + 1); !done) return done;
    }
    return {};
  }

  std::map<std::string, Step, std::less<>> steps_;
};

}  // namespace omnibus
