// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "tools.hpp"

// Where a subscription starts, and what comes later than it was published.

namespace conformance {

inline std::vector<std::string> numbers(std::size_t from, std::size_t to) {
  std::vector<std::string> all;
  for (std::size_t i = from; i < to; ++i) all.push_back(std::to_string(i));
  return all;
}

template <class F>
void a_new_group_gets_old_messages(F& f) {
  const auto topic = f.topic();
  Bus<F> bus{f.config()};
  std::size_t published = 0;
  for (int visitor = 0; visitor < 3; ++visitor) {
    for (int i = 0; i < 5; ++i) send(f, bus, topic, std::to_string(published++), "k");
    Inbox group;
    const auto new_group =
        bus.subscribe(topic, group.handler(), {.group = "visitor-" + std::to_string(visitor)});
    group.wait_for(f, published);
    expect(group.payloads() == numbers(0, published), "a new group did not get the history");
  }
}

template <class F>
void a_new_reader_gets_old_messages(F& f) {
  const auto topic = f.topic();
  Bus<F> bus{f.config("")};
  std::size_t published = 0;
  for (int visitor = 0; visitor < 3; ++visitor) {
    for (int i = 0; i < 5; ++i) send(f, bus, topic, std::to_string(published++), "k");
    Inbox reader;
    Bus<F> loner{f.config("")};
    const auto new_reader = loner.subscribe(topic, reader.handler());
    reader.wait_for(f, published);
    expect(reader.payloads() == numbers(0, published), "a new reader did not get the history");
  }
}

template <class F>
void latest_means_new_messages_alone(F& f) {
  const auto topic = f.topic();
  Bus<F> bus{f.config()};
  send(f, bus, topic, numbered(5, 1));
  {
    Inbox inbox;
    const auto subscription = bus.subscribe(topic, inbox.handler(), {.start = ob::latest});
    registered(f, subscription);
    send(f, bus, topic, "new", "key-0");
    inbox.wait_for(f, "new");
    drained(f, subscription);
    expect_equal(inbox.size(), 1u, "the number of messages after latest");
  }
  send(f, bus, topic, "missed", "key-0");  // the group has a position by now: it counts
  Inbox inbox;
  const auto subscription = bus.subscribe(topic, inbox.handler(), {.start = ob::latest});
  inbox.wait_for(f, "missed");
  expect_equal(inbox.size(), 1u, "the number of messages that came after the return");
}

template <class F>
void a_reader_starts_at_a_position(F& f) {
  const auto topic = f.topic();
  Bus<F> bus{f.config("")};
  const auto receipts = try_send(f, bus, topic, numbered(20, 1));
  Inbox all;
  const auto first = bus.subscribe(topic, all.handler());
  all.wait_for(f, 20);
  const auto got = all.all();
  for (std::size_t from : {0u, 7u, 19u}) {
    const auto& told = receipts[from].value().position;  // by those brokers that tell it
    expect(told == ob::Position{} || told == got[from].position,
           "the position of a delivery is not that of its receipt");
    Inbox inbox;
    const auto subscription = bus.subscribe(
        topic, inbox.handler(), {.start = ob::at(got[from].position, got[from].partition)});
    inbox.wait_for(f, 20 - from);
    expect(inbox.payloads() == numbers(from, 20), "a reader did not start at its position");
    expect(inbox.all().front().position == got[from].position, "a position has changed");
  }
}

template <class F>
void a_reader_starts_at_a_time(F& f) {
  const auto topic = f.topic();
  Bus<F> bus{f.config("")};
  const ob::Time start{std::chrono::seconds{1'700'000'000}};
  auto sent = numbered(20, 1);
  for (std::size_t i = 0; i < sent.size(); ++i) sent[i].time = start + std::chrono::seconds{i};
  send(f, bus, topic, sent);
  for (int from : {0, 7, 19}) {
    Inbox inbox;
    const auto subscription = bus.subscribe(
        topic, inbox.handler(),
        {.start = ob::since(start + std::chrono::seconds{from} - std::chrono::milliseconds{500})});
    inbox.wait_for(f, 20 - static_cast<std::size_t>(from));
    expect(inbox.payloads() == numbers(static_cast<std::size_t>(from), 20),
           "a reader did not start at its time");
  }
}

template <class F>
void delayed_messages_wait_and_others_do_not(F& f) {
  const auto topic = f.topic();
  Bus<F> bus{f.config()};
  Inbox inbox;
  const auto subscription = bus.subscribe(topic, inbox.handler());
  registered(f, subscription);
  const auto before = Clock::now();
  send(f, bus, topic, "late", "k", {.delay = 80ms});
  send(f, bus, topic, "early", "k");
  inbox.wait_for(f, "late");
  const auto got = inbox.all();
  expect_equal(got[0].message.payload, "early", "the first message");
  expect(got[1].at - before >= 80ms, "a delayed message came before its time");
  expect_equal(got[1].attempt, 1u, "the attempt of a delayed message");
  expect_equal(inbox.size(), 2u, "the number of messages");
}

/// A message may be delayed just when its consumer goes to sleep.
template <class F>
void no_delayed_message_is_forgotten(F& f) {
  const auto topic = f.topic();
  Bus<F> bus{f.config()};
  Inbox inbox;
  const auto subscription = bus.subscribe(topic, inbox.handler());
  registered(f, subscription);
  for (std::size_t i = 0; i < 200; ++i) {
    send(f, bus, topic, "now " + std::to_string(i));
    send(f, bus, topic, "soon " + std::to_string(i), "", {.delay = 100us});
    inbox.wait_for(f, 2 * (i + 1));
  }
  expect_equal(inbox.size(), 400u, "the number of messages");
}

template <class F>
void delayed_messages_survive_their_subscription(F& f) {
  const auto topic = f.topic();
  Bus<F> bus{f.config()};
  {
    const auto subscription = bus.subscribe(topic, [](const ob::Delivery&) {});
    registered(f, subscription);
    send(f, bus, topic, numbered(20, 5), {.delay = 100ms});
  }
  Inbox inbox;
  const auto subscription = bus.subscribe(topic, inbox.handler());
  inbox.wait_for(f, 20);
  expect_equal(inbox.size(), 20u, "the number of messages");
}

template <class F>
void add_replay_cases(Suite<F>& suite) {
  suite.template add<retains | groups | order>("a new group gets old messages", [](auto& f) {
    a_new_group_gets_old_messages(f);
  });
  suite.template add<order | positions>("a new reader gets old messages", [](auto& f) {
    a_new_reader_gets_old_messages(f);
  });
  suite.template add<keeps | groups>("latest means new messages alone, until there is a position",
                                     [](auto& f) { latest_means_new_messages_alone(f); });
  suite.template add<positions>("a reader may start at a position",
                                [](auto& f) { a_reader_starts_at_a_position(f); });
  suite.template add<times>("a reader may start at a time",
                            [](auto& f) { a_reader_starts_at_a_time(f); });
  suite.template add<delays>("a delayed message comes after its time and others pass it",
                             [](auto& f) { delayed_messages_wait_and_others_do_not(f); });
  suite.template add<delays>("no delayed message is forgotten by a consumer that falls asleep",
                             [](auto& f) { no_delayed_message_is_forgotten(f); });
  suite.template add<delays | keeps>("delayed messages survive their subscription", [](auto& f) {
    delayed_messages_survive_their_subscription(f);
  });
}

}  // namespace conformance
