// SPDX-License-Identifier: MIT
#include <omnibus/backends/memory.hpp>
#include <omnibus/event_bus.hpp>
#include <omnibus/middleware/dead_letter.hpp>
#include <omnibus/middleware/retry.hpp>
#include <omnibus/middleware/transactional.hpp>

#include <stdexcept>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;

namespace {

std::vector<std::string> payloads(const Delivery& delivery) {
  std::vector<std::string> all;
  if (delivery.outputs() == nullptr) return all;
  for (const auto& each : *delivery.outputs()) all.push_back(each.topic + ":" + each.message.payload);
  return all;
}

/// Memory, and what its consumers are told of outputs. It publishes none of them.
struct Told : Memory {
  struct Consumer {
    void poll(Intake& intake, Instant until) { consumer.poll(intake, until); }
    void wake() { consumer.wake(); }
    Result<> close(Instant until) { return consumer.close(until); }
    void settle(std::span<const Settlement> settlements) {
      for (const Settlement& each : settlements) {
        told.change([&](auto& all) {
          if (each.outputs == nullptr) return all.emplace_back("nothing"), void();
          for (const auto& output : *each.outputs) {
            all.push_back(output.message.id.empty() || output.message.time == Time{} ? "not stamped"
                                                                                    : output.message.payload);
          }
        });
      }
      consumer.settle(settlements);
    }
    Memory::Consumer consumer;
    Watched<std::vector<std::string>>& told;
  };
  using Memory::Memory;
  static constexpr Capabilities capabilities = [] {
    Capabilities can = Memory::capabilities;
    can.transactions = true;
    return can;
  }();
  Result<> check(std::string_view topic, const MessageView&) const {
    if (topic == "impossible") return Error::make(Errc::invalid_argument, "publish", "no such topics");
    return {};
  }
  Consumer consume(const SubscriptionSpec& spec) {
    transactional = spec.transactional;
    return {Memory::consume(spec), told};
  }
  bool transactional = false;
  Watched<std::vector<std::string>> told;
};

}  // namespace

TEST_CASE("what a handler publishes with its delivery is left for the settlement") {
  FakeContext context;
  Received message{context, message_of("1", "k")};
  auto pipeline = detail::compose([](const Delivery& delivery) -> Result<> {
    if (Result<> done = publish_with(delivery, "a", "one"s, {.key = "x"}); !done) return done;
    return publish_with(delivery, "b", "two"s);
  } | transactional());
  CHECK(pipeline(message.delivery));
  CHECK(payloads(message.delivery) == std::vector{"a:one"s, "b:two"s});
  CHECK((*message.delivery.outputs())[0].message.key == "x");
  CHECK(context.sent.empty());
}

TEST_CASE("a handler that publishes nothing leaves nothing") {
  FakeContext context;
  Received message{context, message_of("1", "k")};
  auto pipeline = detail::compose([](const Delivery&) {} | transactional());
  CHECK(pipeline(message.delivery));
  CHECK(message.delivery.outputs() == nullptr);
}

TEST_CASE("an attempt that fails leaves nothing, and the next one begins with nothing") {
  FakeContext context;
  Received message{context, message_of("1", "k")};
  int attempt = 0;
  auto pipeline = detail::compose([&](const Delivery& delivery) -> Result<> {
    ++attempt;
    if (Result<> done = publish_with(delivery, "a", std::to_string(attempt)); !done) return done;
    if (attempt == 1) return retryable("not yet");
    if (attempt == 2) throw std::runtime_error{"nor now"};
    return {};
  } | transactional() | retry({.attempts = 3}));
  CHECK_FALSE(pipeline(message.delivery));
  CHECK(message.delivery.outputs() == nullptr);
  message.delivery.begin_again();
  CHECK(run_to_end(pipeline, message.delivery, context));
  CHECK(attempt == 3);
  CHECK(payloads(message.delivery) == std::vector{"a:3"s});
}

TEST_CASE("a dead-lettered message publishes nothing") {
  FakeContext context;
  Received message{context, message_of("1", "k")};
  auto pipeline = detail::compose([&](const Delivery& delivery) -> Result<> {
    if (Result<> done = publish_with(delivery, "a", "x"s); !done) return done;
    return permanent("no");
  } | transactional() | dead_letter("dead"));
  CHECK(pipeline(message.delivery));
  CHECK(message.delivery.outputs() == nullptr);
  REQUIRE(context.sent.size() == 1);
  CHECK(context.sent[0].topic == "dead");
}

TEST_CASE("without transactional the error says what to write") {
  FakeContext context;
  Received message{context, message_of("1", "k")};
  const Result<> result = publish_with(message.delivery, "a", "x"s);
  REQUIRE_FALSE(result);
  CHECK(result.error().code == Errc::unsupported);
  CHECK(result.error().context.find("handler | omnibus::transactional()") != std::string::npos);
}

TEST_CASE("a topic without a name is the handler's to hear of") {
  FakeContext context;
  Received message{context, message_of("1", "k")};
  auto pipeline = detail::compose([](const Delivery& delivery) { return publish_with(delivery, "no name", "x"s); } |
                                  transactional());
  CHECK(pipeline(message.delivery).error().code == Errc::invalid_argument);
}

TEST_CASE("the settlement of a handled message has its outputs, ready to be sent; of others, none") {
  EventBus<Told> bus{{.group = "g"}};
  const auto handler = [](const Delivery& delivery) -> Result<> {
    if (delivery.payload() == "quiet") return {};
    if (Result<> done = publish_with(delivery, "out", std::string{delivery.payload()} + "!"); !done) return done;
    if (delivery.payload() == "bad") return permanent("no");
    return {};
  };
  const auto all = bus.subscribe("in", handler | transactional());
  CHECK(bus.backend().transactional);
  for (const auto* payload : {"fine", "bad", "quiet", "well"}) CHECK(bus.publish("in", payload));
  CHECK(bus.backend().told.wait([](const auto& told) { return told.size() == 4; }));
  CHECK(bus.backend().told.get() == std::vector{"fine!"s, "nothing"s, "nothing"s, "well!"s});
  CHECK(all.stats().dead_lettered == 1);
  const auto plain = bus.subscribe("others", [](const Delivery&) {});
  CHECK_FALSE(bus.backend().transactional);
}

TEST_CASE("an output that the bus or the backend never takes fails the handler") {
  BusOptions options;
  options.limits.payload = 10;
  EventBus<Told> bus{{.group = "g"}, options};
  const auto handler = [](const Delivery& delivery) -> Result<> {
    if (delivery.payload() == "topic") return publish_with(delivery, "impossible", "x"s);
    return publish_with(delivery, "out", std::string(11, 'x'));
  };
  const auto all = bus.subscribe("in", handler | transactional());
  for (const auto* payload : {"topic", "size"}) CHECK(bus.publish("in", payload));
  CHECK(bus.backend().told.wait([](const auto& told) { return told.size() == 2; }));
  CHECK(bus.backend().told.get() == std::vector{"nothing"s, "nothing"s});
  CHECK(eventually([&] { return all.stats().dead_lettered == 2; }));
}

TEST_CASE("transactional needs a group, and an order without copies") {
  EventBus<Told> bus{{}};
  const auto handler = [](const Delivery&) {};
  CHECK(throws_saying<std::invalid_argument>(
      [&] { (void)bus.subscribe("in", handler | transactional()); }, "needs a group"));
  CHECK(throws_saying<std::invalid_argument>(
      [&] {
        (void)bus.subscribe("in", handler | transactional(), {.group = "g", .order = relaxed});
      },
      "relaxed"));
}
