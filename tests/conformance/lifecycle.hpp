// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "order.hpp"

// Contracts 8 and 9: health tells the truth, shutdown is orderly and bounded, and what a killed
// process held comes again.

namespace conformance {

template <class F>
void graceful_stops_lose_and_repeat_nothing(F& f) {
  const auto topic = f.topic();
  auto history = history_for<F>();
  Bus<F> publisher{f.config()};
  Dice dice{f.seed};
  const auto sent = numbered_by_key(f.scale, 30, dice);
  const auto half = sent.begin() + static_cast<std::ptrdiff_t>(sent.size() / 2);
  send(f, publisher, topic, std::vector(sent.begin(), half));
  std::string problem;
  std::jthread publishing{[&] {
    try {
      send(f, publisher, topic, std::vector(half, sent.end()));
    } catch (const Violation& violation) {
      problem = violation.what();
    }
  }};
  for (int life = 0; life < 6; ++life) {  // each is closed while handlers run and more is queued
    Gate gate;
    std::atomic<std::size_t> count = 0;
    Bus<F> bus{f.config()};
    const auto subscription = bus.subscribe(topic,
                                            told(history, life,
                                                 [&](const ob::Delivery&) {
                                                   if (++count > sent.size() / 8) gate.pass();
                                                   return false;
                                                 }),
                                            {.concurrency = 3});
    const Opener at_end{gate};
    gate.wait_for(f, 1);
    eventually(
        f, [&] { return subscription.stats().in_flight > 3; }, "messages to queue up");
    std::optional<ob::Result<>> closed;
    {
      std::atomic<bool> begun = false;
      std::jthread closing{[&] {
        begun = true;
        closed.emplace(bus.close(f.deadline));
      }};
      const Opener then{gate};
      eventually(
          f, [&] { return begun.load(); }, "the end to begin");
    }
    expect(closed->has_value(), "close failed");
    expect_equal(subscription.stats().in_flight, 0u, "in_flight after close");
  }
  publishing.join();
  expect(problem.empty(), problem);
  const auto rest = publisher.subscribe(topic, told(history, 6), {.concurrency = 3});
  history.wait_for(f, sent.size());
  drained(f, rest);
  history.check();
  expect_equal(history.handled_again(), 0u, "the number of messages handled twice");
  expect_equal(history.deliveries(), sent.size(), "the number of deliveries");
}

template <class F>
void what_has_not_started_goes_back_untouched(F& f) {
  const auto topic = f.topic();
  Bus<F> bus{f.config()};
  Gate gate;
  Inbox begun, rest;
  std::optional<ob::Subscription> first = bus.subscribe(topic, [&](const ob::Delivery& delivery) {
    gate.pass();
    begun.add(delivery);
  });
  const Opener at_end{gate};
  registered(f, *first);
  const auto sent = numbered(30, 3);
  send(f, bus, topic, sent);
  gate.wait_for(f, 1);
  eventually(
      f, [&] { return first->stats().in_flight == sent.size(); }, "all to be taken");
  std::jthread stopping{[&] { (void)first->stop(f.deadline); }};
  eventually(
      f, [&] { return first->stats().in_flight < sent.size(); }, "something to go back");
  gate.open();
  stopping.join();
  first.reset();
  const auto second = bus.subscribe(topic, rest.handler());
  rest.wait_for(f, sent.size() - begun.size());
  for (const Got& each : rest.all()) {
    expect_equal(each.attempt, 1u, "the attempt of a message that never began");
    expect_equal(begun.times(each.message.payload), 0u, "how often a message was handled before");
  }
}

template <class F>
void close_inside_a_handler_begins_the_end(F& f) {
  const auto topic = f.topic();
  Bus<F> bus{f.config()}, next{f.config()};
  Inbox inbox, rest;
  std::atomic<bool> returned = false;
  const auto subscription = bus.subscribe(topic, [&](const ob::Delivery& delivery) {
    (void)bus.close(f.deadline);
    returned = true;
    inbox.add(delivery);
  });
  send(f, next, topic, numbered(5, 1));
  inbox.wait_for(f, "0");
  expect(returned, "close did not return inside a handler");
  expect(bus.close(f.deadline).has_value(), "the close from outside failed");
  expect_equal(inbox.size(), 1u, "the number of messages handled after close");
  const auto other = next.subscribe(topic, rest.handler());
  rest.wait_for(f, 4);
  expect(rest.payloads() == std::vector<std::string>{"1", "2", "3", "4"}, "the rest did not come");
}

template <class F>
void a_subscription_may_be_destroyed_by_its_own_handler(F& f) {
  const auto topic = f.topic();
  Inbox inbox, rest;
  std::optional<ob::Subscription> own;
  Bus<F> bus{f.config()};
  own = bus.subscribe(topic, [&](const ob::Delivery& delivery) {
    own.reset();
    inbox.add(delivery);
  });
  send(f, bus, topic, numbered(5, 1));
  inbox.wait_for(f, "0");
  const auto other = bus.subscribe(topic, rest.handler());
  rest.wait_for(f, 4);
  expect(rest.payloads() == std::vector<std::string>{"1", "2", "3", "4"}, "the rest did not come");
  expect_equal(inbox.size(), 1u, "the number of messages handled after the end");
}

template <class F>
void handlers_may_publish_and_subscribe(F& f) {
  const auto in = f.topic();
  const auto out = f.topic();
  Bus<F> bus{f.config()};
  Inbox inbox;
  std::optional<ob::Subscription> second;
  std::atomic<bool> failed = false;
  const auto first = bus.subscribe(in, [&](const ob::Delivery& delivery) {
    if (delivery.payload() == "0") second = bus.subscribe(out, inbox.handler());
    const auto result = bus.publish(out, delivery.payload(), {.key = delivery.key()});
    if (!result) failed = true;
  });
  registered(f, first);
  const auto sent = numbered(50, 1);
  send(f, bus, in, sent);
  inbox.wait_for(f, sent.size());
  expect(!failed, "a publish inside a handler failed");
  expect_exactly(inbox, sent);
  expect(bus.close(f.deadline).has_value(), "close failed");
}

template <class F>
void a_hanging_handler_does_not_hang_close(F& f) {
  const auto topic = f.topic();
  Bus<F> bus{f.config()}, next{f.config()};
  Gate gate;
  Inbox inbox;
  const auto stuck = bus.subscribe(topic, [&](const ob::Delivery&) -> ob::Result<> {
    gate.pass();
    return ob::later(0ms);
  });
  const Opener at_end{gate};
  send(f, next, topic, numbered(3, 1));
  gate.wait_for(f, 1);
  const auto start = Clock::now();
  const auto closed = bus.close(50ms);
  expect(Clock::now() - start < f.deadline / 2, "close waited longer than it was told to");
  expect(!closed && closed.error().code == ob::Errc::timed_out, "close did not say timed_out");
  const auto takes_over = next.subscribe(topic, inbox.handler());
  registered(f, takes_over);
  expect_equal(inbox.size(), 0u, "the number of messages that overtook one that still runs");
  gate.open();
  inbox.wait_for(f, 3);
  expect(inbox.payloads() == std::vector<std::string>{"0", "1", "2"}, "the order was not kept");
}

template <class F>
void closing_is_idempotent_from_many_threads(F& f) {
  const auto topic = f.topic();
  Bus<F> keeper{f.config()};
  for (int round = 0; round < 10; ++round) {
    Bus<F> bus{f.config()};
    Inbox unread;
    const auto subscription = bus.subscribe(topic, unread.handler());
    std::vector<std::thread> threads;
    std::atomic<int> good = 0;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] { good += bus.close(f.deadline).has_value() ? 1 : 0; });
    }
    for (auto& thread : threads) thread.join();
    expect_equal(good.load(), 4, "the number of closes that said ok");
    expect(bus.close(f.deadline).has_value(), "another close failed");
  }
  const auto sent = numbered(50, 5);
  send(f, keeper, topic, sent);
  Inbox inbox;
  const auto subscription = keeper.subscribe(topic, inbox.handler());
  inbox.wait_for(f, sent.size());
  expect_exactly(inbox, sent);
}

