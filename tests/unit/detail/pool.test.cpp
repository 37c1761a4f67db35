// SPDX-License-Identifier: MIT
#include <omnibus/detail/pool.hpp>

#include "catch.hpp"

namespace {

struct Thing {
  int released = 0;
  Thing* next_free = nullptr;
  void release() noexcept { ++released; }
};

}  // namespace

TEST_CASE("redis: what is given back is released, and used again") {
  omnibus::detail::Pool<Thing> pool;
  Thing& first = pool.take();
  const int before = first.released;
  Thing& second = pool.take();
  CHECK(&first != &second);
  pool.give_back(first);
  CHECK(first.released == before + 1);
  CHECK(&pool.take() == &first);
}
