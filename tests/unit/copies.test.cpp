// SPDX-License-Identifier: MIT
#include <omnibus/copies.hpp>

#include <thread>

#include "catch.hpp"
#include "unit/tools.hpp"

using omnibus::detail::Copies;
using namespace omnibus;
using namespace omnibus::unit;

namespace {

using Numbers = std::vector<int>;

const Instant start{1000s};

/// What is sent again at this time.
Numbers sent(Copies<int>& copies, Instant now) {
  Numbers numbers;
  copies.retry(now, [&numbers](int& held) { numbers.push_back(held); });
  return numbers;
}

}  // namespace

TEST_CASE("the endings of copies are told once, in order, and ring the bell") {
  const Copies<int> copies;
  int first = 1;
  int second = 2;
  CHECK(copies.take().empty());
  CHECK_FALSE(copies.wakeup().take());
  copies.completion(first)(Receipt{});
  copies.completion(second)(Error::make(Errc::outcome_unknown, "publish"));
  CHECK(copies.wakeup().take());
  const auto endings = copies.take();
  REQUIRE(endings.size() == 2);
  CHECK(endings[0].held == &first);
  CHECK(endings[0].confirmed);
  CHECK(endings[1].held == &second);
  CHECK_FALSE(endings[1].confirmed);
  CHECK(copies.take().empty());
}

TEST_CASE("endings come from many threads") {
  const Copies<int> copies;
  int held = 0;
  std::vector<std::thread> publishers;
  for (int i = 0; i < 4; ++i) {
    publishers.emplace_back([&] {
      for (int n = 0; n < 1000; ++n) copies.completion(held)(Receipt{});
    });
  }
  std::size_t count = 0;
  CHECK(eventually([&] { return (count += copies.take().size()) == 4000; }));
  for (std::thread& each : publishers) each.join();
}

TEST_CASE("a completion may come when the consumer is gone, and leaves nothing behind") {
  std::weak_ptr<omnibus::detail::Mailbox<int>> mailbox;
  int held = 0;
  {
    const auto completion = [&] {
      const Copies<int> copies;
      mailbox = copies.mailbox();
      return copies.completion(held);
    }();
    CHECK_FALSE(mailbox.expired());
    completion(Receipt{});
  }
  CHECK(mailbox.expired());
}

TEST_CASE("a copy that failed is sent again after a while, once") {
  Copies<int> copies;
  int held = 1;
  CHECK(copies.next_retry() == Instant::max());
  copies.failed(held, start);
  const Instant due = copies.next_retry();
  CHECK(due > start);
  CHECK(due < start + 1s);
  CHECK(sent(copies, due - 1ns).empty());
  CHECK(sent(copies, due) == Numbers{1});
  CHECK(sent(copies, due + 1h).empty());
  CHECK(copies.next_retry() == Instant::max());
}

TEST_CASE("copies are sent again in the order in which they failed, what is not due later") {
  Copies<int> copies;
  int held[]{1, 2, 3};
  copies.failed(held[1], start);
  copies.failed(held[0], start);
  copies.failed(held[2], start + 1ms);
  const Instant due = copies.next_retry();
  CHECK(sent(copies, due) == Numbers{2, 1});
  CHECK(copies.next_retry() == due + 1ms);
  CHECK(sent(copies, due + 1ms) == Numbers{3});
}

TEST_CASE("what fails again while it is sent waits again") {
  Copies<int> copies;
  int held = 1;
  copies.failed(held, start);
  const Instant due = copies.next_retry();
  int calls = 0;
  copies.retry(due, [&](int& each) {
    if (++calls < 10) copies.failed(each, due);
  });
  CHECK(calls == 1);
  CHECK(copies.next_retry() > due);
}
