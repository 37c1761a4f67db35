// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <omnibus/middleware/sequenced.hpp>

#include "history.hpp"
#include "order.hpp"

// Contract 5: producers number the messages of each key; who receives them is told of gaps, repetitions
// and producers that were replaced, and of nothing else.

namespace conformance {

inline void expect_in_order(const ob::SequenceTracker& tracker, const char* whose) {
  const ob::SequenceCounts counts = tracker.counts();
  expect(counts.gaps == 0 && counts.repeated == 0 && counts.stale == 0, whose, ": ", counts.gaps,
         " gaps with ", counts.missing, " messages, ", counts.repeated, " repeated, ", counts.stale,
         " stale, where all is in order");
}

template <class F>
void numbers_arrive_in_order(F& f) {
  const auto topic = f.topic();
  Bus<F> bus{f.config(), {.numbered_keys = 100}};
  Inbox inbox;
  ob::SequenceTracker tracker;
  const auto subscription =
      bus.subscribe(topic, inbox.handler() | ob::sequenced(tracker), {.concurrency = 4});
  registered(f, subscription);
  constexpr std::size_t publishers = 4, each = 100;
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < publishers; ++i) {
    threads.emplace_back([&] { send(f, bus, topic, numbered(each, 5)); });
  }
  for (auto& thread : threads) thread.join();
  inbox.wait_for(f, publishers * each);
  drained(f, subscription);
  expect_in_order(tracker, "the tracker");
  std::map<std::string, std::uint64_t> next;
  for (const Got& got : inbox.all()) {
    expect(got.message.sequence.epoch != 0, "a message has no number");
    expect_equal(got.message.sequence.number, next[got.message.key]++, "the number of ", got.message.key);
  }
}

template <class F>
void gaps_are_reported(F& f) {
  const auto topic = f.topic();
  Bus<F> bus{f.config()};
  Inbox inbox;
  ob::SequenceTracker tracker;
  const auto subscription = bus.subscribe(topic, inbox.handler() | ob::sequenced(tracker));
  registered(f, subscription);
  const std::vector<ob::Sequence> numbers{{7, 0}, {7, 1}, {7, 4}, {7, 3}, {8, 0}, {7, 5}, {8, 1}};
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    ob::Message sent = message(std::to_string(i), "k");
    sent.sequence = numbers[i];
    send(f, bus, topic, {sent});
  }
  inbox.wait_for(f, numbers.size());
  drained(f, subscription);
  const ob::SequenceCounts counts = tracker.counts();
  expect_equal(counts.gaps, 1u, "the number of gaps");
  expect_equal(counts.missing, 2u, "the number of missing messages");
  expect_equal(counts.repeated, 1u, "the number of repeated messages");
  expect_equal(counts.stale, 1u, "the number of stale messages");
}

template <class F>
void another_attempt_is_no_repetition(F& f) {
  const auto topic = f.topic();
  Bus<F> bus{f.config(), {.numbered_keys = 100}};
  auto history = history_for<F>();
  ob::SequenceTracker tracker;
  Dice dice{f.seed};
  const auto subscription = bus.subscribe(
      topic,
      told(history, 1, [&](const ob::Delivery&) { return dice.roll(4) == 0; }) |
          ob::sequenced(tracker) | quick_retry(1'000'000),
      {.concurrency = 3});
  registered(f, subscription);
  const auto sent = numbered_by_key(200, 7, dice);
  send(f, bus, topic, sent);
  history.wait_for(f, sent.size());
  drained(f, subscription);
  expect_in_order(tracker, "the tracker");
}

/// Partitions change hands while messages flow, and each member sees its share of them in order.
template <class F>
void members_come_and_go_without_gaps(F& f) {
  const auto topic = f.topic();
  ob::SequenceTracker trackers[2];
  auto history = history_for<F>();
  Process<F> processes[2]{Process<F>{f}, Process<F>{f}};
  const auto join = [&](int which) {
    auto& process = processes[which];
    process.subscription = process.bus.subscribe(
        topic, told(history, which) | ob::sequenced(trackers[which]), {.concurrency = 3});
    registered(f, *process.subscription);
  };
  Bus<F> publisher{f.config(), {.numbered_keys = 1000}};
  Dice dice{f.seed};
  const auto all = numbered_by_key(1600, 40, dice);
  std::size_t sent = 0;
  const auto send_more = [&] {
    const auto begin = all.begin() + static_cast<std::ptrdiff_t>(sent);
    send(f, publisher, topic, std::vector(begin, begin + 200));
    sent += 200;
  };
  join(0);
  send_more();
  for (int turn = 0; turn < 3; ++turn) {
    const int leaves = turn % 2, stays = 1 - leaves;
    join(stays);
    send_more();
    expect(processes[leaves].subscription->stop(f.deadline).has_value(), "stop failed");
    send_more();
    history.wait_for(f, sent);
  }
  history.wait_for(f, sent);
  for (auto& process : processes) drained(f, *process.subscription);
  history.check();
  expect_in_order(trackers[0], "the first member");
  expect_in_order(trackers[1], "the second member");
}

template <class F>
void add_sequence_cases(Suite<F>& suite) {
  suite.template add<Need::order>("numbered messages arrive in the order of their numbers",
                                  [](auto& f) { numbers_arrive_in_order(f); });
  suite.template add<Need::order>("gaps, repetitions and stale producers are reported",
                                  [](auto& f) { gaps_are_reported(f); });
  suite.template add<Need::order>("another attempt is no repetition",
                                  [](auto& f) { another_attempt_is_no_repetition(f); });
  suite.template add<Need::order | Need::groups>("members that come and go leave no gaps in the numbers",
                                                 [](auto& f) { members_come_and_go_without_gaps(f); });
}

}  // namespace conformance
