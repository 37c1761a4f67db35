// SPDX-License-Identifier: MIT
#include <omnibus/event_store/checkpoint.hpp>

#include <optional>
#include <string>

#include "catch.hpp"

using namespace omnibus;
using event_store::check_checkpoint;
using event_store::decide_save;

TEST_CASE("a checkpoint is good where its event stands, and nowhere else") {
  CHECK(check_checkpoint("view", {}, {}));
  CHECK(check_checkpoint("view", {7, "a"}, Placed{2, 7}));
  const Result<> moved = check_checkpoint("view", {7, "a"}, Placed{2, 6}), gone = check_checkpoint("view", {7, "a"}, {});
  REQUIRE_FALSE(moved);
  REQUIRE_FALSE(gone);
  CHECK(moved.error().code == Errc::position_lost);
  CHECK(moved.error().message().find("event a stands at position 6, and not at 7") != std::string::npos);
  CHECK(gone.error().code == Errc::position_lost);
  CHECK(gone.error().message().find("follow as view: event a is not in the store") != std::string::npos);
  CHECK_FALSE(gone.error().retryable);
}

TEST_CASE("a checkpoint comes in the place of the one that it follows alone") {
  const Checkpoint a{1, "a"}, b{2, "b"}, other{1, "x"};
  CHECK(decide_save("view", {}, {}, a, Placed{1, 1}));
  CHECK(decide_save("view", a, a, b, Placed{2, 2}));
  CHECK(decide_save("view", b, b, {}, {}));  // back to the beginning
  CHECK(decide_save("view", a, {}, b, Placed{2, 2}).error().code == Errc::conflict);
  CHECK(decide_save("view", other, a, b, Placed{2, 2}).error().code == Errc::conflict);
  CHECK(decide_save("view", a, a, b, Placed{3, 3}).error().code == Errc::position_lost);
}
