// SPDX-License-Identifier: MIT
#include <omnibus/result.hpp>

#include <memory>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;

namespace {

/// Counts how many of it live.
struct Counted {
  static inline int living = 0;
  int value = 0;
  explicit Counted(int v) : value{v} { ++living; }
  Counted(const Counted& other) : value{other.value} { ++living; }
  Counted(Counted&& other) noexcept : value{std::exchange(other.value, -1)} { ++living; }
  Counted& operator=(const Counted&) = default;
  ~Counted() { --living; }
};

Error failure() { return Error::make(Errc::not_found, "look for it", "it is not there"); }

}  // namespace

TEST_CASE("a result is a value or an error") {
  const Result<int> good{5};
  CHECK(good);
  CHECK(good.has_value());
  CHECK(good.value() == 5);
  CHECK(*good == 5);
  const Result<int> bad{failure()};
  CHECK_FALSE(bad);
  CHECK_FALSE(bad.has_value());
  CHECK(bad.error().code == Errc::not_found);
  const Result<> fine;
  CHECK(fine);
  CHECK_NOTHROW(fine.value());
  const Result<> unwell{failure()};
  CHECK_FALSE(unwell);
  CHECK(unwell.error().context == "it is not there");
  const Result<std::string> text{"text"s};
  CHECK(text->size() == 4);
}

TEST_CASE("asking for a value that is not there throws the error") {
  const auto thrown_by = [](auto&& call) {
    try {
      call();
    } catch (const BadResult& bad) {
      CHECK(bad.what() == failure().message());
      return bad.error().code;
    }
    return Errc::internal;
  };
  Result<int> bad{failure()};
  CHECK(thrown_by([&] { bad.value(); }) == Errc::not_found);
  CHECK(thrown_by([&] { std::as_const(bad).value(); }) == Errc::not_found);
  CHECK(thrown_by([&] { Result<int>{failure()}.value(); }) == Errc::not_found);
  CHECK(thrown_by([&] { Result<>{failure()}.value(); }) == Errc::not_found);
}

TEST_CASE("copies are independent, and what is moved from can be assigned to") {
  Result<std::string> text{std::string(100, 'a')};
  Result<std::string> copy = text;
  copy.value()[0] = 'b';
  CHECK(text.value()[0] == 'a');
  const Result<std::string> moved = std::move(text);
  CHECK(moved->size() == 100);
  text = Result<std::string>{"again"s};
  CHECK(*text == "again");

  Result<> bad{failure()};
  Result<> bad_copy = bad;
  bad_copy.error().context = "another";
  CHECK(bad.error().context == "it is not there");
}

TEST_CASE("assignment goes from each state to each, itself too, and leaks nothing") {
  Counted::living = 0;
  {
    const Result<Counted> one{Counted{1}};
    const Result<Counted> bad{failure()};
    Result<Counted> it{Counted{2}};
    it = one;
    CHECK(it->value == 1);
    it = bad;
    CHECK_FALSE(it);
    it = bad;
    CHECK(it.error().context == "it is not there");
    it = one;
    CHECK(it->value == 1);
    const auto& self = it;
    it = self;
    CHECK(it->value == 1);
    CHECK(Counted::living == 2);
  }
  CHECK(Counted::living == 0);

  Result<> it;
  it = failure();
  CHECK_FALSE(it);
  const auto& self = it;
  it = self;
  CHECK(it.error().code == Errc::not_found);
  it = {};
  CHECK(it);
}

TEST_CASE("a value that can only be moved is moved out") {
  Result<std::unique_ptr<int>> owner{std::make_unique<int>(3)};
  const std::unique_ptr<int> got = std::move(owner).value();
  CHECK(*got == 3);
  CHECK(owner.has_value());
}
