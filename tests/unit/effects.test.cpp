// SPDX-License-Identifier: MIT
#include <omnibus/effects.hpp>

#include <omnibus/error.hpp>

#include <string>

#include "catch.hpp"

using namespace omnibus;

TEST_CASE("effects are written in order, as often as asked, up to the first that fails") {
  int store = 0;
  Effects effects{&store, 10};
  CHECK(effects.store() == &store);
  CHECK(effects.max_result() == 10);
  CHECK(effects.empty());
  CHECK(effects.result().empty());
  CHECK(effects.write(nullptr));
  Result<> second{};
  effects.add([](void* out) -> Result<> { return static_cast<std::string*>(out)->append("a"), Result<>{}; });
  effects.add([&](void*) -> Result<> { return second; });
  effects.add([](void* out) -> Result<> { return static_cast<std::string*>(out)->append("b"), Result<>{}; });
  CHECK_FALSE(effects.empty());
  std::string written;
  CHECK(effects.write(&written));
  CHECK(effects.write(&written));
  CHECK(written == "abab");
  second = permanent("no");
  const Result<> failed = effects.write(&written);
  REQUIRE_FALSE(failed);
  CHECK(failed.error().context == "no");
  CHECK(written == "ababa");
}
