// SPDX-License-Identifier: MIT
#include <omnibus/detail/lanes.hpp>

#include <deque>
#include <map>
#include <set>
#include <thread>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;

namespace {

struct Item {
  Item* next = nullptr;
  std::size_t lane = 0;
  std::string name;  // of the key
  int number = 0;
  std::string_view key() const noexcept { return name; }
};
using Lanes = detail::Lanes<Item>;
using Items = Lanes::Items;

constexpr Instant start{};

/// Owns the items of a test.
class Maker {
 public:
  Item* item(std::string name, int number, std::size_t lane = 0) {
    all_.push_back({nullptr, lane, std::move(name), number});
    return &all_.back();
  }
  Items items(const std::string& name, int first, int count, std::size_t lane = 0) {
    Items items;
    for (int i = 0; i < count; ++i) items.push(item(name, first + i, lane));
    return items;
  }

 private:
  std::deque<Item> all_;
};

std::vector<int> numbers(const Items& items) {
  std::vector<int> all;
  for (const Item* item = items.first; item != nullptr; item = item->next)
    all.push_back(item->number);
  return all;
}

/// Does everything in the chunk.
void do_all(Lanes::Chunk& chunk, std::vector<int>& done) {
  while (Lanes::Run* run = chunk.begin_run()) {
    while (run->items.first != nullptr) {
      Item* item = run->items.pop();
      done.push_back(item->number);
      chunk.done.push(item);
    }
  }
}

/// Begins the next run and parks the key of its next item until `due`, as the dispatcher does.
Lanes::Run& park_next(Lanes::Run& run, Instant due) {
  Item* item = run.items.pop();
  Lanes::Parked parked{item->key(), due, {}};
  parked.items.push(item);
  while (run.items.first != nullptr && run.items.first->key() == item->key()) {
    parked.items.push(run.items.pop());
  }
  run.parked.push_back(std::move(parked));
  return run;
}
Lanes::Run& park_next(Lanes::Chunk& chunk, Instant due) {
  Lanes::Run* run = chunk.begin_run();
  REQUIRE(run != nullptr);
  return park_next(*run, due);
}

/// Takes and does `count` items, one by one, and leaves the last in the worker's hands.
void do_some(Lanes& lanes, Lanes::Chunk& chunk, std::vector<int>& order, int count) {
  for (chunk.budget = 1; count > 0; --count) {
    REQUIRE(lanes.next(chunk));
    do_all(chunk, order);
  }
}

}  // namespace