template <class F>
void run_lasts_until_stop(F& f) {
  const auto topic = f.topic();
  Bus<F> bus{f.config()};
  Inbox inbox;
  const auto subscription = bus.subscribe(topic, [&](const ob::Delivery& delivery) {
    inbox.add(delivery);
    if (delivery.payload() == "stop") bus.stop();
  });
  registered(f, subscription);
  send(f, bus, topic, {message("1", "k"), message("stop", "k")});
  expect(bus.run().has_value(), "run did not end well");
  expect(inbox.payloads() == std::vector<std::string>{"1", "stop"}, "not everything was handled");
  expect(!bus.publish(topic, "late").has_value(), "publishing goes on after run");
}

template <class F>
void health_tells_the_truth(F& f) {
  const auto topic = f.topic();
  Bus<F> bus{f.config()};
  const auto subscription = bus.subscribe(topic, [](const ob::Delivery&) {});
  registered(f, subscription);
  const auto health = bus.health();
  expect(health.ok, "a healthy bus says: ", health.detail);
  expect_equal(health.subscriptions.size(), 1u, "the number of subscriptions");
  expect_equal(health.subscriptions[0].topic, topic, "the topic");
  expect_equal(health.subscriptions[0].group, "g", "the group");
  expect(bus.close(f.deadline).has_value(), "close failed");
  expect(!bus.health().ok, "a closed bus says that it is well");
  expect(!subscription.health().ok, "a closed subscription says that it is well");
  expect(!subscription.health().problem.empty(),
         "a closed subscription does not say what is wrong");
}

