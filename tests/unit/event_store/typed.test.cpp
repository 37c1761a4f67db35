// SPDX-License-Identifier: MIT
#include <omnibus/event_store/typed.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <variant>
#include <vector>

#include "catch.hpp"

using namespace omnibus;

namespace {

struct A {
  static constexpr std::string_view name = "a";
};
struct B {
  static constexpr std::string_view name = "b";
};
using Known = EventTypes<A, B>;

/// The names of what a value holds, up to one that fails.
template <class T>
std::string names(const T& value, std::string_view fails_at = {}) {
  std::string all;
  const auto each = [&]<class E>(const E&) -> Result<> {
    if (E::name == fails_at) return permanent("no");
    all += E::name;
    return {};
  };
  if (!detail::for_each_event(value, each)) all += "!";
  return all;
}

}  // namespace

TEST_CASE("a value holds events in variants, tuples, optionals, vectors and results of each other") {
  STATIC_REQUIRE(detail::holds_only<A, Known>);
  STATIC_REQUIRE(detail::holds_only<Result<std::vector<std::variant<A, std::tuple<B, std::optional<A>>>>>, Known>);
  STATIC_REQUIRE_FALSE(detail::holds_only<int, Known>);
  STATIC_REQUIRE_FALSE(detail::holds_only<std::vector<std::variant<A, int>>, Known>);
  STATIC_REQUIRE_FALSE(detail::holds_only<std::tuple<A, B>, EventTypes<A>>);
}

TEST_CASE("events are visited in their order, until one fails") {
  using Any = std::variant<A, B>;
  CHECK(names(A{}) == "a");
  CHECK(names(std::tuple{A{}, B{}, A{}}) == "aba");
  CHECK(names(std::vector<Any>{B{}, A{}, B{}}) == "bab");
  CHECK(names(std::optional<A>{}) == "");
  CHECK(names(std::vector{std::optional{std::tuple{A{}, Any{B{}}}}}) == "ab");
  CHECK(names(Result<A>{A{}}) == "a");
  CHECK(names(Result<A>{permanent("no")}) == "!");
  CHECK(names(std::tuple{A{}, B{}, A{}}, "b") == "a!");
  CHECK(names(std::vector<Any>{A{}, B{}, A{}}, "b") == "a!");
}

TEST_CASE("an error says at which event it came up") {
  const Error error = detail::at_event(permanent("no"), {.stream = "s-1", .version = 2, .position = 3, .id = "e"});
  CHECK(error.message() == "handle: no, at event e of stream s-1, version 2, position 3 (handler_failed)");
  CHECK(detail::nobody_takes({.type = "t"}).code == Errc::unknown_type);
}
