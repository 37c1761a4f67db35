// SPDX-License-Identifier: MIT
#include <omnibus/event_store/served_view.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <omnibus/event_store/memory.hpp>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;

namespace {

void add(MemoryEventStore& store, std::string_view id) {
  const NewEvent event{id, "t", "p"};
  REQUIRE(append(store, "s-1", ExpectedVersion::any(), {&event, 1}));
}

/// The name it was made for, and the ids that it was given.
struct Ids {
  std::string made_as;
  std::vector<std::string> ids{};
  std::string fails_at{};
  Result<> operator()(const StoredEvent& event) {
    if (event.id == fails_at) return permanent("no such product");
    ids.emplace_back(event.id);
    return {};
  }
};
constexpr auto make_ids = [](const std::string& name) { return Ids{name}; };
std::size_t count(const Ids& view) { return view.ids.size(); }
std::string made_as(const Ids& view) { return view.made_as; }

}  // namespace

TEST_CASE("a served view is read while it is kept up") {
  MemoryEventStore store;
  ServedView view{store, {.name = "v1"}, make_ids};
  CHECK(view.read(count) == 0);
  add(store, "a");
  CHECK(view.catch_up());
  CHECK(view.read(count) == 1);
  add(store, "b");
  CHECK(view.follow(std::chrono::steady_clock::now()));
  CHECK(view.read([](const Ids& ids) { return ids.ids; }) == std::vector<std::string>{"a", "b"});
  CHECK(view.progress().position == 2);
}

TEST_CASE("a rebuilt view is served when it knows all that the old one did") {
  MemoryEventStore store;
  for (const char* id : {"a", "b", "c"}) add(store, id);
  ServedView view{store, {.name = "v1", .page = 2}, make_ids};
  CHECK(view.catch_up());
  CHECK(view.rebuild("v2"));
  CHECK(view.name() == "v2");
  CHECK(view.read(made_as) == "v2");
  CHECK(view.read(count) == 3);
  add(store, "d");
  CHECK(view.catch_up());
  CHECK(view.read(count) == 4);
  CHECK(store.load_checkpoint("v1").value().position == 3);
  CHECK(store.load_checkpoint("v2").value().position == 4);
  CHECK(view.rebuild("v2").error().code == Errc::invalid_argument);
  CHECK(view.rebuild("").error().code == Errc::invalid_argument);
}

TEST_CASE("while the second view is built, the first one is served and goes on") {
  MemoryEventStore store;
  for (const char* id : {"a", "b", "c"}) add(store, id);
  Gate at_b;
  Watched<bool> arrived;
  const auto make = [&](const std::string& name) {
    return [&, name, seen = 0](const StoredEvent& event) mutable -> Result<> {
      if (name == "v2" && event.id == "b") {
        arrived.change([](bool& is) { is = true; });
        if (!at_b.pass()) return permanent("nobody opened");
      }
      ++seen;
      return {};
    };
  };
  ServedView view{store, {.name = "v1"}, make};
  CHECK(view.catch_up());
  Result<> rebuilt;
  std::thread other{[&] { rebuilt = view.rebuild("v2"); }};
  CHECK(arrived.wait([](bool is) { return is; }));
  CHECK(view.name() == "v1");
  add(store, "d");
  CHECK(view.catch_up());
  CHECK(view.progress().position == 4);
  view.read([](const auto&) {});
  at_b.open();
  other.join();
  CHECK(rebuilt);
  CHECK(view.name() == "v2");
  CHECK(view.progress().position == 4);  // with the one that came while it was built
}

TEST_CASE("a rebuild that fails leaves the old view served, and goes on when it is called again") {
  MemoryEventStore store;
  for (const char* id : {"a", "b", "c"}) add(store, id);
  std::string fails_at = "c";
  std::atomic<int> handled{0};
  const auto make = [&](const std::string& name) {
    return [&, name](const StoredEvent& event) -> Result<> {
      if (name == "v2" && event.id == fails_at) return permanent("no such product");
      ++handled;
      return {};
    };
  };
  ServedView view{store, {.name = "v1"}, make};
  CHECK(view.catch_up());
  CHECK(view.rebuild("v2").error().context.find("no such product") == 0);
  CHECK(view.name() == "v1");
  fails_at = "";
  handled = 0;
  CHECK(view.rebuild("v2"));
  CHECK(handled == 1);  // from its checkpoint on
  CHECK(view.name() == "v2");
}

TEST_CASE("who reads while views are switched sees one that knows no less, each time") {
  MemoryEventStore store;
  for (int i = 0; i < 200; ++i) add(store, "a" + std::to_string(i));
  ServedView view{store, {.name = "v0", .page = 8, .in_memory = true}, make_ids};
  CHECK(view.catch_up());
  std::atomic<bool> done{false};
  std::atomic<int> wrong{0}, failed{0};
  std::thread reader{[&] {
    for (std::size_t last = 0; !done;) {
      const std::size_t now = view.read(count);
      wrong += now < last ? 1 : 0;
      last = now;
    }
  }};
  std::thread follower{[&] {
    while (!done) failed += view.follow(std::chrono::steady_clock::now() + 1ms) ? 0 : 1;
  }};
  for (int i = 1; i <= 20; ++i) {
    add(store, "b" + std::to_string(i));
    failed += view.rebuild("v" + std::to_string(i)) ? 0 : 1;
  }
  done = true;
  reader.join();
  follower.join();
  CHECK(wrong == 0);
  CHECK(failed == 0);
  CHECK(view.read(count) == 220);
  CHECK(view.read([](const Ids& ids) { return std::ranges::count(ids.ids, "b20"); }) == 1);
}