TEST_CASE("items of a lane come out in the order they went in, and come back when done") {
  Maker maker;
  Lanes lanes{1, 1, [] {}};
  CHECK(lanes.exchange(maker.items("a", 0, 10), start).done.size == 0);
  Lanes::Chunk chunk;
  std::vector<int> order;
  std::vector<int> returned;
  for (int i = 0; i < 10; ++i) {
    chunk.budget = 1;
    REQUIRE(lanes.next(chunk));
    do_all(chunk, order);
    for (const int number : numbers(lanes.exchange({}, start).done)) returned.push_back(number);
  }
  CHECK(order == std::vector{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
  CHECK(returned == std::vector{0, 1, 2, 3, 4, 5, 6, 7, 8});  // the last chunk is still held
  lanes.close();
  CHECK_FALSE(lanes.next(chunk));
  CHECK(numbers(lanes.exchange({}, start).done) == std::vector{9});
}

TEST_CASE("a chunk has no more items than its budget, and at least one") {
  Maker maker;
  Lanes lanes{4, 1, [] {}};
  for (std::size_t lane = 0; lane < 4; ++lane) lanes.exchange(maker.items("k", 0, 5, lane), start);
  Lanes::Chunk chunk;
  for (const std::size_t budget : {1u, 3u, 7u}) {
    chunk.budget = budget;
    REQUIRE(lanes.next(chunk));
    std::vector<int> done;
    do_all(chunk, done);
    CHECK(done.size() == budget);
  }
}

TEST_CASE("a worker leaves a share of the work to the others") {
  Maker maker;
  Lanes lanes{8, 4, [] {}};
  for (std::size_t lane = 0; lane < 8; ++lane) lanes.exchange(maker.items("k", 0, 10, lane), start);
  Lanes::Chunk chunk;
  chunk.budget = 1000;
  REQUIRE(lanes.next(chunk));
  std::vector<int> done;
  do_all(chunk, done);
  CHECK(done.size() == 20);
}

TEST_CASE("a lane that a worker holds is given to no other") {
  Maker maker;
  Lanes lanes{2, 2, [] {}};
  lanes.exchange(maker.items("a", 0, 5, 0), start);
  Lanes::Chunk first;
  REQUIRE(lanes.next(first));
  lanes.exchange(maker.items("b", 10, 1, 1), start);
  Lanes::Chunk second;
  second.budget = 100;
  REQUIRE(lanes.next(second));
  CHECK(second.begin_run()->lane == 1);
  CHECK(second.begin_run() == nullptr);
  std::vector<int> done;
  do_all(first, done);
  lanes.close();
  REQUIRE(lanes.next(first));  // gives lane 0 back, and takes it again
  CHECK(first.begin_run()->lane == 0);
}

TEST_CASE("ready lanes take turns") {
  Maker maker;
  Lanes lanes{3, 1, [] {}};
  for (std::size_t lane = 0; lane < 3; ++lane) lanes.exchange(maker.items("k", 0, 4, lane), start);
  Lanes::Chunk chunk;
  std::vector<std::size_t> turns;
  for (int i = 0; i < 9; ++i) {
    REQUIRE(lanes.next(chunk));
    Lanes::Run& run = *chunk.begin_run();
    turns.push_back(run.lane);
    while (run.items.first != nullptr) chunk.done.push(run.items.pop());
  }
  CHECK(turns == std::vector<std::size_t>{0, 1, 2, 0, 1, 2, 0, 1, 2});
}

TEST_CASE("a parked key waits for its time with all that comes behind it; other keys go on") {
  Maker maker;
  Lanes lanes{1, 1, [] {}};
  Items batch;
  batch.push(maker.item("a", 1));
  batch.push(maker.item("b", 2));
  batch.push(maker.item("a", 3));
  batch.push(maker.item("b", 4));
  lanes.exchange(batch, start);
  Lanes::Chunk chunk;
  chunk.budget = 1;
  REQUIRE(lanes.next(chunk));
  park_next(chunk, start + 10s);
  std::vector<int> order;
  do_some(lanes, chunk, order, 1);
  CHECK(lanes.waiting() == 2);
  do_some(lanes, chunk, order, 1);
  CHECK(order == std::vector{2, 4});

  Items later;
  later.push(maker.item("a", 5));
  later.push(maker.item("b", 6));
  lanes.exchange(later, start);
  CHECK(lanes.waiting() == 3);
  CHECK(lanes.exchange({}, start + 9s).due == start + 10s);
  REQUIRE(lanes.next(chunk));
  do_all(chunk, order);
  CHECK(order == std::vector{2, 4, 6});

  CHECK(lanes.exchange({}, start + 10s).due == Instant::max());
  CHECK(lanes.waiting() == 0);
  do_some(lanes, chunk, order, 3);
  CHECK(order == std::vector{2, 4, 6, 1, 3, 5});
}

TEST_CASE("what is unparked stands before what came later") {
  Maker maker;
  Lanes lanes{1, 1, [] {}};
  lanes.exchange(maker.items("a", 1, 3), start);
  Lanes::Chunk chunk;
  chunk.budget = 100;
  REQUIRE(lanes.next(chunk));
  park_next(chunk, start + 1s);           // 1, 2 and 3
  lanes.exchange(maker.items("a", 4, 2), start);  // before the worker has said that a is parked
  lanes.exchange(maker.items("b", 6, 1), start);
  std::vector<int> order;
  REQUIRE(lanes.next(chunk));
  do_all(chunk, order);
  CHECK(order == std::vector{6});
  CHECK(lanes.waiting() == 5);
  lanes.exchange(maker.items("b", 7, 1), start);
  lanes.exchange({}, start + 1s);
  while (order.size() < 7) {
    REQUIRE(lanes.next(chunk));
    do_all(chunk, order);
  }
  CHECK(order == std::vector{6, 1, 2, 3, 4, 5, 7});
}

TEST_CASE("items without a key do not wait for one that failed") {
  Maker maker;
  Lanes lanes{1, 1, [] {}};
  lanes.exchange(maker.items("", 1, 1), start);
  Lanes::Chunk chunk;
  REQUIRE(lanes.next(chunk));
  park_next(chunk, start + 10s);
  lanes.exchange(maker.items("", 2, 2), start);
  std::vector<int> order;
  chunk.budget = 100;
  REQUIRE(lanes.next(chunk));
  do_all(chunk, order);
  CHECK(order == std::vector{2, 3});
  lanes.exchange(maker.items("", 4, 1), start);
  REQUIRE(lanes.next(chunk));
  do_all(chunk, order);
  CHECK(order == std::vector{2, 3, 4});
  CHECK(lanes.waiting() == 1);
}

TEST_CASE("several keys of a lane are parked and due one by one") {
  Maker maker;
  Lanes lanes{1, 1, [] {}};
  Items batch;
  for (int i = 0; i < 4; ++i) batch.push(maker.item(std::string(1, static_cast<char>('a' + i)), i));
  lanes.exchange(batch, start);
  Lanes::Chunk chunk;
  chunk.budget = 100;
  REQUIRE(lanes.next(chunk));
  Lanes::Run& run = park_next(chunk, start + 4s);
  for (int i = 1; i < 4; ++i) park_next(run, start + std::chrono::seconds{4 - i});
  lanes.close();
  CHECK_FALSE(lanes.next(chunk));
  std::vector<int> order;
  Instant due = start + 1s;
  for (int i = 0; i < 4; ++i) {
    const Instant next = lanes.exchange({}, due).due;
    CHECK(next == (i < 3 ? due + 1s : Instant::max()));
    REQUIRE(lanes.next(chunk));
    do_all(chunk, order);
    due = next;
  }
  CHECK(order == std::vector{3, 2, 1, 0});
}

TEST_CASE("withdraw takes what has not started, queued or parked, in order") {
  Maker maker;
  Lanes lanes{2, 1, [] {}};
  lanes.exchange(maker.items("a", 1, 4, 0), start);
  lanes.exchange(maker.items("b", 11, 3, 1), start);
  Lanes::Chunk chunk;
  chunk.budget = 1;
  REQUIRE(lanes.next(chunk));
  park_next(chunk, start + 10s);  // 1, and then what is behind it
  REQUIRE(lanes.next(chunk));
  Lanes::Run& run = *chunk.begin_run();  // is at 11
  CHECK(lanes.waiting() == 4);
  const Items out = lanes.withdraw([](const Item& item) { return item.number != 3; }).items;
  CHECK(out.size == 5);
  const std::vector<int> all = numbers(out);
  CHECK(std::set<int>(all.begin(), all.end()) == std::set{1, 2, 4, 12, 13});
  CHECK(lanes.waiting() == 1);
  CHECK(run.items.first->number == 11);
  chunk.done.push(run.items.pop());
  lanes.exchange({}, start + 10s);
  std::vector<int> order;
  do_some(lanes, chunk, order, 1);
  CHECK(order == std::vector{3});
  CHECK(lanes.withdraw([](const Item&) { return true; }).items.size == 0);
}

TEST_CASE("a lane whose items were withdrawn works on with new ones") {
  Maker maker;
  Lanes lanes{2, 1, [] {}};
  lanes.exchange(maker.items("a", 1, 4, 0), start);
  CHECK(lanes.withdraw([](const Item&) { return true; }).items.size == 4);
  lanes.exchange(maker.items("b", 5, 1, 1), start);
  Lanes::Chunk chunk;
  chunk.budget = 100;
  std::vector<int> order;
  while (order.empty()) {
    REQUIRE(lanes.next(chunk));
    do_all(chunk, order);
  }
  lanes.exchange(maker.items("a", 6, 1, 0), start);
  REQUIRE(lanes.next(chunk));
  do_all(chunk, order);
  CHECK(order == std::vector{5, 6});
}

TEST_CASE("a dispatcher that got nothing is woken once when something is done") {
  Maker maker;
  int woken = 0;
  Lanes lanes{1, 1, [&woken] { ++woken; }};
  Lanes::Chunk chunk;
  std::vector<int> order;
  CHECK(lanes.exchange(maker.items("a", 1, 5), start).done.size == 0);  // waits
  REQUIRE(lanes.next(chunk));
  do_all(chunk, order);
  CHECK(woken == 0);
  REQUIRE(lanes.next(chunk));
  CHECK(woken == 1);
  do_all(chunk, order);
  REQUIRE(lanes.next(chunk));
  CHECK(woken == 1);
  CHECK(lanes.exchange({}, start).done.size == 2);  // got something: comes again by itself
  do_all(chunk, order);
  REQUIRE(lanes.next(chunk));
  CHECK(woken == 1);
  CHECK(lanes.exchange({}, start).done.size == 1);
  CHECK(lanes.exchange({}, start).done.size == 0);  // waits
  do_all(chunk, order);
  REQUIRE(lanes.next(chunk));
  CHECK(woken == 2);
}

TEST_CASE("a dispatcher that waits is woken when a key was parked, to learn when it is due") {
  Maker maker;
  int woken = 0;
  Lanes lanes{1, 1, [&woken] { ++woken; }};
  lanes.exchange(maker.items("a", 1, 1), start);
  Lanes::Chunk chunk;
  REQUIRE(lanes.next(chunk));
  park_next(chunk, start + 1s);
  lanes.close();
  CHECK_FALSE(lanes.next(chunk));
  CHECK(woken == 1);
  CHECK(lanes.exchange({}, start).due == start + 1s);
}

TEST_CASE("lanes are idle once everything is done and taken, or waits, and the dispatcher knows until when") {
  Maker maker;
  Lanes lanes{1, 1, [] {}};
  CHECK_FALSE(lanes.idle());  // nobody has looked yet
  lanes.exchange({}, start);
  CHECK(lanes.idle());
  lanes.exchange(maker.items("a", 1, 1), start);
  CHECK_FALSE(lanes.idle());  // queued
  Lanes::Chunk chunk;
  REQUIRE(lanes.next(chunk));
  lanes.exchange({}, start);
  CHECK_FALSE(lanes.idle());  // in a worker's hands
  park_next(chunk, start + 1s);
  lanes.exchange(maker.items("b", 2, 1), start);
  REQUIRE(lanes.next(chunk));
  std::vector<int> order;
  do_all(chunk, order);
  lanes.exchange({}, start);
  CHECK_FALSE(lanes.idle());  // done, but for what the worker has to give back
  lanes.close();
  CHECK_FALSE(lanes.next(chunk));
  CHECK(lanes.exchange({}, start).due == start + 1s);
  CHECK(lanes.exchange({}, start).done.size == 0);
  CHECK(lanes.idle());  // one is parked
  lanes.exchange({}, start + 1s);
  CHECK_FALSE(lanes.idle());
}

TEST_CASE("lanes are not idle while something was given back that the dispatcher has not seen") {
  for (const bool parks : {true, false}) {
    Maker maker;
    Gate given_back;
    Lanes lanes{1, 1, [&given_back] { given_back.open(); }};
    lanes.exchange(maker.items("a", 1, 1), start);
    Lanes::Chunk chunk;
    std::vector<int> order;
    REQUIRE(lanes.next(chunk));
    if (parks) {
      park_next(chunk, start + 1s);
    } else {
      do_all(chunk, order);
    }
    std::thread worker{[&] { (void)lanes.next(chunk); }};  // gives back, and waits for more
    CHECK(given_back.pass());
    CHECK_FALSE(lanes.idle());
    CHECK(lanes.exchange({}, start).done.size == (parks ? 0 : 1));
    CHECK(lanes.idle() == parks);  // who got something comes again by itself
    lanes.exchange({}, start);
    CHECK(lanes.idle());
    lanes.close();
    worker.join();
  }
  Lanes ended{1, 1, [] {}};
  ended.close();
  CHECK(ended.idle());  // nobody will look
}

TEST_CASE("what waits behind a slow handler goes to other workers, and what is done comes back") {
  Maker maker;
  Lanes lanes{4, 1, [] {}};
  for (std::size_t lane = 0; lane < 4; ++lane) {
    lanes.exchange(maker.items(std::to_string(lane), static_cast<int>(lane) * 10, 2, lane), start);
  }
  Lanes::Chunk slow;
  slow.budget = 100;
  REQUIRE(lanes.next(slow));
  park_next(slow, start + 10s);  // lane 0: both items
  Lanes::Run& fast = *slow.begin_run();
  while (fast.items.first != nullptr) slow.done.push(fast.items.pop());
  Lanes::Run& hangs = *slow.begin_run();
  Item* held = hangs.items.pop();
  CHECK(held->number == 20);

  CHECK(lanes.exchange({}, start).due == start + 2ms);
  CHECK(lanes.exchange({}, start + 1ms).done.size == 0);  // it may yet end soon
  lanes.exchange(maker.items("3", 32, 1, 3), start + 1ms);
  const Lanes::Turn turn = lanes.exchange({}, start + 2ms);
  CHECK(numbers(turn.done) == std::vector{10, 11});
  CHECK(turn.due == start + 6ms);  // it is looked at less and less often
  CHECK(lanes.waiting() == 2);

  lanes.exchange(maker.items("2", 22, 1, 2), start + 3ms);
  lanes.exchange(maker.items("1", 12, 1, 1), start + 3ms);
  Lanes::Chunk other;
  std::vector<int> order;
  do_some(lanes, other, order, 4);
  CHECK(order == std::vector{30, 12, 31, 32});  // lane 2 is held, and lane 3 kept its order

  slow.done.push(held);
  while (hangs.items.first != nullptr) slow.done.push(hangs.items.pop());
  CHECK(slow.begin_run() == nullptr);
  slow.budget = 1;
  REQUIRE(lanes.next(slow));
  CHECK(slow.begin_run()->items.pop()->number == 22);
  CHECK(numbers(lanes.exchange({}, start + 4ms).done) == std::vector{30, 12, 31, 20, 21});
}

TEST_CASE("a chunk that was not begun is taken back whole") {
  Maker maker;
  Lanes lanes{2, 1, [] {}};
  lanes.exchange(maker.items("a", 1, 2, 0), start);
  lanes.exchange(maker.items("b", 3, 2, 1), start);
  Lanes::Chunk chunk;
  chunk.budget = 100;
  REQUIRE(lanes.next(chunk));
  CHECK(lanes.withdraw([](const Item&) { return true; }).items.size == 4);
  CHECK(chunk.begin_run() == nullptr);
  lanes.exchange(maker.items("a", 5, 1, 0), start);
  REQUIRE(lanes.next(chunk));
  CHECK(chunk.begin_run()->items.pop()->number == 5);
}

TEST_CASE("withdraw takes what a slow worker has done, and is woken by the next that is") {
  Maker maker;
  int woken = 0;
  Lanes lanes{3, 1, [&woken] { ++woken; }};
  for (std::size_t lane = 0; lane < 3; ++lane) {
    lanes.exchange(maker.items("k", static_cast<int>(lane), 1, lane), start);
  }
  Lanes::Chunk chunk;
  chunk.budget = 2;
  REQUIRE(lanes.next(chunk));
  chunk.done.push(chunk.begin_run()->items.pop());
  Item* hanging = chunk.begin_run()->items.pop();
  const auto none = [](const Item&) { return false; };
  CHECK(numbers(lanes.withdraw(none).done) == std::vector{0});
  chunk.done.push(hanging);
  REQUIRE(lanes.next(chunk));
  CHECK(woken == 1);
  CHECK(numbers(lanes.withdraw(none).done) == std::vector{1});
}

TEST_CASE("closing lets workers finish what is there, then ends them") {
  Maker maker;
  Lanes lanes{4, 2, [] {}};
  for (std::size_t lane = 0; lane < 4; ++lane) lanes.exchange(maker.items("k", 0, 2, lane), start);
  Watched<int> done;
  std::vector<std::thread> workers;
  for (int i = 0; i < 2; ++i) {
    workers.emplace_back([&] {
      Lanes::Chunk chunk;
      while (lanes.next(chunk)) {
        std::vector<int> order;
        do_all(chunk, order);
        done.change([&](int& sum) { sum += static_cast<int>(order.size()); });
      }
    });
  }
  CHECK(done.wait([](int sum) { return sum == 8; }));
  lanes.close();
  for (auto& worker : workers) worker.join();
  CHECK(lanes.exchange({}, start).done.size == 8);
}

namespace {

/// A dispatcher and some workers over random keys: items fail at random and are parked, and every other
/// turn takes back what workers have not begun. Counts what is not as it should be.
struct Chaos {
  std::size_t lane_count;
  int workers;
  int keys;
  int count;
  std::uint64_t seed;

  std::atomic<int> out_of_order{0};
  std::atomic<int> at_once{0};

  void run() {
    Watched<int> news;
    Lanes lanes{lane_count, static_cast<std::size_t>(workers),
                [&news] { news.change([](int& n) { ++n; }); }};
    std::deque<Item> items;
    std::vector<int> next_of_key(static_cast<std::size_t>(keys));
    std::mt19937_64 random{seed};
    for (int i = 0; i < count; ++i) {
      const auto key = static_cast<std::size_t>(random() % static_cast<unsigned>(keys));
      items.push_back(
          {nullptr, key % lane_count, "key " + std::to_string(key), next_of_key[key]++});
    }
    std::vector<std::atomic<int>> expected(static_cast<std::size_t>(keys));
    std::vector<std::atomic<bool>> busy(static_cast<std::size_t>(keys));
    const auto index = [](const Item& item) {
      return static_cast<std::size_t>(std::stoi(item.name.substr(4)));
    };
    const auto work = [&](std::uint64_t own_seed) {
      std::mt19937_64 fate{own_seed};
      Lanes::Chunk chunk;
      while (lanes.next(chunk)) {
        chunk.budget = 1 + fate() % 16;
        while (Lanes::Run* run = chunk.begin_run()) {
          while (run->items.first != nullptr) {
            Item* item = run->items.pop();
            bool behind = false;
            for (Lanes::Parked& parked : run->parked) {
              if (parked.key != item->key()) continue;
              parked.items.push(item);
              behind = true;
              break;
            }
            if (behind) continue;
            const std::size_t key = index(*item);
            if (busy[key].exchange(true)) ++at_once;
            if (expected[key].load() != item->number) ++out_of_order;
            const bool fails = fate() % 4 == 0;
            if (!fails) expected[key].store(item->number + 1);
            busy[key].store(false);
            if (fails) {
              Lanes::Parked parked{
                  item->key(), start + 100us * static_cast<int>(fate() % 50), {}};
              parked.items.push(item);
              run->parked.push_back(std::move(parked));
            } else {
              chunk.done.push(item);
            }
          }
        }
      }
    };
    std::vector<std::thread> threads;
    for (int i = 0; i < workers; ++i)
      threads.emplace_back(work, seed * 100 + static_cast<unsigned>(i));
    std::size_t done = 0;
    std::size_t given = 0;
    Instant now = start;
    auto deadline = std::chrono::steady_clock::now() + patience;  // of the next one
    while (done < items.size() && std::chrono::steady_clock::now() < deadline) {
      const int before = news.get();
      now += 1ms;
      Items batch;
      for (std::size_t most = random() % 20; most > 0 && given < items.size(); --most) {
        batch.push(&items[given++]);
      }
      const bool was_empty = batch.size == 0;
      const Lanes::Turn turn = lanes.exchange(batch, now);
      done += turn.done.size;
      if (turn.done.size > 0) deadline = std::chrono::steady_clock::now() + patience;
      const bool idle = was_empty && turn.done.size == 0 && turn.due == Instant::max();
      if (idle && given == items.size() && done < items.size()) {
        (void)news.wait([&](int n) { return n != before; });
      } else if (turn.done.size == 0) {
        std::this_thread::yield();  // workers need the lock, too
      }
    }
    lanes.close();
    for (auto& thread : threads) thread.join();
    CHECK(done == items.size());
    CHECK(lanes.waiting() == 0);
  }
};

}  // namespace

TEST_CASE("with workers, failures and waits at random each key keeps its order, one at a time") {
  struct Shape {
    std::size_t lanes;
    int workers;
    int keys;
  };
  for (const Shape shape : {Shape{1, 3, 7}, Shape{8, 4, 5}, Shape{64, 4, 200}, Shape{2, 1, 1}}) {
    for (const std::uint64_t seed : {1u, 2u}) {
      Chaos chaos{shape.lanes, shape.workers, shape.keys, 4000, seed, {}, {}};
      chaos.run();
      CHECK(chaos.out_of_order.load() == 0);
      CHECK(chaos.at_once.load() == 0);
    }
  }
}
