// SPDX-License-Identifier: MIT
#include <omnibus/detail/thread.hpp>

#include <atomic>
#include <memory>

#include "catch.hpp"
#include "unit/tools.hpp"

using omnibus::detail::DeepThread;
using namespace omnibus::unit;

namespace {

/// Uses a KiB of stack, or more, for each level.
[[gnu::noinline]] int dig(int levels) {
  volatile char room[1024];
  room[0] = static_cast<char>(levels);
  room[1023] = 1;
  if (levels == 0) return room[1023];
  return dig(levels - 1) + room[1023] - 1 + (room[0] - room[0]);
}

/// What this thread's stack may grow to.
std::size_t stack_of_this_thread() {
  pthread_attr_t attributes;
  std::size_t size = 0;
  if (pthread_getattr_np(pthread_self(), &attributes) != 0) return 0;
  pthread_attr_getstacksize(&attributes, &size);
  pthread_attr_destroy(&attributes);
  return size;
}

}  // namespace

TEST_CASE("a deep thread has a stack of 16 MiB, and can use it") {
  int found = 0;
  std::size_t size = 0;
  DeepThread thread{[&] {
    size = stack_of_this_thread();
    found = dig(10 * 1024);  // 10 MiB: more than the usual stack of a thread
  }};
  thread.join();
  CHECK(found == 1);
  CHECK(size >= 16u << 20);
}

TEST_CASE("a deep thread is joined once, by hand or at its end") {
  std::atomic<int> runs{0};
  {
    DeepThread thread{[&] { ++runs; }};
    CHECK(thread.joinable());
    thread.join();
    CHECK(runs == 1);
    CHECK_FALSE(thread.joinable());
  }
  { DeepThread thread{[&] { ++runs; }}; }
  CHECK(runs == 2);
  const DeepThread none;
  CHECK_FALSE(none.joinable());
  CHECK_FALSE(none.is_current());
}

TEST_CASE("a thread knows itself, also when its object has moved") {
  Gate gate;
  std::atomic<int> current{0};
  DeepThread other;
  DeepThread thread{[&] {
    if (!gate.pass()) return;
    current = other.is_current() ? 1 : 2;
  }};
  CHECK_FALSE(thread.is_current());
  other = std::move(thread);
  CHECK_FALSE(thread.joinable());
  CHECK(other.joinable());
  gate.open();
  DeepThread last{[] {}};
  last.join();
  CHECK(eventually([&] { return current != 0; }));
  CHECK(current == 1);
  DeepThread moved{std::move(other)};
  CHECK_FALSE(other.joinable());
  moved.join();
  CHECK_FALSE(moved.is_current());
}

TEST_CASE("a thread keeps what it runs until it has run, and no longer") {
  auto kept = std::make_shared<int>(5);
  const std::weak_ptr<int> seen = kept;
  int value = 0;
  DeepThread thread{[kept = std::move(kept), &value] { value = *kept; }};
  thread.join();
  CHECK(value == 5);
  CHECK(seen.expired());
}
