// SPDX-License-Identifier: MIT
#include <omnibus/recorder.hpp>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include <omnibus/omnibus.hpp>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;
using Kind = Transition::Kind;

namespace {

std::vector<Kind> kinds(const Recorder& recorder, std::string_view id) {
  std::vector<Kind> all;
  for (const Transition& step : recorder.transitions(id)) all.push_back(step.kind);
  return all;
}

}  // namespace

TEST_CASE("every hook is remembered, with what it says") {
  Recorder recorder;
  FakeContext context;
  Received received{context, message_of("1", "key"), 2};
  Error error = permanent("declined");
  error.retry_after = 7ms;
  recorder.published("orders", received.view, Receipt{});
  recorder.published("orders", received.view, Error::make(Errc::rejected, "publish", "full"));
  recorder.delivered(received.delivery);
  recorder.handled(received.delivery);
  recorder.retrying(received.delivery, error);
  received.delivery.mark_dead_lettered("orders.dlq");
  recorder.dead_lettered(received.delivery, error);
  recorder.dropped(received.delivery);
  recorder.duplicate(received.delivery);
  recorder.given_back(received.delivery);
  recorder.out_of_sequence(received.delivery, error);
  CHECK(kinds(recorder, "1") ==
        std::vector{Kind::published, Kind::not_published, Kind::delivered, Kind::handled, Kind::retrying,
                    Kind::dead_lettered, Kind::dropped, Kind::duplicate, Kind::given_back,
                    Kind::out_of_sequence});
  const auto steps = recorder.transitions("1");
  CHECK(steps[1].code == Errc::rejected);
  CHECK(steps[1].why == "full");
  CHECK(steps[1].topic == "orders");
  CHECK(steps[2].attempt == 3);
  CHECK(steps[4].topic == "orders");
  CHECK(steps[4].group == "billing");
  CHECK(steps[4].why == "declined");
  CHECK(steps[4].again_after == 7ms);
  CHECK(steps[5].dead_letter_topic == "orders.dlq");
  CHECK(recorder.transitions("2").empty());
  CHECK(recorder.mermaid("2").empty());
}

TEST_CASE("the oldest transitions give way") {
  Recorder recorder{{.most = 3}};
  FakeContext context;
  const Received one{context, message_of("1", "key")}, two{context, message_of("2", "key")};
  recorder.delivered(one.delivery);
  recorder.handled(one.delivery);
  recorder.delivered(two.delivery);
  CHECK(kinds(recorder, "1") == std::vector{Kind::delivered, Kind::handled});
  recorder.given_back(two.delivery);
  CHECK(kinds(recorder, "1") == std::vector{Kind::handled});
  recorder.dropped(two.delivery);
  CHECK(kinds(recorder, "1").empty());
  CHECK(kinds(recorder, "2") == std::vector{Kind::delivered, Kind::given_back, Kind::dropped});
  CHECK(throws_saying<std::invalid_argument>([] { Recorder none{{.most = 0}}; }, "most"));
}

TEST_CASE("long texts are cut between two characters") {
  Recorder recorder;
  FakeContext context;
  const Received received{context, message_of(std::string(5000, 'i'), "key"), 0, std::string(300, 't')};
  recorder.retrying(received.delivery, permanent(std::string(199, 'x') + "\xc3\xbc" + "more"));
  recorder.retrying(received.delivery, permanent(std::string(198, 'x') + "\xc3\xbc" + "more"));
  recorder.retrying(received.delivery, permanent(std::string(1000, '\x80')));
  const auto steps = recorder.transitions(received.message.id);
  REQUIRE(steps.size() == 3);
  CHECK(steps[0].topic.size() == 255);
  CHECK(steps[0].why == std::string(199, 'x'));
  CHECK(steps[1].why == std::string(198, 'x') + "\xc3\xbc");
  CHECK(steps[2].why.empty());
}

TEST_CASE("the story of a message on a bus can be drawn") {
  Recorder recorder;
  {
    EventBus<Memory, Recorder> bus{{.group = "billing"}, recorder};
    const auto charge = [](const std::string&, const Delivery& delivery) -> Result<> {
      if (delivery.attempt() == 1) return later(0s, "busy; try #2");
      return permanent("declined");
    };
    auto charging = bus.subscribe("orders", charge | retry({.attempts = 3}) | dead_letter("orders.dlq"));
    CHECK(bus.publish("orders", "o-1", {.id = "payment-1"}));
    CHECK(eventually([&] { return charging.stats().dead_lettered == 1; }));
  }
  CHECK(recorder.mermaid("payment-1") ==
        "sequenceDiagram\n"
        "    participant p1 as producer\n"
        "    participant p2 as topic orders\n"
        "    participant p3 as group billing\n"
        "    participant p4 as topic orders.dlq\n"
        "    p1->>p2: publish\n"
        "    p2->>p3: attempt 1\n"
        "    p3--xp2: attempt 1 (handler_failed), again in 0 us, busy#59; try #35;2\n"
        "    p2->>p3: attempt 2\n"
        "    p3->>p4: dead letter (handler_failed), declined\n");
}

TEST_CASE("threads may record while others look") {
  constexpr int threads = 4, rounds = 2000;
  Recorder recorder{{.most = 500}};
  std::vector<std::thread> all;
  for (int t = 0; t < threads; ++t) {
    all.emplace_back([&recorder, t] {
      FakeContext context;
      const Received received{context, message_of(std::to_string(t), "key")};
      for (int i = 0; i < rounds; ++i) recorder.handled(received.delivery);
    });
  }
  for (int i = 0; i < 100; ++i) CHECK(recorder.transitions("0").size() <= 500);
  for (auto& thread : all) thread.join();
  std::size_t kept = 0;
  for (int t = 0; t < threads; ++t) kept += recorder.transitions(std::to_string(t)).size();
  CHECK(kept == 500);
}
