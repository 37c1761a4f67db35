// SPDX-License-Identifier: MIT
#include <omnibus/event_store/memory.hpp>

#include <memory>
#include <string>
#include <vector>

#include <omnibus/event_store/suite.hpp>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;

namespace {

constexpr auto any = ExpectedVersion::any();

Result<Appended> add(MemoryEventStore& store, std::string_view stream, const NewEvent& event) {
  return append(store, stream, any, {&event, 1});
}

}  // namespace

TEST_CASE("the memory store passes the suite of event stores") {
  EventStoreSuite suite{[] { return std::make_unique<MemoryEventStore>(); }};
  CHECK(suite.run(100, 300) == std::vector<std::string>{});
}

TEST_CASE("the time of an event is its own or the store's, in microseconds") {
  VirtualClock clock{Time{100s + 1'500ns}};
  MemoryEventStore store{{.clock = &clock}};
  (void)add(store, "s-1", {"a", "t", "p"});
  clock.advance(1s);
  (void)add(store, "s-1", {"b", "t", "p"});
  (void)add(store, "s-1", {"c", "t", "p", {}, {}, Time{5s + 999ns}});
  EventPage page;
  REQUIRE(store.read_stream("s-1", {}, page));
  REQUIRE(page.size() == 3);
  CHECK(page[0].time == Time{100s + 1us});
  CHECK(page[1].time == Time{101s + 1us});
  CHECK(page[2].time == Time{5s});
}

TEST_CASE("a full store takes no event, answers resends, and goes on when streams were truncated") {
  MemoryEventStore store{{.max_bytes = 3000}};
  const std::string payload(1000, 'x');
  CHECK(add(store, "s-1", {"a", "t", payload}));
  CHECK(add(store, "s-1", {"b", "t", payload}));
  const Result<Appended> full = add(store, "s-1", {"c", "t", payload});
  REQUIRE_FALSE(full);
  CHECK(full.error().code == Errc::unavailable);
  CHECK(full.error().retryable);
  CHECK(store.bytes() <= 3000);
  CHECK(add(store, "s-1", {"a", "t", payload})->state == Appended::State::already_appended);
  CHECK(store.truncate("s-1", 2));
  CHECK(add(store, "s-1", {"c", "t", payload})->events[0].version == 3);
  CHECK(store.tombstone("s-1", any));
  CHECK(store.bytes() == 0);
}

TEST_CASE("a read of few among many comes in parts, so that others have their turn") {
  MemoryEventStore store;
  constexpr std::size_t batch = 10'000, batches = 10;
  for (std::size_t i = 0; i < batches; ++i) {
    std::vector<std::string> ids;
    for (std::size_t j = 0; j < batch; ++j) ids.push_back(std::to_string(i * batch + j));
    std::vector<NewEvent> events;
    for (const std::string& id : ids) events.push_back({id, "often", ""});
    REQUIRE(append(store, "s-1", any, events));
  }
  (void)add(store, "s-1", {"x", "seldom", ""});
  const EventQuery query{{{.types = {"seldom"}}}};
  for (const Direction direction : {Direction::forwards, Direction::backwards}) {
    EventPage page;
    ReadRange range{.direction = direction};
    std::size_t found = 0;
    int reads = 0;
    for (bool end = false; !end && reads < 100; ++reads) {
      const StoreRead read = store.read_all(query, range, page).value();
      found += page.size();
      range.from = read.next;
      end = read.end;
    }
    CHECK(found == 1);
    CHECK(reads == 2);
  }
}

TEST_CASE("a read by tags looks at nothing but events that have them") {
  MemoryEventStore store;
  const std::string_view tags[] = {"x", "x"};
  (void)add(store, "s-1", {"a", "t", "", tags});
  for (int i = 0; i < 100'000; ++i) (void)add(store, "s-1", {std::to_string(i), "t", ""});
  EventPage page;
  const StoreRead read = store.read_all({{{.tags = {"x"}}}}, {}, page).value();
  CHECK(page.size() == 1);
  CHECK(read.end);  // one read would not have looked at all of them
}

TEST_CASE("what is too large or malformed is refused by name") {
  MemoryEventStore store{{.limits = {.event = {.payload = 10, .key = 8}}}};
  CHECK(add(store, "s-1", {"a", "t", "12345678901"}).error().code == Errc::too_large);
  CHECK(add(store, "s-1", {"123456789", "t", ""}).error().code == Errc::too_large);
  CHECK(store.tombstone("", any).error().code == Errc::invalid_argument);
  CHECK(store.tombstone("123456789", any).error().code == Errc::too_large);
  CHECK(throws_saying<std::invalid_argument>([] { MemoryEventStore none{{.max_bytes = 0}}; }, "max_bytes"));
}
