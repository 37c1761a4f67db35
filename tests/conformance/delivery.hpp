// SPDX-License-Identifier: MIT
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tools.hpp"

// Contract 2: who gets what. Topics are apart, every group gets everything, members share, readers
// without a group each hear everything, handlers are chosen by type.

namespace conformance {

struct Placed {
  std::string text;
};
struct Shipped {
  std::string text;
};

}  // namespace conformance

template <>
struct omnibus::Codec<conformance::Placed> {
  static constexpr std::string_view type = "conformance.placed";
  static std::string_view view(const conformance::Placed& event) { return event.text; }
  static Result<conformance::Placed> decode(std::string_view bytes) {
    if (bytes.starts_with("poison")) return Error::make(Errc::decode_failed, "", "poison");
    if (bytes.starts_with("venom")) throw std::runtime_error{"venom"};
    return conformance::Placed{std::string{bytes}};
  }
};
template <>
struct omnibus::Codec<conformance::Shipped> {
  static constexpr std::string_view type = "conformance.shipped";
  static std::string_view view(const conformance::Shipped& event) { return event.text; }
  static Result<conformance::Shipped> decode(std::string_view bytes) {
    return conformance::Shipped{std::string{bytes}};
  }
};

namespace conformance {

template <class F>
void topics_are_apart(F& f) {
  const auto red = f.topic();
  const auto blue = f.topic();
  Bus<F> bus{f.config()};
  Inbox in_red, in_blue;
  const auto reads_red = bus.subscribe(red, in_red.handler());
  const auto reads_blue = bus.subscribe(blue, in_blue.handler());
  registered(f, reads_red);
  registered(f, reads_blue);
  for (int i = 0; i < 20; ++i) {
    send(f, bus, red, "red " + std::to_string(i), "k");
    send(f, bus, blue, "blue " + std::to_string(i), "k");
  }
  in_red.wait_for(f, "red 19");
  in_blue.wait_for(f, "blue 19");
  for (const auto& each : in_red.payloads()) expect(each.starts_with("red"), each, " came in red");
  for (const auto& each : in_blue.payloads()) {
    expect(each.starts_with("blue"), each, " came in blue");
  }
  expect_equal(in_red.size(), 20u, "the number of messages in red");
  expect_equal(in_blue.size(), 20u, "the number of messages in blue");
}

template <class F>
void every_group_gets_everything_and_members_share(F& f) {
  const auto topic = f.topic();
  Bus<F> ones{f.config("one")}, others{f.config("one")}, twos{f.config("two")};
  Inbox one, two;
  const auto first = ones.subscribe(topic, one.handler(1), {.concurrency = 2});
  const auto second = others.subscribe(topic, one.handler(2));
  const auto third = twos.subscribe(topic, two.handler());
  const auto fourth = twos.subscribe(topic, two.handler(), {.group = "two"});
  for (const auto* each : {&first, &second, &third, &fourth}) registered(f, *each);
  const auto sent = numbered(400, 97);
  send(f, ones, topic, sent);
  one.wait_for(f, sent.size());
  two.wait_for(f, sent.size());
  for (const auto* each : {&first, &second, &third, &fourth}) drained(f, *each);
  expect_exactly(one, sent);
  expect_exactly(two, sent);
}

template <class F>
void many_publishers_and_members_on_many_topics(F& f) {
  constexpr std::size_t topics = 5, members = 3, publishers = 4;
  const std::size_t count = std::max<std::size_t>(f.scale / (topics * publishers), 5);
  std::vector<std::string> names;
  for (std::size_t i = 0; i < topics; ++i) names.push_back(f.topic());
  Bus<F> bus{f.config()};
  std::deque<Inbox> inboxes(topics);
  std::vector<ob::Subscription> subscriptions;
  for (std::size_t i = 0; i < topics * members; ++i) {
    subscriptions.push_back(bus.subscribe(names[i % topics], inboxes[i % topics].handler()));
  }
  std::vector<std::thread> threads;
  std::vector<std::string> problems(publishers);
  for (std::size_t p = 0; p < publishers; ++p) {
    threads.emplace_back([&, p] {
      try {
        for (std::size_t t = 0; t < topics; ++t) {
          std::vector<ob::Message> batch;
          for (std::size_t i = 0; i < count; ++i) {
            const auto text = std::to_string(t) + "-" + std::to_string(p) + "-" + std::to_string(i);
            batch.push_back(message(text, text));
          }
          send(f, bus, names[t], batch);
        }
      } catch (const Violation& violation) {
        problems[p] = violation.what();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  for (const auto& problem : problems) expect(problem.empty(), problem);
  for (std::size_t t = 0; t < topics; ++t) {
    std::vector<ob::Message> sent;
    for (std::size_t p = 0; p < publishers; ++p) {
      for (std::size_t i = 0; i < count; ++i) {
        sent.push_back(
            message(std::to_string(t) + "-" + std::to_string(p) + "-" + std::to_string(i)));
      }
    }
    inboxes[t].wait_for(f, sent.size());
    expect_exactly(inboxes[t], sent);
  }
}

template <class F>
void readers_without_a_group_hear_everything(F& f) {
  const auto topic = f.topic();
  Bus<F> bus{f.config("")};
  Inbox first, second;
  const auto one = bus.subscribe(topic, first.handler());
  const auto two = bus.subscribe(topic, second.handler(), {.concurrency = 3});
  registered(f, one);
  registered(f, two);
  const auto sent = numbered(100, 7);
  send(f, bus, topic, sent);
  first.wait_for(f, sent.size());
  second.wait_for(f, sent.size());
  expect_exactly(first, sent);
  expect_exactly(second, sent);
}

template <class F>
void handlers_are_chosen_by_type(F& f) {
  const auto topic = f.topic();
  Bus<F> bus{f.config()};
  Inbox placed, shipped, rest;
  const auto subscription = bus.subscribe(
      topic,
      ob::handlers([&](const Placed&, const ob::Delivery& delivery) { placed.add(delivery); },
                   [&](const Shipped&, const ob::Delivery& delivery) { shipped.add(delivery); },
                   [&](const ob::Delivery& delivery) { rest.add(delivery); }));
  registered(f, subscription);
  expect(bus.publish(topic, Placed{"p1"}, {.key = "k"}).has_value(), "publish failed");
  expect(bus.publish(topic, Shipped{"s1"}, {.key = "k"}).has_value(), "publish failed");
  auto foreign = message("f1", "k");
  send(f, bus, topic, {foreign});  // without a type: the first typed handler takes it
  foreign.payload = "r1";
  foreign.type = "somebody.elses";
  send(f, bus, topic, {foreign});
  expect(bus.publish(topic, Placed{"p2"}, {.key = "k"}).has_value(), "publish failed");
  placed.wait_for(f, "p2");
  expect(placed.payloads() == std::vector<std::string>{"p1", "f1", "p2"},
         "Placed got something else");
  expect(shipped.payloads() == std::vector<std::string>{"s1"}, "Shipped got something else");
  expect(rest.payloads() == std::vector<std::string>{"r1"}, "the raw handler got something else");
}

template <class F>
void nothing_counts_as_done_before_its_handler_ends(F& f) {
  const auto topic = f.topic();
  Bus<F> bus{f.config()}, next{f.config()};
  Gate gate;
  auto held = bus.subscribe(topic, [&](const ob::Delivery&) { gate.pass(); }, {.concurrency = 4});
  const Opener at_end{gate};
  registered(f, held);
  const auto sent = numbered(20, 20);
  send(f, bus, topic, sent);
  gate.wait_for(f, 4);
  f.crash(bus);
  Inbox inbox;
  const auto takes_over = next.subscribe(topic, inbox.handler());
  inbox.wait_for(f, sent.size());
  gate.open();
}

template <class F>
void settling_one_settles_no_other(F& f) {
  const auto topic = f.topic();
  Bus<F> bus{f.config()}, next{f.config()};
  Gate gate;
  Inbox done, again;
  auto half = bus.subscribe(topic,
                            [&](const ob::Delivery& delivery) {
                              if (delivery.key().starts_with("slow")) return gate.pass();
                              done.add(delivery);
                            },
                            {.concurrency = 4});
  const Opener at_end{gate};
  registered(f, half);
  std::vector<ob::Message> sent{message("slow 1", "slow 1"), message("slow 2", "slow 2")};
  for (int i = 0; i < 50; ++i) sent.push_back(message(std::to_string(i), "k" + std::to_string(i)));
  sent.push_back(message("slow 3", "slow 3"));
  send(f, bus, topic, sent);
  gate.wait_for(f, 3);
  done.wait_for(f, 40);  // others may share the lane of a slow one
  eventually(
      f, [&] { return half.stats().in_flight <= sent.size() - 40; }, "what is done to be settled");
  f.crash(bus);
  const auto takes_over = next.subscribe(topic, again.handler());
  again.wait(
      f,
      [](const std::vector<Got>& got) {
        return std::count_if(got.begin(), got.end(), [](const Got& each) {
                 return each.message.payload.starts_with("slow");
               }) >= 3;
      },
      "the three that had not ended");
  gate.open();
}

template <class F>
void a_drained_group_stays_drained(F& f) {
  const auto topic = f.topic();
  const auto sent = numbered(f.scale / 4, 11);
  Bus<F> publisher{f.config()};
  send(f, publisher, topic, sent);
  {
    Bus<F> bus{f.config()};
    Inbox inbox;
    const auto subscription = bus.subscribe(topic, inbox.handler(), {.concurrency = 3});
    inbox.wait_for(f, sent.size());
    drained(f, subscription);
    expect_equal(subscription.stats().handled, sent.size(), "the number of handled messages");
    expect_equal(subscription.stats().waiting, 0u, "the number of waiting messages");
    expect(bus.close(f.deadline).has_value(), "close failed");
  }
  Bus<F> bus{f.config()};
  Inbox inbox;
  const auto subscription = bus.subscribe(topic, inbox.handler());
  for (int key = 0; key < 11; ++key) {  // one sentinel for each key
    send(f, publisher, topic, "sentinel", "key-" + std::to_string(key));
  }
  inbox.wait_for(f, 11);
  for (const auto& each : inbox.payloads()) expect_equal(each, "sentinel", "what came again");
}

template <class F>
void add_delivery_cases(Suite<F>& suite) {
  suite.template add<nothing>("topics are apart", [](auto& f) { topics_are_apart(f); });
  suite.template add<groups>("every group gets everything and its members share it",
                             [](auto& f) { every_group_gets_everything_and_members_share(f); });
  suite.template add<groups | keeps>(
      "many publishers and members on many topics: each topic gets exactly its messages",
      [](auto& f) { many_publishers_and_members_on_many_topics(f); });
  suite.template add<nothing>("readers without a group each hear everything",
                              [](auto& f) { readers_without_a_group_hear_everything(f); });
  suite.template add<order>("handlers are chosen by message type, then the raw one",
                            [](auto& f) { handlers_are_chosen_by_type(f); });
  suite.template add<redelivers | crash>(
      "nothing counts as done before its handler has ended",
      [](auto& f) { nothing_counts_as_done_before_its_handler_ends(f); });
  suite.template add<redelivers | crash>("settling one message settles no other",
                                         [](auto& f) { settling_one_settles_no_other(f); });
  suite.template add<groups | keeps>("what is done does not come again",
                                     [](auto& f) { a_drained_group_stays_drained(f); });
}

}  // namespace conformance
