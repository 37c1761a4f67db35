// SPDX-License-Identifier: MIT
#include <omnibus/detail/queue.hpp>

#include <algorithm>
#include <deque>
#include <thread>
#include <vector>

#include "catch.hpp"

using namespace omnibus;

namespace {

struct Item {
  Item* next = nullptr;
  int number = 0;
};
using Items = detail::Queue<Item>;

/// Owns the items of a test.
class Maker {
 public:
  Item* item(int number) {
    all_.push_back({nullptr, number});
    return &all_.back();
  }
  Items items(int first, int count) {
    Items items;
    for (int i = 0; i < count; ++i) items.push(item(first + i));
    return items;
  }

 private:
  std::deque<Item> all_;
};

std::vector<int> numbers(const Items& items) {
  std::vector<int> all;
  for (const Item* item = items.first; item != nullptr; item = item->next) {
    all.push_back(item->number);
  }
  return all;
}

}  // namespace

TEST_CASE("a queue keeps its order through push, append, take and extract") {
  Maker maker;
  Items queue = maker.items(0, 5);
  CHECK(queue.size == 5);
  Items more = maker.items(5, 2);
  queue.append(more);
  queue.append({});
  CHECK(numbers(queue) == std::vector{0, 1, 2, 3, 4, 5, 6});
  const Items head = queue.take(2);
  CHECK(numbers(head) == std::vector{0, 1});
  const Items odd = queue.extract([](const Item& item) { return item.number % 2 == 1; });
  CHECK(numbers(odd) == std::vector{3, 5});
  CHECK(numbers(queue) == std::vector{2, 4, 6});
  CHECK(queue.size == 3);
  queue.push(maker.item(9));
  CHECK(numbers(queue) == std::vector{2, 4, 6, 9});
  const Items all = queue.take(100);
  CHECK(all.size == 4);
  CHECK(queue.first == nullptr);
  CHECK(queue.size == 0);
  Items none;
  CHECK(none.take(0).size == 0);
  CHECK(none.extract([](const Item&) { return true; }).size == 0);
}

TEST_CASE("what is handed over keeps its order, while it is filled as well") {
  detail::HandedOver<Item> queue;
  CHECK(queue.take().size == 0);
  std::vector<int> got;
  constexpr int count = 20'000;
  std::deque<Item> items(count);
  std::thread filler{[&] {
    for (int i = 0; i < count; ++i) {
      items[static_cast<std::size_t>(i)].number = i;
      queue.push(&items[static_cast<std::size_t>(i)]);
    }
  }};
  while (got.size() < count) {
    for (const int number : numbers(queue.take())) got.push_back(number);
  }
  filler.join();
  REQUIRE(got.size() == count);
  CHECK(std::is_sorted(got.begin(), got.end()));
  queue.push(&items[0]);  // it may be used again
  CHECK(queue.take().size == 1);
}
