// SPDX-License-Identifier: MIT
#include <omnibus/event_store/projection.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <omnibus/event_store/memory.hpp>
#include <omnibus/memory_parked_store.hpp>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;

namespace {

void add(MemoryEventStore& store, std::string_view stream, std::string_view id, std::string_view type = "t") {
  const NewEvent event{id, type, "p"};
  REQUIRE(append(store, stream, ExpectedVersion::any(), {&event, 1}));
}

/// The ids that it was given, and what it is to do.
struct View {
  std::string ids;
  std::string fails_at;
  bool throws = false;
  Result<> operator()(const StoredEvent& event) {
    if (event.id == fails_at) {
      if (throws) throw std::runtime_error{"thrown"};
      return permanent("no such product");
    }
    ids += event.id;
    return {};
  }
};
auto into(View& view) {
  return [&view](const StoredEvent& event) { return view(event); };
}

/// A memory store that can come to be another one.
struct Exchanged {
  static constexpr EventStoreCapabilities capabilities = MemoryEventStore::capabilities;
  using Parts = std::span<const StreamAppend>;
  Result<Appended> append(Parts batch) { return store->append(batch); }
  Result<StreamRead> read_stream(std::string_view name, const ReadRange& range, EventPage& page) {
    return store->read_stream(name, range, page);
  }
  Result<StoreRead> read_category(std::string_view name, const EventQuery& query, const ReadRange& range,
                                  EventPage& page) {
    return store->read_category(name, query, range, page);
  }
  Result<StoreRead> read_all(const EventQuery& query, const ReadRange& range, EventPage& page) {
    return store->read_all(query, range, page);
  }
  Result<std::optional<Placed>> locate(std::string_view id) { return store->locate(id); }
  Result<> truncate(std::string_view stream, std::uint64_t before) { return store->truncate(stream, before); }
  Result<> soft_delete(std::string_view stream, ExpectedVersion expected) { return store->soft_delete(stream, expected); }
  Result<> tombstone(std::string_view stream, ExpectedVersion expected) { return store->tombstone(stream, expected); }
  bool wait_beyond(std::uint64_t position, Instant until) { return store->wait_beyond(position, until); }
  Result<Checkpoint> load_checkpoint(std::string_view) { return checkpoint; }
  Result<> save_checkpoint(std::string_view, const Checkpoint&, const Checkpoint& next) {
    checkpoint = next;
    return {};
  }
  MemoryEventStore* store;
  Checkpoint checkpoint{};
};

}  // namespace

TEST_CASE("a projection handles what is there and what comes, each event once and in order") {
  MemoryEventStore store;
  View view;
  Projection projection{store, {.name = "view", .page = 2}, into(view)};
  CHECK(projection.catch_up());
  for (const char* id : {"a", "b", "c", "d", "e"}) add(store, id == std::string_view{"c"} ? "t-1" : "s-1", id);
  CHECK(projection.step().value());
  CHECK(view.ids == "ab");
  CHECK(projection.progress().position == 2);
  CHECK(projection.progress().head == 5);
  CHECK(projection.catch_up());
  add(store, "s-1", "f");
  CHECK(projection.catch_up());
  CHECK(view.ids == "abcdef");
  CHECK(projection.progress().handled == 6);

  View later, other, some;
  CHECK(Projection{store, {.name = "view"}, into(later)}.catch_up());
  CHECK(later.ids == "");  // it goes on where the other one is
  CHECK(Projection{store, {.name = "new"}, into(other)}.catch_up());
  CHECK(other.ids == "abcdef");
  CHECK(Projection{store, {.name = "some", .category = "t"}, into(some)}.catch_up());
  CHECK(some.ids == "c");
}

