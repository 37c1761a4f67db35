// SPDX-License-Identifier: MIT
#include "catch.hpp"
#include "chaos.hpp"
#include "load.hpp"

// The server has no memory left.

namespace {

using namespace chaos;

TEST_CASE("a full server refuses what is published, and lets consumers go on") {
  Case f{"maxmemory"};
  const auto topic = f.topic();
  auto config = f.config();
  config.trim = true;
  ChaosBus bus{config};
  Inbox inbox;
  Gate gate;
  const auto subscription = bus.subscribe(
      topic,
      [&](const ob::Delivery& delivery) {
        gate.pass();
        inbox.add(delivery);
      },
      {.concurrency = 4, .window = 64});
  const Opener at_end{gate};
  registered(f, subscription);
  const auto before = numbered(2000, 40);  // most of them still at the server when it is full
  send(f, bus, topic, before);
  gate.wait_for(f, 4);
  AtEnd room{"exec redis redis-cli config set maxmemory 0"};
  redis_sets("config set maxmemory 1000");
  for (int i = 0; i < 2; ++i) {
    const auto asked = Clock::now();
    const auto result = bus.publish(topic, message("no", "k"));
    CHECK(Clock::now() - asked < 6s);
    REQUIRE_FALSE(result);
    const ob::Error& error = result.error();
    INFO(error.message());
    CHECK(error.code == ob::Errc::rejected);
    CHECK(error.retryable);
    CHECK(mentions(error.message(), "maxmemory"));
  }
  const auto full = Clock::now();
  eventually(
      f, [&] { return Clock::now() - full > 3s; }, "the lease to be over, if it is not renewed");
  gate.open();
  inbox.wait_for(f, before.size());  // reading and acknowledging is what frees memory
  drained(f, subscription);
  room.run();
  eventually(
      f, [&] { return bus.publish(topic, message("after", "k")).has_value(); }, "a publish to work");
  inbox.wait_for(f, "after");
  healthy(f, bus);
  CHECK(inbox.times("no") == 0);
  CHECK(inbox.size() == before.size() + 1);
}

}  // namespace
