// SPDX-License-Identifier: MIT
#include <omnibus/detail/wakeup.hpp>

#include <sys/socket.h>

#include <atomic>
#include <thread>

#include "catch.hpp"
#include "unit/tools.hpp"

using omnibus::detail::Wakeup;
using namespace omnibus::unit;

namespace {

using Steady = std::chrono::steady_clock;

/// How long a sleep lasts.
Steady::duration waited(Wakeup& wakeup, Steady::duration most, int socket = -1, bool to_read = false,
                       bool to_write = false) {
  const Steady::time_point begin = Steady::now();
  wakeup.wait(socket, to_read, to_write, begin + most);
  return Steady::now() - begin;
}

/// Two sockets that are connected to one another.
struct Sockets {
  int ends[2] = {-1, -1};
  Sockets() { REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0); }
  ~Sockets() {
    for (const int end : ends) ::close(end);
  }
  Sockets(const Sockets&) = delete;
};

}  // namespace

TEST_CASE("a sleep that nobody ends lasts until its time has come") {
  Wakeup wakeup;
  for (int i = 0; i < 3; ++i) CHECK(waited(wakeup, 3ms) >= 3ms);
  CHECK_FALSE(wakeup.take());
}

TEST_CASE("a sleep until a time that is over returns at once") {
  Wakeup wakeup;
  CHECK(waited(wakeup, -1h) < patience);
  wakeup.wait(-1, true, true, Steady::time_point{});
}

TEST_CASE("who was rung before does not sleep") {
  Wakeup wakeup;
  wakeup.ring();
  wakeup.ring();
  CHECK(waited(wakeup, patience) < patience);
  CHECK(waited(wakeup, patience) < patience);  // until it is taken
  CHECK(wakeup.take());
  CHECK_FALSE(wakeup.take());
  CHECK(waited(wakeup, 3ms) >= 3ms);
}

TEST_CASE("a ring from another thread ends a sleep, again and again") {
  Wakeup wakeup;
  std::atomic<int> turn{0};
  std::thread other{[&] {
    for (int i = 0; i < 2000; ++i) {
      while (turn.load() <= i) std::this_thread::yield();
      wakeup.ring();
    }
  }};
  bool in_time = true;
  for (int i = 0; i < 2000; ++i) {
    ++turn;
    while (in_time && !wakeup.take()) in_time = waited(wakeup, patience) < patience;
  }
  other.join();
  CHECK(in_time);
}

TEST_CASE("a sleep that is for ever can be ended") {
  Wakeup wakeup;
  std::thread other{[&] { wakeup.ring(); }};
  wakeup.wait(-1, false, false, Steady::time_point::max());
  other.join();
  CHECK(wakeup.take());
}

TEST_CASE("a socket ends a sleep when it can be read, or written, if that is wanted") {
  Wakeup wakeup;
  const Sockets sockets;
  CHECK(waited(wakeup, 3ms, sockets.ends[0], true, false) >= 3ms);
  CHECK(waited(wakeup, patience, sockets.ends[0], true, true) < patience);  // it can be written
  REQUIRE(::send(sockets.ends[1], "x", 1, 0) == 1);
  CHECK(waited(wakeup, patience, sockets.ends[0], true, false) < patience);
  CHECK(waited(wakeup, 3ms, sockets.ends[0], false, false) >= 3ms);
  CHECK_FALSE(wakeup.take());
}

TEST_CASE("a ring that comes as a sleep ends by itself does not keep the next ones awake") {
  Wakeup wakeup;
  std::atomic<int> turn{0};
  constexpr int rounds = 3000;
  std::thread other{[&] {
    for (int i = 1; i <= rounds; ++i) {
      while (turn.load() < i) {
      }
      wakeup.ring();
      turn.store(-i);
    }
  }};
  int restless = 0;
  for (int i = 1; i <= rounds; ++i) {
    turn.store(i);
    while (turn.load() != -i) wakeup.wait(-1, false, false, Steady::time_point{});
    (void)wakeup.take();
    (void)waited(wakeup, 50us);  // this one may find what was written late
    if (waited(wakeup, 50us) < 50us) ++restless;
  }
  other.join();
  CHECK(restless == 0);
}

TEST_CASE("a doze lasts until its time has come, and not at all when that is over") {
  const Steady::time_point begin = Steady::now();
  Wakeup::doze(begin + 3ms);
  CHECK(Steady::now() - begin >= 3ms);
  Wakeup::doze(begin);
  Wakeup::doze(Steady::time_point{});
  CHECK(Steady::now() - begin < patience);
}
