// SPDX-License-Identifier: MIT
#pragma once

#include <tuple>
#include <type_traits>

// What a handler takes and returns, read from its one call operator.

namespace omnibus::detail {

template <class F>
struct CallTraits;

template <class R, class... Args>
struct CallTraits<R(Args...)> {
  static constexpr bool known = true;
  static constexpr std::size_t arity = sizeof...(Args);
  using Returns = R;
  template <std::size_t I>
  using Arg = std::remove_cvref_t<std::tuple_element_t<I, std::tuple<Args...>>>;
};
template <class R, class... Args>
struct CallTraits<R(Args...) noexcept> : CallTraits<R(Args...)> {};
template <class R, class C, class... Args>
struct CallTraits<R (C::*)(Args...)> : CallTraits<R(Args...)> {};
template <class R, class C, class... Args>
struct CallTraits<R (C::*)(Args...) const> : CallTraits<R(Args...)> {};
template <class R, class C, class... Args>
struct CallTraits<R (C::*)(Args...) noexcept> : CallTraits<R(Args...)> {};
template <class R, class C, class... Args>
struct CallTraits<R (C::*)(Args...) const noexcept> : CallTraits<R(Args...)> {};

struct UnknownCall {
  static constexpr bool known = false;
};

template <class F>
consteval auto call_traits() {
  using Callable = std::remove_pointer_t<std::remove_cvref_t<F>>;
  if constexpr (std::is_function_v<Callable>) {
    return std::type_identity<CallTraits<Callable>>{};
  } else if constexpr (requires { &Callable::operator(); }) {
    return std::type_identity<CallTraits<decltype(&Callable::operator())>>{};
  } else {
    return std::type_identity<UnknownCall>{};
  }
}

/// CallTraits of a function, function pointer, lambda or function object; `known` is false when it
/// has several call operators or a templated one.
template <class F>
using call_traits_t = typename decltype(call_traits<F>())::type;

}  // namespace omnibus::detail
