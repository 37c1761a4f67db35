// SPDX-License-Identifier: MIT
#include <omnibus/event_store/handlers.hpp>

#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>

#include <omnibus/event_store/memory.hpp>
#include <omnibus/event_store/projection.hpp>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;

namespace {

struct Sold {
  std::string what;
};
struct Returned {
  std::string what;
};
template <class E>
struct WhatCodec {
  static void encode(const E& event, std::string& out) { out += event.what; }
  static Result<E> decode(std::string_view bytes) {
    if (bytes == "broken") return permanent("broken indeed");
    return E{std::string{bytes}};
  }
};

}  // namespace

template <>
struct omnibus::Codec<Sold> : WhatCodec<Sold> {
  static constexpr std::string_view type = "sold";
};
template <>
struct omnibus::Codec<Returned> : WhatCodec<Returned> {
  static constexpr std::string_view type = "returned";
};

namespace {

StoredEvent stored_event(std::string_view type, std::string_view payload) {
  return {.stream = "s-1", .position = 3, .id = "e", .type = type, .payload = payload};
}

}  // namespace

TEST_CASE("events go to the handler of their type, decoded, and with what they were stored as") {
  std::string seen;
  auto handlers = event_handlers(
      {}, [&](const Sold& event) { seen += "sold " + event.what; },
      [&](const Returned& event, const StoredEvent& stored) -> Result<> {
        if (event.what == "too late") return permanent("no");
        seen += "returned " + event.what + " at " + std::to_string(stored.position);
        return {};
      });
  CHECK(handlers(stored_event("sold", "tea ")));
  CHECK(handlers(stored_event("returned", "tea")));
  CHECK(seen == "sold tea returned tea at 3");
  CHECK(handlers(stored_event("returned", "too late")).error().context == "no");
  CHECK(handlers(stored_event("sold", "broken")).error().code == Errc::decode_failed);
  CHECK(handlers(stored_event("lost", "")).error().code == Errc::unknown_type);
}

TEST_CASE("what no handler takes fails, is skipped, or is given to one that takes it raw") {
  std::string seen;
  const auto sold = [&](const Sold&) { seen += "sold "; };
  auto skipping = event_handlers({.unknown = UnknownType::skip}, sold);
  CHECK(skipping(stored_event("lost", "")));
  auto raw = event_handlers({}, [&](const StoredEvent& event) { seen += std::string{event.type} + "! "; }, sold);
  CHECK(raw(stored_event("lost", "")));
  CHECK(raw(stored_event("sold", "")));
  CHECK(seen == "lost! sold ");
}

TEST_CASE("old events are upcast before they reach a handler") {
  std::string seen;
  const Upcasts upcasts{[](const Returned& old) { return std::tuple{Sold{old.what}, Sold{"another"}}; }};
  auto handlers = event_handlers({.upcasts = upcasts}, [&](const Sold& event) { seen += event.what + " "; });
  CHECK(handlers(stored_event("returned", "tea")));
  CHECK(seen == "tea another ");
}

TEST_CASE("handlers with a transaction make a callable that takes one") {
  using Transaction = int*;
  int written = 0;
  auto handlers = event_handlers(
      {}, [](const Sold&, const StoredEvent&, Transaction to) { ++*to; }, [](const Returned&) {});
  STATIC_REQUIRE(std::is_invocable_r_v<Result<>, decltype(handlers)&, const StoredEvent&, Transaction>);
  STATIC_REQUIRE_FALSE(std::is_invocable_v<decltype(handlers)&, const StoredEvent&>);
  CHECK(handlers(stored_event("sold", ""), &written));
  CHECK(handlers(stored_event("returned", ""), &written));
  CHECK(written == 1);
  auto raw = event_handlers({}, [](const StoredEvent&, Transaction to) { ++*to; });
  CHECK(raw(stored_event("lost", ""), &written));
  CHECK(written == 2);
  auto plain = event_handlers({}, [](const Sold&) {});
  STATIC_REQUIRE_FALSE(std::is_invocable_v<decltype(plain)&, const StoredEvent&, Transaction>);
}

TEST_CASE("a projection is made of handlers") {
  MemoryEventStore store;
  const NewEvent events[] = {{"a", "sold", "tea"}, {"b", "lost", ""}};
  REQUIRE(append(store, "s-1", ExpectedVersion::any(), events));
  std::string seen;
  Projection projection{store, {.name = "view"}, event_handlers({}, [&](const Sold& sold) { seen += sold.what; })};
  const Result<> stopped = projection.catch_up();
  REQUIRE_FALSE(stopped);
  CHECK(stopped.error().code == Errc::unknown_type);
  CHECK(stopped.error().message().find("at event b") != std::string::npos);
  CHECK(seen == "tea");
}
