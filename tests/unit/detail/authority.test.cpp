// SPDX-License-Identifier: MIT
#include <omnibus/detail/authority.hpp>

#include "catch.hpp"

using omnibus::detail::Authority;
using omnibus::detail::parse_authority;

TEST_CASE("user, password, host and port of a URL") {
  Authority all;
  REQUIRE(parse_authority("ann:se:cret@[::1]:99", all));
  CHECK(all.user == "ann");
  CHECK(all.password == "se:cret");
  CHECK(all.host == "::1");
  CHECK(all.port == 99);

  REQUIRE(parse_authority("broker", all));
  CHECK_FALSE(all.user);
  CHECK_FALSE(all.password);
  CHECK(all.host == "broker");
  CHECK_FALSE(all.port);

  REQUIRE(parse_authority("ann@", all));
  CHECK(all.user == "ann");
  CHECK_FALSE(all.password);
  CHECK(all.host.empty());

  REQUIRE(parse_authority(":@b:1", all));
  CHECK(all.user == "");
  CHECK(all.password == "");
}

TEST_CASE("what is no authority of a URL") {
  Authority all;
  for (const char* text : {"a@b@c", "[::1", "[::1]5", "::1", "host:", "host:0", "host:65536", "host:5x",
                           "host:-5", "host:password:5672"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_authority(text, all));
  }
}
