// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <omnibus/delivery.hpp>
#include <omnibus/handler.hpp>

// How a handler is wrapped: `handler | retry(...) | dead_letter(...) | idempotent(store)`. The
// handler stands first and each stage wraps everything to its left, so that the order of the
// sentence is the order of nesting. The compiler checks it.

namespace omnibus {

/// What a stage calls to go on: everything to its left in the pipe. Two pointers, not owning.
/// Lifetime: of the call it was given to.
class Next {
 public:
  using Function = Result<> (*)(void*, Delivery&);
  Next(void* self, Function call) noexcept : self_{self}, call_{call} {}
  Result<> operator()(Delivery& delivery) const { return call_(self_, delivery); }

 private:
  void* self_;
  Function call_;
};

/// Where a stage belongs. From the handler outwards ranks must grow; `free` stages stand anywhere.
enum class Rank : std::uint8_t {
  free,     ///< logging, metrics, your own
  output,   ///< decides what becomes of what the handler publishes
  attempt,  ///< decides whether to try again
  recover,  ///< takes care of what still fails
  guard,    ///< decides whether to handle at all
  gate,     ///< decides when; there may be several
};

/// A stage is any callable `Result<>(Next, Delivery&)`. Behind a chain it is written as it is; as the
/// first stage, directly behind a plain handler, `stage(callable)` tells the compiler. It may have `static constexpr Rank rank`,
/// `outputs()` returning the topics it publishes to, and `Result<bool> done_before(Delivery&)`: true, having
/// marked the delivery so, when it would end it without calling what is to its left, because that was done.
/// Thread safety: called from up to `concurrency` threads at once.
template <class S>
concept Stage = std::is_invocable_r_v<Result<>, S&, Next, Delivery&>;

template <class HandlerT, class... Stages>
struct Pipeline;

namespace detail {

template <class S>
constexpr Rank rank_of() noexcept {
  if constexpr (requires { S::rank; }) {
    return S::rank;
  } else {
    return Rank::free;
  }
}

template <class... Stages>
constexpr bool ranks_grow() noexcept {
  Rank highest = Rank::free;
  bool grows = true;
  const auto look = [&](Rank rank) {
    if (rank == Rank::free) return;
    if (rank < highest || (rank == highest && rank != Rank::gate)) grows = false;
    highest = rank;
  };
  (look(rank_of<Stages>()), ...);
  return grows;
}

template <class S, class... Stages>
inline constexpr int times_in = (static_cast<int>(std::is_same_v<S, Stages>) + ... + 0);

/// Gates may be several, but not of one kind.
template <class... Stages>
constexpr bool each_once() noexcept {
  return ((rank_of<Stages>() == Rank::free || times_in<Stages, Stages...> == 1) && ...);
}

template <class... Stages>
consteval void check_order() {
  constexpr bool good = ranks_grow<Stages...>() && each_once<Stages...>();
  static_assert(good,
                "omnibus: wrong order. Write handler | transactional | retry | dead_letter | idempotent, each at "
                "most once, then circuit_breaker or rate_limit: each stage wraps everything to its left");
}

template <class P, Rank rank>
inline constexpr bool has_rank = false;
template <class H, class... Stages, Rank rank>
inline constexpr bool has_rank<Pipeline<H, Stages...>, rank> = ((rank_of<Stages>() == rank) || ...);

/// Says what is wrong with a transactional pipeline, in one sentence. Returns whether it is one.
template <class P, bool backend_can>
consteval bool check_transactional() {
  constexpr bool wanted = has_rank<P, Rank::output>;
  static_assert(!wanted || backend_can,
                "omnibus: this backend has no transactions. Leave transactional() out and publish in the handler, "
                "or choose a backend whose capabilities say transactions");
  constexpr bool guarded = has_rank<P, Rank::guard>;
  static_assert(!wanted || !guarded,
                "omnibus: transactional() does not go with idempotent(), whose key would be completed before the "
                "transaction is. Leave idempotent() out: what is published is published once");
  return wanted && backend_can && !guarded;
}

template <class S>
consteval bool check_stage() {
  constexpr bool good = Stage<S>;  // named, or compilers add half a page on why it is not
  static_assert(good,
                "omnibus: this is no stage. Write a callable omnibus::Result<>(omnibus::Next next, "
                "omnibus::Delivery& delivery)");
  return good;
}

}  // namespace detail

/// Stages without a handler yet: a policy with a name, to be put behind several handlers.
template <class... Stages>
struct Chain {
  std::tuple<Stages...> stages;
};

/// A handler and the stages around it. Made by `|`, consumed by `EventBus::subscribe`.
template <class HandlerT, class... Stages>
struct Pipeline {
  HandlerT handler;
  std::tuple<Stages...> stages;
};

namespace detail {

template <class T>
inline constexpr bool is_chain = false;
template <class... S>
inline constexpr bool is_chain<Chain<S...>> = true;
template <class T>
inline constexpr bool is_pipeline = false;
template <class H, class... S>
inline constexpr bool is_pipeline<Pipeline<H, S...>> = true;

template <class T>
concept PipePart = is_chain<std::remove_cvref_t<T>> || is_pipeline<std::remove_cvref_t<T>>;

template <class P>
struct PartsOf {
  using Handler = std::decay_t<P>;
};
template <class H, class... S>
struct PartsOf<Pipeline<H, S...>> {
  using Handler = H;
};

/// Says what is wrong with what `subscribe` was given, in one sentence; true when nothing is.
template <class P>
consteval bool check_pipeline() {
  constexpr bool is_policy = is_chain<P>;
  static_assert(!is_policy, "omnibus: this is a policy without a handler. Write handler | policy");
  if (is_policy) return false;
  constexpr HandlerFlaw flaw = HandlerShape<typename PartsOf<P>::Handler>::flaw();
  static_assert(is_policy || flaw != HandlerFlaw::call,
                "omnibus: the handler's event type cannot be deduced. Write a function or lambda "
                "with one call operator and a named parameter type instead of auto");
  static_assert(flaw != HandlerFlaw::returns,
                "omnibus: a handler returns nothing or omnibus::Result<>. Write void or -> "
                "omnibus::Result<>");
  static_assert(flaw != HandlerFlaw::parameters,
                "omnibus: a handler takes an event, an event and its Delivery, or a Delivery. Write "
                "(const Event&), (const Event&, const omnibus::Delivery&) or (const "
                "omnibus::Delivery&)");
  static_assert(flaw != HandlerFlaw::no_codec,
                "omnibus: the handler's event has no codec. Write template <> struct "
                "omnibus::Codec<Event> with encode and decode, or take std::string");
  static_assert(flaw != HandlerFlaw::no_decode,
                "omnibus: the event's codec cannot decode. Write static omnibus::Result<Event> "
                "decode(std::string_view bytes)");
  return flaw == HandlerFlaw::none;
}

}  // namespace detail

/// Makes a stage of a callable, for use as the first of a policy: `stage(log) | retry({...})`.
template <class F>
auto stage(F&& callable) {
  if constexpr (detail::check_stage<std::decay_t<F>>()) {
    return Chain<std::decay_t<F>>{std::tuple<std::decay_t<F>>{std::forward<F>(callable)}};
  } else {
    return Chain<>{};
  }
}

/// Stages after stages.
template <class... A, class... B>
auto operator|(Chain<A...> inner, Chain<B...> outer) {
  detail::check_order<A..., B...>();
  return Chain<A..., B...>{std::tuple_cat(std::move(inner.stages), std::move(outer.stages))};
}

/// Stages after a handler that has some.
template <class H, class... A, class... B>
auto operator|(Pipeline<H, A...> inner, Chain<B...> outer) {
  detail::check_order<A..., B...>();
  return Pipeline<H, A..., B...>{std::move(inner.handler),
                                 std::tuple_cat(std::move(inner.stages), std::move(outer.stages))};
}

/// A handler before stages.
template <class H, class... B>
  requires(!detail::PipePart<H>)
auto operator|(H&& handler, Chain<B...> outer) {
  return Pipeline<std::decay_t<H>, B...>{std::forward<H>(handler), std::move(outer.stages)};
}

/// A plain callable as a stage, behind stages or a handler with stages.
template <detail::PipePart P, class F>
  requires(!detail::PipePart<F>)
auto operator|(P&& inner, F&& callable) {
  if constexpr (detail::check_stage<std::decay_t<F>>()) {
    return std::forward<P>(inner) | stage(std::forward<F>(callable));
  } else {
    return std::forward<P>(inner) | Chain<>{};
  }
}

/// A pipeline as the dispatcher runs it. Thread safety: as of its stages.
class RunnablePipeline {
 public:
  virtual ~RunnablePipeline() = default;
  /// Handles the delivery.
  virtual Result<> operator()(Delivery& delivery) = 0;
  /// True when the delivery was handled before, as far as a stage knows that, and is now marked as a duplicate.
  /// Blocks: while a store is asked. Errors: those with which a delivery waits.
  virtual Result<bool> done_before(Delivery& delivery) = 0;
};

namespace detail {

/// A pipeline with its handler erased, so that stages are compiled once for a policy and not once
/// for every handler.
template <class... Stages>
class Composed {
 public:
  Composed(ErasedHandler handler, std::tuple<Stages...> stages)
      : handler_{std::move(handler)}, stages_{std::move(stages)} {}

