// SPDX-License-Identifier: MIT
#include <omnibus/omnibus.hpp>

#include <thread>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;

namespace {

/// A subscription whose consumer does what the test says.
struct FakeRunning final : detail::RunningSubscription {
  ConsumerState consumer;
  void stop(Duration) noexcept override { consumer.end({}); }
  const ConsumerState& state() const noexcept override { return consumer; }
  bool on_own_thread() const noexcept override { return false; }
  SubscriptionHealth health() const override { return {}; }
};

const Error denied = Error::make(Errc::access_denied, "consume orders");

}  // namespace

TEST_CASE("a wait for a registration returns when there is one, or why there is none") {
  const auto running = std::make_shared<FakeRunning>();
  const Subscription orders{running};
  CHECK(orders.wait_registered(1ms).error().code == Errc::unavailable);
  running->consumer.report(&denied);
  CHECK(orders.wait_registered(1ms).error().code == Errc::access_denied);
  CHECK(orders.wait_registered(-1ms).error().operation == "consume orders");
  running->consumer.report(nullptr);
  CHECK(orders.wait_registered(0ms));
}

TEST_CASE("a wait for a registration may be for ever, and ends with it") {
  const auto running = std::make_shared<FakeRunning>();
  const Subscription orders{running};
  std::thread consumer{[&] { running->consumer.report(nullptr); }};
  CHECK(orders.wait_registered(Duration::max()));
  consumer.join();
}

TEST_CASE("nobody waits for a subscription that has stopped, or has moved away") {
  Subscription orders{std::make_shared<FakeRunning>()};
  CHECK(orders.stop());
  CHECK(orders.wait_registered(patience).error().code == Errc::closed);
  const Subscription other = std::move(orders);
  CHECK(orders.wait_registered(patience).error().code == Errc::closed);
}

TEST_CASE("a bus's subscription is registered, until the bus is closed") {
  EventBus<Memory> bus{{.group = "g"}};
  const Subscription orders = bus.subscribe("orders", [](const Delivery&) {});
  CHECK(orders.wait_registered());
  CHECK(bus.close(patience));
  CHECK(orders.wait_registered().error().code == Errc::closed);
}
