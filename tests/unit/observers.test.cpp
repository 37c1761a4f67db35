// SPDX-License-Identifier: MIT
#include <omnibus/observers.hpp>

#include <atomic>
#include <string>
#include <vector>

#include <omnibus/omnibus.hpp>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;

namespace {

/// Has every hook; notes its name and that of the hook.
struct Everything {
  std::string name;
  std::vector<std::string>& notes;

  void note(const char* hook) { notes.push_back(name + " " + hook); }
  void published(std::string_view, const MessageView&, const Result<Receipt>&) { note("published"); }
  void delivered(const Delivery&) { note("delivered"); }
  void handled(const Delivery&) { note("handled"); }
  void retrying(const Delivery&, const Error& error) { note(error.context.c_str()); }
  void dead_lettered(const Delivery&, const Error& error) { note(error.context.c_str()); }
  void dropped(const Delivery&) { note("dropped"); }
  void duplicate(const Delivery&) { note("duplicate"); }
  void given_back(const Delivery&) { note("given_back"); }
  void out_of_sequence(const Delivery&, const Error& error) { note(error.context.c_str()); }
  void consumer(std::string_view, std::string_view, const Error*) { note("consumer"); }
  void log(LogLevel, std::string_view line) { note(std::string{line}.c_str()); }
};
struct OfHandled {
  int count = 0;
  void handled(const Delivery&) { ++count; }
};
struct OfRetries {
  int count = 0;
  void retrying(const Delivery&, const Error&) { ++count; }
};
struct OfPublishes {
  std::atomic<int> count{0};
  void published(std::string_view, const MessageView&, const Result<Receipt>&) { ++count; }
};
struct OfNothing {};

/// Calls every hook that an observer has.
template <class O>
void tell_all(O& observer) {
  FakeContext context;
  const Received received{context, message_of("1", "key")};
  const Error error = permanent("an error");
  for (const auto event :
       {DeliveryEvent::delivered, DeliveryEvent::handled, DeliveryEvent::retrying,
        DeliveryEvent::dead_lettered, DeliveryEvent::dropped, DeliveryEvent::duplicate,
        DeliveryEvent::given_back, DeliveryEvent::out_of_sequence}) {
    detail::tell(observer, event, received.delivery, &error);
  }
}

template <class O>
constexpr bool has_no_hook =
    !detail::observes_publishes<O> && !detail::observes_deliveries<O> && !detail::hears_delivered<O> &&
    !detail::hears_handled<O> && !detail::hears_retrying<O> && !detail::hears_dead_lettered<O> &&
    !detail::hears_dropped<O> && !detail::hears_duplicate<O> && !detail::hears_given_back<O> &&
    !detail::hears_out_of_sequence<O> && !detail::hears_consumer<O> && !detail::hears_log<O>;

}  // namespace

TEST_CASE("several observers have a hook when one of them has it") {
  STATIC_REQUIRE(has_no_hook<Observers<>>);
  STATIC_REQUIRE(has_no_hook<Observers<OfNothing, OfNothing>>);
  STATIC_REQUIRE_FALSE(has_no_hook<Everything>);

  using Retries = Observers<OfNothing, OfRetries>;
  STATIC_REQUIRE(detail::hears_retrying<Retries>);
  STATIC_REQUIRE_FALSE(detail::observes_deliveries<Retries>);
  STATIC_REQUIRE_FALSE(detail::observes_publishes<Retries>);

  STATIC_REQUIRE(detail::observes_deliveries<Observers<OfNothing, OfHandled>>);
  STATIC_REQUIRE_FALSE(detail::hears_delivered<Observers<OfNothing, OfHandled>>);
  STATIC_REQUIRE(detail::observes_publishes<Observers<OfPublishes, OfHandled>>);

  using All = Observers<OfNothing, Everything>;
  STATIC_REQUIRE(detail::observes_publishes<All>);
  STATIC_REQUIRE(detail::observes_deliveries<All>);
  STATIC_REQUIRE(detail::hears_consumer<All>);
  STATIC_REQUIRE(detail::hears_log<All>);
}

TEST_CASE("each of several observers is told, in their order") {
  std::vector<std::string> notes;
  Everything first{"first", notes}, second{"second", notes};
  OfHandled handled;
  Observers all{first, handled, second};
  tell_all(all);
  CHECK(handled.count == 1);
  CHECK(notes == std::vector<std::string>{
                     "first delivered", "second delivered", "first handled", "second handled",
                     "first an error", "second an error", "first an error", "second an error",
                     "first dropped", "second dropped", "first duplicate", "second duplicate",
                     "first given_back", "second given_back", "first an error", "second an error"});
  notes.clear();
  all.published("orders", MessageView{}, Receipt{});
  all.consumer("orders", "g", nullptr);
  all.log(LogLevel::info, "a line");
  CHECK(notes == std::vector<std::string>{"first published", "second published", "first consumer",
                                          "second consumer", "first a line", "second a line"});
}

TEST_CASE("observers of observers are observers") {
  OfHandled one, other;
  OfRetries retries;
  Observers inner{one, retries};
  Observers outer{inner, other};
  tell_all(outer);
  CHECK(one.count == 1);
  CHECK(other.count == 1);
  CHECK(retries.count == 1);
}

TEST_CASE("a bus tells several observers") {
  OfPublishes publishes;
  OfHandled handled;
  Observers both{publishes, handled};
  {
    EventBus<Memory, decltype(both)> bus{{.group = "g"}, both};
    Watched<int> done;
    auto orders = bus.subscribe("orders", [&done](const Delivery&) {
      done.change([](int& n) { ++n; });
    });
    CHECK(bus.publish("orders", "x"));
    CHECK(done.wait([](int n) { return n == 1; }));
  }
  CHECK(publishes.count == 1);
  CHECK(handled.count == 1);
}