  Result<> operator()(Delivery& delivery) { return run<sizeof...(Stages)>(this, delivery); }
  /// All of it, as what a stage around it calls.
  Next next() noexcept { return {this, &run<sizeof...(Stages)>}; }

  Result<bool> done_before(Delivery& delivery) {
    Result<bool> done = false;
    const auto ask = [&](auto& stage) {
      if constexpr (requires { stage.done_before(delivery); }) done = stage.done_before(delivery);
    };
    std::apply([&ask](auto&... stage) { (ask(stage), ...); }, stages_);
    return done;
  }

  /// The topic of the stage that recovers, if there is one and it has a topic.
  std::string dead_letter_topic() const {
    std::string topic;
    const auto look = [&topic]<class S>(const S& stage) {
      if constexpr (rank_of<S>() == Rank::recover && requires { stage.outputs(); }) {
        topic = stage.outputs().front();
      }
    };
    std::apply([&look](const auto&... stage) { (look(stage), ...); }, stages_);
    return topic;
  }
  /// The topics that the stages publish to.
  std::vector<std::string> outputs() const {
    std::vector<std::string> topics;
    const auto add = [&topics](const auto& stage) {
      if constexpr (requires { stage.outputs(); }) {
        for (const auto& topic : stage.outputs()) topics.emplace_back(topic);
      }
    };
    std::apply([&add](const auto&... stage) { (add(stage), ...); }, stages_);
    return topics;
  }

 private:
  template <std::size_t Count>
  static Result<> run(void* self, Delivery& delivery) {
    auto& composed = *static_cast<Composed*>(self);
    if constexpr (Count == 0) {
      return composed.handler_(delivery);
    } else {
      return std::get<Count - 1>(composed.stages_)(Next{self, &run<Count - 1>}, delivery);
    }
  }

  ErasedHandler handler_;
  std::tuple<Stages...> stages_;
};

/// Composes what `subscribe` was given: a pipeline, or a bare handler.
template <class P>
auto compose(P&& pipeline) {
  if constexpr (is_chain<std::remove_cvref_t<P>>) {
    return Composed<>{{}, {}};  // check_pipeline has complained
  } else if constexpr (is_pipeline<std::remove_cvref_t<P>>) {
    return [&]<class H, class... S>(Pipeline<H, S...> whole) {
      return Composed<S...>{erase_handler(std::move(whole.handler)), std::move(whole.stages)};
    }(std::forward<P>(pipeline));
  } else {
    return Composed<>{erase_handler(std::forward<P>(pipeline)), {}};
  }
}

}  // namespace detail
}  // namespace omnibus