TEST_CASE("a projection follows until it is to end, without a seam between what was there and what comes") {
  MemoryEventStore store;
  std::atomic<std::size_t> handled{0};
  constexpr std::size_t events = 2000;
  std::thread writer{[&] {
    for (std::size_t i = 0; i < events; ++i) {
      const std::string id = std::to_string(i);
      const NewEvent event{id, "t", "p"};
      (void)append(store, "s-1", ExpectedVersion::any(), {&event, 1});
    }
  }};
  std::string wrong;
  Projection projection{store, {.name = "view", .page = 7}, [&](const StoredEvent& event) -> Result<> {
                          if (event.id != std::to_string(handled)) wrong = event.id;
                          ++handled;
                          return {};
                        }};
  const Instant end = std::chrono::steady_clock::now() + patience;
  while (handled < events && std::chrono::steady_clock::now() < end) {
    CHECK(projection.follow(std::chrono::steady_clock::now() + 5ms));
  }
  writer.join();
  CHECK(handled == events);
  CHECK(wrong == "");
}

TEST_CASE("an event that fails stops a projection in front of it, and what was before it is done once") {
  MemoryEventStore store;
  for (const char* id : {"a", "b", "c", "d"}) add(store, "s-1", id);
  for (const bool throws : {false, true}) {
    View view{"", "c", throws};
    Projection projection{store, {.name = throws ? "one" : "other"}, into(view)};
    for (int i = 0; i < 3; ++i) {
      const Result<> failed = projection.catch_up();
      REQUIRE_FALSE(failed);
      CHECK(failed.error().message().find("event c of stream s-1, version 3, position 3") != std::string::npos);
      CHECK(view.ids == "ab");
    }
    view.fails_at.clear();
    CHECK(projection.catch_up());
    CHECK(view.ids == "abcd");
  }
}

TEST_CASE("two projections of one name do not both go on") {
  MemoryEventStore store;
  for (const char* id : {"a", "b"}) add(store, "s-1", id);
  View first, second;
  Projection one{store, {.name = "view", .page = 1}, into(first)}, other{store, {.name = "view", .page = 1}, into(second)};
  CHECK(one.step());
  CHECK(other.step());  // goes on behind it
  CHECK(one.step().error().code == Errc::conflict);
  CHECK(second.ids == "b");
}

TEST_CASE("a projection notices a store that has lost its last events, also when it has others in their place") {
  MemoryEventStore whole, shorter, refilled;
  for (const char* id : {"a", "b", "c"}) add(whole, "s-1", id);
  for (MemoryEventStore* each : {&shorter, &refilled}) {
    add(*each, "s-1", "a");
    add(*each, "s-1", "b");
  }
  for (const char* id : {"x", "y", "z"}) add(refilled, "s-1", id);
  for (MemoryEventStore* lost : {&shorter, &refilled}) {
    Exchanged store{&whole};
    View view, again;
    CHECK(Projection{store, {.name = "view"}, into(view)}.catch_up());
    store.store = lost;
    const Result<> noticed = Projection{store, {.name = "view"}, into(again)}.catch_up();
    REQUIRE_FALSE(noticed);
    INFO(noticed.error().message());
    CHECK(noticed.error().code == Errc::position_lost);
    CHECK(again.ids == "");
  }
  Exchanged store{&whole};
  View view;
  Projection running{store, {.name = "view"}, into(view)};
  CHECK(running.catch_up());
  store.store = &shorter;
  CHECK(running.catch_up().error().code == Errc::position_lost);
}

TEST_CASE("an event that fails for good parks its own stream, and what waits is handled later, in order") {
  for (const bool in_memory : {false, true}) {
    MemoryEventStore store;
    MemoryParkedStore waiting;
    const ProjectionOptions options{.name = "view", .page = 3, .in_memory = in_memory, .parked_in = &waiting};
    add(store, "s-1", "a");
    add(store, "s-1", "b");
    add(store, "s-2", "c");
    add(store, "s-1", "d");
    View view{"", "b"};
    Projection projection{store, options, into(view)};
    CHECK(projection.catch_up());
    CHECK(view.ids == "ac");
    CHECK(projection.progress().position == 4);
    CHECK(projection.parked().value() == std::vector<std::string>{"s-1"});
    add(store, "s-1", "e");
    add(store, "s-1", "f");
    add(store, "s-2", "g");
    CHECK(projection.catch_up());
    CHECK(view.ids == "acg");

    view.fails_at = "e";
    const Result<> still = projection.retry_parked("s-1");
    REQUIRE_FALSE(still);
    CHECK(still.error().message().find("event e of stream s-1") != std::string::npos);
    CHECK(view.ids == "acgbd");
    CHECK(projection.parked().value().size() == 1);
    add(store, "s-1", "h");  // not read yet by the projection
    view.fails_at.clear();
    CHECK(projection.retry_parked("s-1"));
    CHECK(view.ids == "acgbdef");
    CHECK(projection.parked().value().empty());
    CHECK(projection.catch_up());
    CHECK(projection.retry_parked("s-1"));
    CHECK(view.ids == "acgbdefh");  // each once, those of a stream in their order
  }
}

