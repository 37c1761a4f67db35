// SPDX-License-Identifier: MIT
#include <omnibus/backends/redis/transport.hpp>

#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstddef>
#include <string>

#include "catch.hpp"

using namespace omnibus::redis;

namespace {

/// Two sockets, one end each.
struct Ends {
  int ours = -1, theirs = -1;
  Ends() {
    int both[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, both) == 0);
    ours = both[0];
    theirs = both[1];
  }
  ~Ends() {
    hang_up();
    ::close(ours);
  }
  void hang_up() {
    if (theirs >= 0) ::close(theirs);
    theirs = -1;
  }
};

}  // namespace

TEST_CASE("redis: a transport moves what can be moved, and never waits") {
  Ends ends;
  PlainTransport transport{ends.ours};
  char bytes[8];
  CHECK(transport.read(bytes, sizeof bytes) == 0);
  REQUIRE(::send(ends.theirs, "abc", 3, 0) == 3);
  REQUIRE(transport.read(bytes, sizeof bytes) == 3);
  CHECK(std::string(bytes, 3) == "abc");
  CHECK(transport.read(bytes, sizeof bytes) == 0);
  const std::string much(1 << 20, 'x');
  Moved all = 0;
  for (Moved moved = 1; moved > 0; all += moved) {
    moved = transport.write(much.data(), much.size());
    REQUIRE(moved >= 0);
  }
  CHECK(all > 0);  // and then the socket is full
}

TEST_CASE("redis: a transport whose other end is gone says so, without a signal") {
  ::signal(SIGPIPE, SIG_DFL);  // it would end this process
  Ends ends;
  PlainTransport transport{ends.ours};
  ends.hang_up();
  char bytes[8];
  CHECK(transport.read(bytes, sizeof bytes) == hung_up);
  CHECK(transport.write("x", 1) == hung_up);
}
