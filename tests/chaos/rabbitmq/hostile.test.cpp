// SPDX-License-Identifier: MIT
#include "catch.hpp"
#include "chaos.hpp"
#include "raw.hpp"

// Messages that are made to hurt: each costs itself, at most.

namespace {

using namespace chaos;

/// A queue of somebody else's with a consumer of ours.
struct Victim {
  Case f;
  const std::string topic = f.topic();
  const std::string queue = topic + "-q";
  RawPublisher raw;
  Inbox inbox;
  ChaosBus bus;
  std::optional<ob::Subscription> subscription;

  explicit Victim(std::string_view name) : f{name}, bus{config()} { f.deadline = 20s; }
  Broker::Backend::Config config() {
    raw.declare_queue(queue, "quorum");
    auto made = f.config();
    made.existing = {{.topic = topic, .routing_key = queue, .queue = queue}};
    return made;
  }
  void subscribe() { subscription = bus.subscribe(topic, inbox.handler()); }
  void before() { raw.publish(queue, "before", "", ""); }
  void after() {
    raw.publish(queue, "after", "", "");
    inbox.wait_for(f, "after");
    drained(f, *subscription);
    CHECK(inbox.times("before") == 1);
    CHECK(inbox.times("after") == 1);
  }
};

TEST_CASE("a header nested 25,000 deep costs one message") {
  Victim victim{"nested header"};
  victim.subscribe();
  victim.before();
  std::string headers;
  add_field(headers, "deep", 'A', nested_array(25'000));
  add_field(headers, "next", 'S', sized("to it"));
  victim.raw.publish(victim.queue, "hostile", headers, "");
  victim.after();
  CHECK(victim.inbox.times("hostile") <= 1);
  for (const Got& got : victim.inbox.all()) {
    if (got.message.payload != "hostile") continue;
    CHECK(got.message.headers.get("deep").size() < 100);
    CHECK(got.message.headers.get("next") == "to it");
  }
}

TEST_CASE("tables nested deep in one another cost one message") {
  Victim victim{"nested tables"};
  victim.subscribe();
  victim.before();
  // Each level is a table with one field "" of type F: name size, kind, length.
  const std::size_t depth = 20'000;
  std::string deep;
  for (std::size_t left = depth; left-- > 0;) {
    ob::rabbitmq::put32(deep, static_cast<std::uint32_t>(6 * left));
    if (left > 0) deep.append(std::string("\x00", 1) + "F");
  }
  std::string headers;
  add_field(headers, "deep", 'F', deep);
  victim.raw.publish(victim.queue, "hostile", headers, "");
  victim.after();
}

TEST_CASE("10,000 headers cost one message") {
  Victim victim{"10,000 headers"};
  victim.subscribe();
  victim.before();
  std::string headers;
  for (int i = 0; i < 10'000; ++i) {
    add_field(headers, "h" + std::to_string(i), 't', "\x01");
  }
  victim.raw.publish(victim.queue, "hostile", headers, "application/unknown");
  victim.after();
  CHECK(victim.inbox.times("hostile") == 1);
  for (const Got& got : victim.inbox.all()) {
    if (got.message.payload == "hostile") CHECK(got.message.headers.size() == 10'001);
  }
}

/// Headers of so many bytes in all.
std::string headers_of(std::size_t size) {
  std::string headers;
  add_field(headers, "large", 'S', sized(std::string(size - 11, 'x')));
  return headers;
}

TEST_CASE("a header that fills its frame is taken, also when the broker adds to it") {
  Victim victim{"full header frame"};
  victim.before();
  // What the broker writes in front of the table: class, weight, body size, flags, table size.
  const auto most = ob::rabbitmq::frame_max - ob::rabbitmq::frame_overhead - 18;
  victim.raw.publish(victim.queue, "hostile", headers_of(most), "");
  {
    RawPublisher thief;  // delivered again, it has a delivery count in its headers
    thief.take_one(victim.queue);
    thief.take_one(victim.queue);
  }
  const HealthWatch watch{victim.bus};
  victim.subscribe();
  registered(victim.f, *victim.subscription);
  INFO(watch.words_of());
  const int turns = watch.subscription_turns();
  victim.after();
  CHECK(victim.inbox.times("hostile") <= 1);
  CHECK(watch.subscription_turns() == turns);
}

TEST_CASE("headers that leave no room for a dead letter's do not stop the others") {
  Victim victim{"dead letter of a large header"};
  Inbox& inbox = victim.inbox;
  victim.subscription = victim.bus.subscribe(
      victim.topic, [&](const ob::Delivery& delivery) -> ob::Result<> {
        inbox.add(delivery);
        if (delivery.payload() == "hostile") return ob::permanent("no");
        return {};
      });
  registered(victim.f, *victim.subscription);
  send(victim.f, victim.bus, victim.topic, "connected", "k");
  const HealthWatch watch{victim.bus};
  victim.before();
  victim.raw.publish(victim.queue, "hostile", headers_of(130'900), "");
  inbox.wait_for(victim.f, "hostile");
  victim.raw.publish(victim.queue, "after", "", "");
  inbox.wait_for(victim.f, "after");
  for (int i = 0; i < 20; ++i) send(victim.f, victim.bus, victim.topic, "ours", "k");
  inbox.wait(
      victim.f,
      [](const std::vector<Got>& got) {
        return std::count_if(got.begin(), got.end(), [](const Got& each) {
                 return each.message.payload == "ours";
               }) >= 20;
      },
      "ours");
  INFO(watch.words_of());
  CHECK_FALSE(watch.publishing_red());
  CHECK_FALSE(watch.subscription_red());
  CHECK(inbox.times("hostile") == 1);
  CHECK(inbox.times("ours") == 20);
}

}  // namespace