TEST_CASE("a parked stream stays parked for the projection that goes on") {
  MemoryEventStore store;
  MemoryParkedStore waiting;
  const ProjectionOptions options{.name = "view", .parked_in = &waiting};
  for (const char* id : {"a", "b", "c"}) add(store, id == std::string_view{"c"} ? "s-2" : "s-1", id);
  View first{"", "b"}, second{"", "d"}, third;
  CHECK(Projection{store, options, into(first)}.catch_up());
  add(store, "s-1", "d");
  add(store, "s-1", "e");
  Projection later{store, options, into(second)};
  CHECK(later.catch_up());
  CHECK(second.ids == "");
  CHECK_FALSE(later.retry_parked("s-1"));
  CHECK(second.ids == "b");
  Projection last{store, options, into(third)};
  CHECK(last.retry_parked("s-1"));  // goes on behind what the one before it has done
  CHECK(third.ids == "de");
  CHECK(last.parked().value().empty());

  View again;  // built from the beginning, while nothing is parked under its name
  CHECK(Projection{store, {.name = "new", .parked_in = &waiting}, into(again)}.catch_up());
  CHECK(again.ids == "abcde");
}

TEST_CASE("a view in memory that is built anew while a stream is parked has what was before the event that failed") {
  MemoryEventStore store;
  MemoryParkedStore waiting;
  const ProjectionOptions options{.name = "view", .in_memory = true, .parked_in = &waiting};
  for (const char* id : {"a", "b", "c"}) add(store, "s-1", id);
  View first{"", "b"}, second;
  CHECK(Projection{store, options, into(first)}.catch_up());
  Projection anew{store, options, into(second)};
  CHECK(anew.catch_up());
  CHECK(second.ids == "a");
  CHECK(anew.retry_parked("s-1"));
  CHECK(second.ids == "abc");
}

TEST_CASE("what may pass does not park a stream, and of a stream only what the projection is of is retried") {
  MemoryEventStore store;
  MemoryParkedStore waiting;
  add(store, "s-1", "a");
  add(store, "s-1", "x", "other");
  View view{"", "a", true};  // throws, which may pass
  Projection projection{store,
                        {.name = "view", .query = {{{.types = {"t"}}}}, .parked_in = &waiting},
                        into(view)};
  CHECK_FALSE(projection.catch_up());
  CHECK(projection.parked().value().empty());
  view.throws = false;
  CHECK(projection.catch_up());
  CHECK(projection.parked().value().size() == 1);
  add(store, "s-1", "y", "other");
  add(store, "s-1", "b");
  CHECK(projection.catch_up());
  view.fails_at.clear();
  CHECK(projection.retry_parked("s-1"));
  CHECK(view.ids == "ab");
}

