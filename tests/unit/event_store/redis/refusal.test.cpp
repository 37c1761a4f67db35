// SPDX-License-Identifier: MIT
#include <omnibus/event_store/redis/refusal.hpp>

#include <string_view>

#include "catch.hpp"

using namespace omnibus;

TEST_CASE("redis events: each refusal says what is wrong with which store") {
  const auto check = [](std::string_view reply, Errc code, bool retryable, std::string_view words) {
    const Error error = event_store::redis::refusal(reply, "{p}");
    INFO(error.message());
    CHECK(error.code == code);
    CHECK(error.retryable == retryable);
    CHECK(error.message().find(words) != std::string::npos);
    CHECK(error.operation == "use {p}");
  };
  check("LOST the store was made anew", Errc::position_lost, false, "made anew: the server has lost events");
  check("DAMAGED {p}:ids has 0 entries and not 1", Errc::topology_mismatch, false, "{p}:ids has 0 entries");
  check("FORMAT 2", Errc::topology_mismatch, false, "format 2");
  check("NOSTORE", Errc::not_found, false, ".create is false");
  check("WRONGTYPE Operation against a key", Errc::topology_mismatch, false, "something else");
  check("OOM command not allowed", Errc::rejected, true, "maxmemory");
  check("ERR Error running script: @user_script:9: -OOM command not allowed", Errc::rejected, true, "maxmemory");
  check("ERR Error running script: @user_script:9: WRONGTYPE Operation", Errc::topology_mismatch, false, "else");
  check("READONLY You can't write", Errc::rejected, true, "replica");
  check("NOPERM this user has no permissions", Errc::access_denied, false, "NOPERM");
  check("NOAUTH Authentication required.", Errc::access_denied, false, "password");
  check("ERR ACL failure in script: User u has no permissions", Errc::access_denied, false, "ACL failure");
  check("ERR The user executing the script can't run this command", Errc::access_denied, false, "can't run");
  check("ERR something", Errc::rejected, false, "something");
}