template <class F>
void health_sees_a_dead_consumer(F& f) {
  const auto topic = f.topic();
  Bus<F> bus{f.config()};
  const auto subscription = bus.subscribe(topic, [](const ob::Delivery&) {});
  registered(f, subscription);
  f.crash(bus);
  eventually(
      f, [&] { return !bus.health().ok; }, "health to see that the consumer is gone");
  expect(!subscription.health().problem.empty(), "health does not say what is wrong");
}

template <class F>
void what_a_killed_process_held_comes_again(F& f) {
  const auto topic = f.topic();
  auto history = history_for<F>();
  Gate gate;
  std::atomic<int> count = 0;
  Process<F> victim{f}, heir{f};
  victim.subscription = victim.bus.subscribe(topic,
                                             told(history, 1,
                                                  [&](const ob::Delivery&) {
                                                    if (++count > 100) gate.pass();
                                                    return false;
                                                  }),
                                             {.concurrency = 4, .window = 64});
  const Opener at_end{gate};
  registered(f, *victim.subscription);
  Dice dice{f.seed};
  const auto sent = numbered_by_key(400, 50, dice);
  send(f, heir.bus, topic, sent);
  gate.wait_for(f, 2);
  history.kill(1);
  f.crash(victim.bus);
  heir.subscription = heir.bus.subscribe(topic, told(history, 2), {.concurrency = 2});
  history.wait_for(f, sent.size());
  drained(f, *heir.subscription);
  history.check();
  expect(history.handled_again() <= 64, history.handled_again(),
         " messages were handled twice, more than were in flight");
}

template <class F>
void add_lifecycle_cases(Suite<F>& suite) {
  suite.template add<groups | order | redelivers>(
      "graceful stops under load lose nothing and repeat nothing",
      [](auto& f) { graceful_stops_lose_and_repeat_nothing(f); });
  suite.template add<untouched>("what has not started goes back as if it had never come",
                               [](auto& f) { what_has_not_started_goes_back_untouched(f); });
  suite.template add<keeps | order>("close inside a handler begins the end and returns at once",
                                    [](auto& f) { close_inside_a_handler_begins_the_end(f); });
  suite.template add<keeps | order>(
      "a subscription may be destroyed by its own handler",
      [](auto& f) { a_subscription_may_be_destroyed_by_its_own_handler(f); });
  suite.template add<keeps>("a handler may publish and subscribe",
                            [](auto& f) { handlers_may_publish_and_subscribe(f); });
  suite.template add<keeps | order>(
      "close times out on a hanging handler and its message comes again",
      [](auto& f) { a_hanging_handler_does_not_hang_close(f); });
  suite.template add<keeps>("close is idempotent, from many threads at once",
                            [](auto& f) { closing_is_idempotent_from_many_threads(f); });
  suite.template add<order>("run lasts until stop and then closes",
                            [](auto& f) { run_lasts_until_stop(f); });
  suite.template add<nothing>("health is good when the consumer is registered and bad after close",
                              [](auto& f) { health_tells_the_truth(f); });
  suite.template add<crash>("health is bad when the consumer is gone",
                            [](auto& f) { health_sees_a_dead_consumer(f); });
  suite.template add<redelivers | crash | order>(
      "what a killed process held comes again, marked, and no more than that",
      [](auto& f) { what_a_killed_process_held_comes_again(f); });
}

}  // namespace conformance