TEST_CASE("whatever fails, a projection that parks has each event once and those of a stream in order") {
  for (std::uint32_t seed = 1; seed <= 200; ++seed) {
    std::mt19937 dice{seed};
    MemoryEventStore store;
    MemoryParkedStore waiting;
    std::map<std::string, std::string> views, all;
    unsigned fails = 4;  // one in so many
    const auto apply = [&](const StoredEvent& event) -> Result<> {
      if (fails != 0 && dice() % fails == 0) return permanent("no");
      views[std::string{event.stream}] += std::string{event.id} + " ";
      return {};
    };
    std::optional<Projection<MemoryEventStore, decltype(apply)>> projection;
    const ProjectionOptions options{.name = "view", .page = 3, .parked_in = &waiting};
    const auto restart = [&] { projection.emplace(store, options, apply); };
    restart();
    for (int i = 0; i < 40; ++i) {
      const std::string stream = "s-" + std::to_string(dice() % 3), id = std::to_string(i);
      switch (dice() % 6) {
        case 0: CHECK(projection->catch_up()); break;
        case 1: (void)projection->retry_parked(stream); break;
        case 2: restart(); break;
        default: add(store, stream, id), all[stream] += id + " ";
      }
    }
    fails = 0;
    CHECK(projection->catch_up());
    const std::vector<std::string> left = projection->parked().value();
    for (const std::string& stream : left) CHECK(projection->retry_parked(stream));
    INFO("seed " << seed);
    CHECK(views == all);
  }
}

TEST_CASE("a view in memory is built from the beginning by each projection, and keeps no checkpoint") {
  MemoryEventStore store;
  for (const char* id : {"a", "b", "c"}) add(store, "s-1", id);
  for (int i = 0; i < 2; ++i) {
    View view{"", "c"};
    Projection projection{store, {.name = "view", .in_memory = true}, into(view)};
    CHECK_FALSE(projection.catch_up());
    view.fails_at.clear();
    CHECK(projection.catch_up());
    CHECK(view.ids == "abc");  // each once, also after a failure
  }
  CHECK(store.load_checkpoint("view").value().position == 0);
}

TEST_CASE("what is said of a replay is its rate, and how long the rest takes at that") {
  const ReplayProgress half = replay_progress(100, {.position = 300, .head = 500, .handled = 50}, 2s);
  CHECK(half.at.handled == 50);
  CHECK(half.per_second == 100);
  CHECK(half.remaining == Duration{2s});
  CHECK(replay_progress(0, {.position = 5, .head = 5}, 1s).remaining == Duration::zero());
  CHECK_FALSE(replay_progress(5, {.position = 5, .head = 9}, 1s).remaining);
  CHECK_FALSE(replay_progress(0, {.position = 5, .head = 9}, 0s).remaining);
  CHECK(replay_progress(0, {.position = 1, .head = UINT64_MAX}, 1h).remaining == Duration::max());
}

TEST_CASE("a projection tells of its progress now and then, and at the end when it has told of it before") {
  MemoryEventStore store;
  VirtualClock clock;
  for (int i = 0; i < 10; ++i) add(store, "s-1", std::to_string(i));
  std::vector<std::uint64_t> told;
  Duration each = 400ms;
  const ProjectionOptions options{.name = "view",
                                  .page = 2,
                                  .in_memory = true,
                                  .progress = [&](const ReplayProgress& progress) {
                                    told.push_back(progress.at.position);
                                    CHECK(progress.at.head == 10);
                                    CHECK(progress.per_second == Approx(2.5));
                                  },
                                  .progress_every = 1s,
                                  .clock = &clock};
  const auto slow = [&](const StoredEvent&) -> Result<> { return clock.advance(each), Result<>{}; };
  CHECK(Projection{store, options, slow}.catch_up());
  CHECK(told == std::vector<std::uint64_t>{4, 8, 10});  // 800 ms for each page
  told.clear();
  each = 0ms;
  CHECK(Projection{store, options, slow}.catch_up());
  CHECK(told.empty());
}

TEST_CASE("options of a projection that can never work are refused by name") {
  MemoryEventStore store;
  View view;
  CHECK(throws_saying<std::invalid_argument>([&] { Projection none{store, {}, into(view)}; }, "name"));
  CHECK(throws_saying<std::invalid_argument>([&] { Projection none{store, {.name = "a", .page = 0}, into(view)}; },
                                             "page"));
  CHECK(throws_saying<std::invalid_argument>(
      [&] { Projection none{store, {.name = "a", .progress_every = -1s}, into(view)}; }, "progress_every"));
}
