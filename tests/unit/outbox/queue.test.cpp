// SPDX-License-Identifier: MIT
#include <omnibus/outbox/queue.hpp>

#include <omnibus/detail/hash.hpp>

#include <algorithm>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;
using outbox::Queue;
using Turn = Queue::Turn;

namespace {

constexpr Instant start{1h};

Turn offer(Queue& queue, std::int64_t position, std::string_view key, std::string_view topic = "orders") {
  MessageView message;
  message.key = key;
  message.payload = "12345678";
  return queue.offer({position, topic, message});
}

}  // namespace

TEST_CASE("outbox queue: one message of a key is on its way, others wait for it in order") {
  Queue queue;
  CHECK(offer(queue, 1, "a") == Turn::send);
  CHECK(offer(queue, 2, "a") == Turn::wait);
  CHECK(offer(queue, 3, "b") == Turn::send);
  CHECK(offer(queue, 4, "a") == Turn::wait);
  CHECK(offer(queue, 5, "a", "invoices") == Turn::send);
  CHECK(queue.in_flight() == 3);
  CHECK(queue.bytes() == 5 * 8);
  CHECK(queue.confirmed(1)->position == 2);
  CHECK_FALSE(queue.confirmed(3));
  CHECK(queue.confirmed(2)->position == 4);
  CHECK_FALSE(queue.confirmed(4));
  CHECK(queue.unmarked().size() == 4);
  CHECK(queue.in_flight() == 1);
  CHECK(queue.size() == 5);
  queue.marked();
  CHECK(queue.size() == 1);
  CHECK(queue.bytes() == 8);
}

TEST_CASE("outbox queue: messages without a key wait for nobody") {
  Queue queue;
  CHECK(offer(queue, 1, "") == Turn::send);
  CHECK(offer(queue, 2, "") == Turn::send);
  queue.failed(1, start + 1s, false);
  CHECK(offer(queue, 1, "") == Turn::held);
  CHECK(offer(queue, 3, "") == Turn::send);
}

TEST_CASE("outbox queue: what was read and not marked is not taken twice") {
  Queue queue;
  CHECK(offer(queue, 1, "a") == Turn::send);
  CHECK(offer(queue, 2, "a") == Turn::wait);
  CHECK(offer(queue, 1, "a") == Turn::known);
  CHECK(offer(queue, 2, "a") == Turn::known);
  (void)queue.confirmed(1);
  CHECK(offer(queue, 1, "a") == Turn::known);
}

TEST_CASE("outbox queue: a key that fails has nothing in memory, and is read again from where it failed") {
  Queue queue;
  CHECK(offer(queue, 1, "a") == Turn::send);
  CHECK(offer(queue, 2, "b") == Turn::send);
  CHECK(offer(queue, 3, "a") == Turn::wait);
  queue.failed(1, start + 1s, false);
  CHECK(queue.held() == 1);
  CHECK(queue.size() == 1);
  CHECK(queue.bytes() == 8);
  CHECK(offer(queue, 4, "a") == Turn::held);
  CHECK(offer(queue, 5, "b") == Turn::wait);
  CHECK(queue.next_release() == start + 1s);
  CHECK_FALSE(queue.release(start));
  CHECK(queue.release(start + 1s).value() == 1);
  CHECK(queue.held() == 0);
  CHECK(queue.next_release() == Instant::max());
  CHECK(offer(queue, 1, "a") == Turn::send);
  CHECK(queue.failures(1) == 1);
  CHECK(offer(queue, 2, "b") == Turn::known);
  CHECK(offer(queue, 3, "a") == Turn::wait);
  CHECK(queue.confirmed(1)->position == 3);
  CHECK(queue.failures(3) == 0);
}

TEST_CASE("outbox queue: of several keys on hold those are released whose time has come") {
  Queue queue;
  for (std::int64_t position = 1; position <= 3; ++position) {
    CHECK(offer(queue, position, std::to_string(position)) == Turn::send);
    queue.failed(position, start + std::chrono::seconds{4 - position}, position == 3);
  }
  CHECK(queue.refused() == 1);
  CHECK(queue.release(start + 2s).value() == 2);
  CHECK(queue.held() == 1);
  CHECK(queue.refused() == 0);
  CHECK(queue.next_release() == start + 3s);
  CHECK(queue.release(Instant::max()).value() == 1);
}

TEST_CASE("outbox queue: nothing is left of a key whose message was taken away while it was on hold") {
  Queue queue;
  CHECK(offer(queue, 1, "a") == Turn::send);
  queue.failed(1, start, false);
  (void)queue.release(start);
  queue.read_all();
  CHECK(offer(queue, 2, "a") == Turn::send);
  CHECK(queue.failures(2) == 0);
}

// Whatever fails and whenever it is marked, the first copies of each key come in order and all come.
TEST_CASE("outbox queue: at random, every key is sent in order without gaps") {
  std::uint64_t random = 1;
  const auto below = [&random](std::uint64_t limit) { return (random = detail::mix64(random)) % limit; };
  for (int run = 0; run < 200; ++run) {
    constexpr std::int64_t messages = 60;
    std::map<std::int64_t, std::string> file;
    for (std::int64_t position = 1; position <= messages; ++position) {
      const std::uint64_t key = below(5);
      file[position] = key == 4 ? "" : std::to_string(key);
    }
    const auto all = file;
    Queue queue;
    std::int64_t behind = 0;
    Instant now = start;
    std::vector<std::int64_t> flying;
    std::vector<std::int64_t> taken;  // by the broker, each when it came first
    std::set<std::int64_t> seen;
    const auto arrives = [&](std::int64_t position) {
      if (seen.insert(position).second) taken.push_back(position);
    };
    for (int turn = 0; turn < 100'000 && !(file.empty() && flying.empty()); ++turn) {
      switch (below(4)) {
        case 0: {
          const auto next = file.upper_bound(behind);
          if (next == file.end()) {
            queue.read_all();
            break;
          }
          if (queue.size() >= 20) break;
          behind = next->first;
          if (offer(queue, next->first, next->second) == Turn::send) flying.push_back(next->first);
          break;
        }
        case 1: {
          if (flying.empty()) break;
          const auto which = flying.begin() + static_cast<std::ptrdiff_t>(below(flying.size()));
          const std::int64_t position = *which;
          flying.erase(which);
          const std::uint64_t fate = below(4);
          if (fate != 0) arrives(position);  // one of three of these is not told
          if (fate <= 1) {
            queue.failed(position, now + std::chrono::milliseconds{below(20)}, below(2) == 0);
          } else if (const auto following = queue.confirmed(position)) {
            flying.push_back(following->position);
          }
          break;
        }
        case 2: {
          now += 3ms;
          if (const auto from = queue.release(now)) behind = std::min(behind, *from - 1);
          break;
        }
        default:
          if (below(4) != 0) break;
          for (const std::int64_t position : queue.unmarked()) file.erase(position);
          queue.marked();
      }
    }
    INFO("run " << run);
    REQUIRE(taken.size() == static_cast<std::size_t>(messages));
    std::map<std::string, std::int64_t> last;
    for (const std::int64_t position : taken) {
      const std::string& key = all.at(position);
      if (key.empty()) continue;
      REQUIRE(position > last[key]);
      last[key] = position;
    }
    REQUIRE(queue.size() == queue.unmarked().size());
    REQUIRE(queue.bytes() == 0);
    REQUIRE(queue.held() == 0);
  }
}
