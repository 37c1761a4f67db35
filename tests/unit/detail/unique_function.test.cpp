// SPDX-License-Identifier: MIT
#include <omnibus/detail/unique_function.hpp>

#include <array>
#include <memory>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;
using detail::UniqueFunction;

namespace {

/// A callable of some size that counts how many of it live.
template <std::size_t Size>
struct Counted {
  int* living;
  std::array<char, Size> rest{};
  explicit Counted(int& count) : living{&count} { ++*living; }
  Counted(Counted&& other) noexcept : living{other.living} { ++*living; }
  ~Counted() { --*living; }
  int operator()(int value) { return value + 1; }
};

struct ThrowsWhenCopied {
  ThrowsWhenCopied() = default;
  ThrowsWhenCopied(const ThrowsWhenCopied&) { throw std::runtime_error{"copied"}; }
  void operator()() {}
};

}  // namespace

TEMPLATE_TEST_CASE_SIG("a callable of any size is called, moved and destroyed once", "",
                       ((std::size_t Size), Size), 1, 32, 33, 1000) {
  int living = 0;
  {
    UniqueFunction<int(int)> first{Counted<Size>{living}};
    CHECK(living == 1);
    CHECK(first(1) == 2);
    UniqueFunction<int(int)> second{std::move(first)};
    CHECK(living == 1);
    CHECK_FALSE(first);
    CHECK(second(2) == 3);
    first = std::move(second);
    CHECK(living == 1);
    CHECK(first(3) == 4);
    first = UniqueFunction<int(int)>{Counted<Size>{living}};
    CHECK(living == 1);
    auto& self = first;
    first = std::move(self);
    CHECK(first(4) == 5);
    first = {};
    CHECK(living == 0);
    CHECK_FALSE(first);
  }
  CHECK(living == 0);
}

TEST_CASE("an empty function says so") {
  UniqueFunction<void()> none;
  CHECK_FALSE(none);
  UniqueFunction<void()> moved{std::move(none)};
  CHECK_FALSE(moved);
}

TEST_CASE("arguments and results that can only be moved go through") {
  UniqueFunction<std::unique_ptr<int>(std::unique_ptr<int>)> call{
      [](std::unique_ptr<int> in) { return std::make_unique<int>(*in + 1); }};
  CHECK(*call(std::make_unique<int>(1)) == 2);
  int target = 0;
  UniqueFunction<void(int&)> writes{[](int& out) { out = 5; }};
  writes(target);
  CHECK(target == 5);
  UniqueFunction<void()> ignores_result{[] { return 3; }};
  ignores_result();
}

TEST_CASE("an exception passes through, and the callable can be called again") {
  int calls = 0;
  UniqueFunction<void()> throws{[&calls] {
    if (++calls == 1) throw std::runtime_error{"once"};
  }};
  CHECK_THROWS_AS(throws(), std::runtime_error);
  CHECK_NOTHROW(throws());
  CHECK(calls == 2);
}

TEST_CASE("a callable whose copy throws leaves nothing behind") {
  ThrowsWhenCopied callable;
  CHECK_THROWS_AS(UniqueFunction<void()>{callable}, std::runtime_error);
}
