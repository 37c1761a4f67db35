// SPDX-License-Identifier: MIT
#include <omnibus/detail/handler_traits.hpp>

#include <string>

#include "catch.hpp"

using namespace omnibus::detail;

namespace {

[[maybe_unused]] int function(const std::string&, double) { return 0; }
[[maybe_unused]] void quiet(int) noexcept {}
struct Object {
  long operator()(char&) const;
};
struct Loud {
  void operator()(int) noexcept;
};
struct Overloaded {
  void operator()(int);
  void operator()(char);
};

template <class F, class R, class... Args>
constexpr bool is() {
  using Traits = call_traits_t<F>;
  return []<std::size_t... I>(std::index_sequence<I...>) {
    return Traits::known && Traits::arity == sizeof...(Args) &&
           std::is_same_v<typename Traits::Returns, R> &&
           (std::is_same_v<typename Traits::template Arg<I>, Args> && ...);
  }
  (std::index_sequence_for<Args...>{});
}

}  // namespace

TEST_CASE("what a callable takes and returns is read from its one call operator") {
  STATIC_REQUIRE(is<decltype(function), int, std::string, double>());
  STATIC_REQUIRE(is<decltype(&function), int, std::string, double>());
  STATIC_REQUIRE(is<decltype(quiet), void, int>());
  STATIC_REQUIRE(is<decltype(&quiet), void, int>());
  STATIC_REQUIRE(is<Object, long, char>());
  STATIC_REQUIRE(is<const Object&, long, char>());
  STATIC_REQUIRE(is<Loud, void, int>());
  const auto lambda = [](const int&, char) mutable noexcept { return 1.0; };
  STATIC_REQUIRE(is<decltype(lambda), double, int, char>());
  const auto none = [] {};
  STATIC_REQUIRE(is<decltype(none), void>());
}

TEST_CASE("several call operators, a templated one, or none at all are not known") {
  const auto generic = [](auto) {};
  STATIC_REQUIRE_FALSE(call_traits_t<Overloaded>::known);
  STATIC_REQUIRE_FALSE(call_traits_t<decltype(generic)>::known);
  STATIC_REQUIRE_FALSE(call_traits_t<int>::known);
}
