// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "history.hpp"

// Contract 4: messages of a key are handled one at a time and in order, whatever happens.

namespace conformance {

/// What a crash-free History says of redeliveries.
template <class F>
History history_for() {
  return History{F::Backend::capabilities.counts_attempts};
}

/// A process of a service: a bus of its own, and its subscription. Declare it behind what its
/// handlers use.
template <class F>
struct Process {
  Bus<F> bus;
  std::optional<ob::Subscription> subscription;

  explicit Process(F& f, const std::string& group = "g") : bus{f.config(group)} {}
};

/// What a handler says whose process counts as dead: nothing becomes of its message, no dead letter either,
/// until the bus is gone.
inline ob::Error dead() {
  ob::Error error = ob::retryable("dead");
  error.retry_after = std::chrono::hours{1};
  return error;
}

/// A handler that tells a History and fails as often as it likes.
template <class Fails>
auto told(History& history, int member, Fails fails) {
  return [&history, member, fails](const ob::Delivery& delivery) -> ob::Result<> {
    if (!history.begin(member, delivery)) return dead();
    const bool well = !fails(delivery);
    if (!history.end(member, delivery, well)) return dead();
    if (!well) throw std::runtime_error{"bad luck"};
    return {};
  };
}
inline auto told(History& history, int member) {
  return told(history, member, [](const ob::Delivery&) { return false; });
}

template <class F>
void keys_keep_their_order(F& f) {
  const auto topic = f.topic();
  auto history = history_for<F>();
  Process<F> one{f}, two{f};
  one.subscription = one.bus.subscribe(topic, told(history, 1), {.concurrency = 8});
  two.subscription = two.bus.subscribe(topic, told(history, 2), {.concurrency = 3});
  registered(f, *one.subscription);
  registered(f, *two.subscription);
  Dice dice{f.seed};
  const auto sent = numbered_by_key(f.scale, 50, dice);
  send(f, one.bus, topic, sent);
  history.wait_for(f, sent.size());
  drained(f, *one.subscription);
  drained(f, *two.subscription);
  history.check();
  expect_equal(history.deliveries(), sent.size(), "the number of deliveries");
}

template <class F>
void call_order_is_order(F& f) {
  const auto topic = f.topic();
  Bus<F> bus{f.config()};
  auto history = history_for<F>();
  const auto subscription = bus.subscribe(topic, told(history, 1), {.concurrency = 4});
  registered(f, subscription);
  const auto endings = std::make_shared<Endings>(100);
  for (std::size_t i = 0; i < 100; ++i) {
    const auto number = [&](std::size_t n) { return message(std::to_string(4 * i + n), "k"); };
    bus.publish_async(topic, number(0), Endings::completion(endings, i));
    const auto one = in_time(f, [&] { return bus.publish(topic, number(1)); });
    expect(one.has_value(), "publish failed");
    const std::array batch{number(2), number(3)};
    const auto two =
        in_time(f, [&] { return bus.publish_batch(topic, std::span<const ob::Message>{batch}); });
    for (const auto& each : two) expect(each.has_value(), "publish_batch failed");
  }
  history.wait_for(f, 400);
}

template <class F>
void the_next_of_a_key_waits(F& f) {
  const auto topic = f.topic();
  Bus<F> bus{f.config()};
  Gate gate;
  Inbox inbox;
  std::atomic<bool> second_began = false;
  const auto subscription = bus.subscribe(topic,
                                          [&](const ob::Delivery& delivery) {
                                            if (delivery.payload() == "first") gate.pass();
                                            if (delivery.payload() == "second") second_began = true;
                                            inbox.add(delivery);
                                          },
                                          {.concurrency = 4});
  const Opener at_end{gate};
  registered(f, subscription);
  std::vector<ob::Message> sent{message("first", "k"), message("second", "k")};
  for (int i = 0; i < 20; ++i) {
    sent.push_back(message(std::to_string(i), "other " + std::to_string(i)));
  }
  send(f, bus, topic, sent);
  gate.wait_for(f, 1);
  inbox.wait_for(f, 15);  // others may share the key's lane
  expect(!second_began, "the second message of a key began before the first had ended");
  gate.open();
  inbox.wait_for(f, sent.size());
  expect_exactly(inbox, sent);
}

template <class F>
void different_keys_run_in_parallel(F& f) {
  const auto topic = f.topic();
  Bus<F> bus{f.config()};
  Gate gate;
  const auto subscription =
      bus.subscribe(topic, [&](const ob::Delivery&) { gate.pass(); }, {.concurrency = 4});
  const Opener at_end{gate};
  registered(f, subscription);
  send(f, bus, topic, numbered(12, 12));
  gate.wait_for(f, 4);
  gate.open();
  gate.wait_for(f, 12);
}

template <class F>
void a_failing_key_waits_and_others_go_on(F& f) {
  const auto topic = f.topic();
  Bus<F> bus{f.config()};
  auto history = history_for<F>();
  std::atomic<bool> sick = true;
  const auto subscription = bus.subscribe(
      topic,
      told(history, 1,
           [&](const ob::Delivery& delivery) { return sick && delivery.key() == "key-0"; }) |
          quick_retry(1'000'000),
      {.concurrency = 4});
  registered(f, subscription);
  Dice dice{f.seed};
  const auto sent = numbered_by_key(600, 20, dice);
  const auto of_sick = static_cast<std::size_t>(std::count_if(
      sent.begin(), sent.end(), [](const auto& each) { return each.key == "key-0"; }));
  send(f, bus, topic, sent);
  history.wait_for(f, sent.size() - of_sick);
  eventually(
      f, [&] { return subscription.stats().waiting == of_sick; }, "the sick key to wait");
  eventually(
      f, [&] { return subscription.stats().retried > 3; }, "retries");
  sick = false;
  history.wait_for(f, sent.size());
  drained(f, subscription);
  history.check();
  expect_equal(history.handled_again(), 0u, "the number of messages handled twice");
}

/// Keys times members times random failures, while members come, go and are killed.
template <class F>
void order_survives_churn(F& f, bool crashes, unsigned failing) {
  const auto topic = f.topic();
  Dice dice{f.seed};
  auto history = history_for<F>();
  std::deque<std::unique_ptr<Process<F>>> alive, dead;
  int members = 0;
  const auto add = [&] {
    const int member = ++members;
    alive.push_back(std::make_unique<Process<F>>(f));
    const auto fails = [&dice, failing](const ob::Delivery&) {
      return failing != 0 && dice.roll(100) < failing;
    };
    alive.back()->subscription =
        alive.back()->bus.subscribe(topic, told(history, member, fails) | quick_retry(1'000'000),
                                    {.concurrency = 1 + dice.roll(4), .window = 64});
  };
  std::vector<int> numbers;
  Bus<F> publisher{f.config()};
  const auto sent = numbered_by_key(f.scale, 40, dice);
  add();
  numbers.push_back(members);
  const std::size_t steps = 12;
  std::size_t crashed = 0;
  for (std::size_t step = 0; step < steps; ++step) {
    const auto begin = sent.begin() + static_cast<std::ptrdiff_t>(step * sent.size() / steps);
    const auto end = sent.begin() + static_cast<std::ptrdiff_t>((step + 1) * sent.size() / steps);
    send(f, publisher, topic, std::vector(begin, end));
    history.wait_for(f, step * sent.size() / steps * 9 / 10);
    const auto what = dice.roll(3);
    if (alive.size() < 2 || (what == 0 && alive.size() < 5)) {
      add();
      numbers.push_back(members);
      continue;
    }
    const auto which = dice.roll(alive.size());
    auto process = std::move(alive[which]);
    const int number = numbers[which];
    alive.erase(alive.begin() + static_cast<std::ptrdiff_t>(which));
    numbers.erase(numbers.begin() + static_cast<std::ptrdiff_t>(which));
    if constexpr ((offers<F>() & Need::crash) != 0) {
      if (crashes && (what == 1 || crashed == 0)) {
        ++crashed;
        history.kill(number);
        f.crash(process->bus);
        dead.push_back(std::move(process));
        continue;
      }
    }
    expect(process->bus.close(f.deadline).has_value(), "close failed");
  }
  history.wait_for(f, sent.size());
  for (auto& each : alive) drained(f, *each->subscription);
  history.check();
  if (crashed == 0) {
    expect_equal(history.handled_again(), 0u, "the number of messages handled twice");
  } else {
    expect(history.handled_again() <= crashed * 64, history.handled_again(),
           " messages were handled twice, more than were in flight at ", crashed, " crashes");
  }
}

template <class F>
void partitions_that_come_back_keep_their_order(F& f) {
  for (int round = 0; round < 3; ++round) {
    const auto topic = f.topic();
    auto history = history_for<F>();
    Gate first, middle;
    std::atomic<int> count = 0;
    Process<F> one{f}, guest{f};
    one.subscription = one.bus.subscribe(topic,
                                         told(history, 1,
                                              [&](const ob::Delivery&) {
                                                const int now = count++;
                                                if (now == 0) first.pass();
                                                if (now == 8) middle.pass();
                                                return false;
                                              }),
                                         {.window = 4096});
    const Opener first_at_end{first};
    const Opener middle_at_end{middle};
    registered(f, *one.subscription);
    Dice dice{f.seed};
    const auto sent = numbered_by_key(largest_window<F>(1500), 16, dice);
    send(f, one.bus, topic, sent);
    first.wait_for(f, 1);
    eventually(
        f, [&] { return one.subscription->stats().in_flight == sent.size(); }, "intake");
    first.open();
    middle.wait_for(f, 1);
    for (int visit = 0; visit < 5; ++visit) {  // the guest comes and goes while a handler runs
      guest.subscription = guest.bus.subscribe(topic, told(history, 2));
      eventually(
          f, [&] { return one.subscription->stats().given_back > 0; }, "a hand-over");
      expect(guest.subscription->stop(f.deadline).has_value(), "stop failed");
      guest.subscription.reset();
    }
    middle.open();
    history.wait_for(f, sent.size());
    expect_equal(history.handled_again(), 0u, "the number of messages handled twice");
  }
}

template <class F>
void a_parked_key_follows_its_dead_letter(F& f) {
  const auto topic = f.topic();
  Bus<F> bus{f.config()}, undertaker{f.config("undertaker")};
  Inbox dead;
  auto history = history_for<F>();
  const auto buried = undertaker.subscribe(topic + ".g.dlq", dead.handler());
  registered(f, buried);
  const auto subscription =
      bus.subscribe(topic,
                    [&](const ob::Delivery& delivery) -> ob::Result<> {
                      if (delivery.key() == "key-3" && delivery.payload() == "5") {
                        return ob::permanent("no");
                      }
                      history.begin(1, delivery);
                      history.end(1, delivery, true);
                      return {};
                    },
                    {.concurrency = 3, .order = ob::parked});
  registered(f, subscription);
  std::vector<ob::Message> sent;
  for (int i = 0; i < 100; ++i) {
    sent.push_back(message(std::to_string(i / 5), "key-" + std::to_string(i % 5)));
  }
  send(f, bus, topic, sent);
  history.wait_for(f, 85);
  dead.wait_for(f, 15);
  drained(f, subscription);
  history.check();
  const auto parked = dead.all();
  for (std::size_t i = 0; i < parked.size(); ++i) {
    expect_equal(parked[i].message.key, "key-3", "the key of a parked message");
    expect_equal(parked[i].message.payload, std::to_string(5 + i), "a parked message");
  }
}

template <class F>
void relaxed_order_loses_nothing(F& f) {
  const auto topic = f.topic();
  Bus<F> bus{f.config()};
  Inbox inbox;
  const auto subscription = bus.subscribe(
      topic,
      [&](const ob::Delivery& delivery) -> ob::Result<> {
        if (inbox.add(delivery) == 1 && std::stoi(std::string{delivery.payload()}) % 3 == 0) {
          return ob::later(20ms);
        }
        return {};
      },
      {.concurrency = 2, .order = ob::relaxed});
  registered(f, subscription);
  const auto sent = numbered(90, 5);
  send(f, bus, topic, sent);
  inbox.wait(
      f, [](const auto& got) { return got.size() >= 120; }, "30 redeliveries");
  drained(f, subscription);
  std::map<std::string, Clock::time_point> first;
  for (const Got& got : inbox.all()) {
    const auto [at, fresh] = first.try_emplace(got.message.id, got.at);
    if (fresh) {
      expect_equal(got.attempt, 1u, "the first attempt");
    } else {
      expect_equal(got.attempt, 2u, "the second attempt");
      expect(got.at - at->second >= 20ms, "it came again before its time");
    }
  }
  expect_equal(inbox.size(), 120u, "the number of deliveries");
}

template <class F>
void what_waits_for_its_retry_survives_a_new_member(F& f) {
  for (int round = 0; round < 3; ++round) {
    const auto topic = f.topic();
    Gate gate;
    Inbox done;
    Process<F> one{f}, two{f};
    const auto handler = [&](const ob::Delivery& delivery) -> ob::Result<> {
      if (delivery.attempt() == 2) gate.pass();
      if (delivery.attempt() <= 2) return ob::later(1ms);
      done.add(delivery);
      return {};
    };
    one.subscription = one.bus.subscribe(topic, handler, {.concurrency = 8, .order = ob::relaxed});
    const Opener first_opens{gate};
    registered(f, *one.subscription);
    const auto sent = numbered(16, 16);
    send(f, one.bus, topic, sent);
    gate.wait_for(f, 8);
    two.subscription = two.bus.subscribe(topic, handler, {.concurrency = 8, .order = ob::relaxed});
    const Opener at_end{gate};
    registered(f, *two.subscription);
    gate.open();
    done.wait_for(f, sent.size());
  }
}

template <class F>
void add_order_cases(Suite<F>& suite) {
  suite.template add<order | groups>("keys keep their order over many keys, members and lanes",
                                     [](auto& f) { keys_keep_their_order(f); });
  suite.template add<order>("the order of a key is the order of the calls, of whatever kind",
                            [](auto& f) { call_order_is_order(f); });
  suite.template add<order>("the next message of a key waits until the one before has ended",
                            [](auto& f) { the_next_of_a_key_waits(f); });
  suite.template add<nothing>("different keys are handled in parallel",
                              [](auto& f) { different_keys_run_in_parallel(f); });
  suite.template add<order>("a failing key waits for its retry and other keys go on",
                            [](auto& f) { a_failing_key_waits_and_others_go_on(f); });
  suite.template add<order | groups | redelivers>(
      "members that join and leave under load keep the order and repeat nothing",
      [](auto& f) { order_survives_churn(f, false, 0); });
  suite.template add<order | groups | redelivers>(
      "order survives random failures while members join and leave",
      [](auto& f) { order_survives_churn(f, false, 10); });
  suite.template add<order | groups | redelivers | crash>(
      "order survives random failures while members join, leave and are killed",
      [](auto& f) { order_survives_churn(f, true, 10); });
  suite.template add<order | groups | redelivers>(
      "partitions that come back in the middle keep their order",
      [](auto& f) { partitions_that_come_back_keep_their_order(f); });
  suite.template add<order | keeps>("in parked order a key follows its dead letter",
                                    [](auto& f) { a_parked_key_follows_its_dead_letter(f); });
  suite.template add<delays | redelivers>(
      "in relaxed order what failed comes again later and nothing is lost",
      [](auto& f) { relaxed_order_loses_nothing(f); });
  suite.template add<delays | redelivers | groups>(
      "what waits for its retry is not lost when a member joins",
      [](auto& f) { what_waits_for_its_retry_survives_a_new_member(f); });
}

}  // namespace conformance
