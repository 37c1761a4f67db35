// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <omnibus/idempotency/memory.hpp>
#include <omnibus/middleware/idempotent.hpp>

#include "failure.hpp"
#include "order.hpp"

// Contract 6: a key has at least one success and at most one, whenever its duplicate comes.

namespace conformance {

inline ob::Message with_id(std::string id, std::string payload, std::string key) {
  auto made = message(std::move(payload), std::move(key));
  made.id = std::move(id);
  return made;
}

template <class F>
void each_id_succeeds_once(F& f) {
  const auto topic = f.topic();
  Bus<F> bus{f.config()};
  ob::MemoryKeyStore seen;
  Dice dice{f.seed};
  std::mutex mutex;
  std::map<std::string, int> successes, replies;
  const auto reply = [&](ob::Next next, ob::Delivery& delivery) -> ob::Result<> {
    ob::Result<> handled = next(delivery);
    std::lock_guard lock{mutex};
    if (handled) ++replies[std::string{delivery.result()}];
    return handled;
  };
  const auto subscription = bus.subscribe(topic,
                                          [&](const ob::Delivery& delivery) -> ob::Result<> {
                                            if (dice.roll(5) == 0) {
                                              throw std::runtime_error{"bad luck"};
                                            }
                                            const std::string id{delivery.id()};
                                            std::lock_guard lock{mutex};
                                            const int time = ++successes[id];
                                            return ob::keep_result(delivery, id + "/" + std::to_string(time));
                                          } | quick_retry(1'000'000) |
                                              ob::idempotent(seen) | reply,
                                          {.concurrency = 4});
  registered(f, subscription);
  std::vector<ob::Message> sent;
  for (int i = 0; i < 300; ++i) {  // duplicates close by, far away, and with other keys
    const auto id = std::to_string(i % 100);
    sent.push_back(with_id("id-" + id, "payload " + id, "key-" + std::to_string(i % 7)));
  }
  send(f, bus, topic, sent);
  eventually(
      f,
      [&] {
        const auto stats = subscription.stats();
        return stats.handled + stats.duplicates == sent.size() && stats.in_flight == 0;
      },
      "every message to be handled or found to be a duplicate");
  expect_equal(subscription.stats().duplicates, 200u, "the number of duplicates");
  std::lock_guard lock{mutex};
  expect_equal(successes.size(), 100u, "the number of ids that succeeded");
  for (const auto& [id, times] : successes) {
    expect_equal(times, 1, "the successes of ", id);
    expect_equal(replies[id + "/1"], 3, "the replies with the one result of ", id);
  }
}

template <class F>
void a_duplicate_waits_for_the_first_run(F& f) {
  const auto topic = f.topic();
  Bus<F> bus{f.config()};
  ob::MemoryKeyStore seen;
  Gate gate;
  std::atomic<int> runs = 0;
  const auto subscription = bus.subscribe(topic,
                                          [&](const ob::Delivery& delivery) {
                                            if (delivery.id() != "one") return;
                                            ++runs;
                                            gate.pass();
                                            if (runs == 1) {
                                              throw std::runtime_error{"the first run fails"};
                                            }
                                          } | ob::idempotent(seen),
                                          {.concurrency = 4});
  const Opener at_end{gate};
  registered(f, subscription);
  send(f, bus, topic, {with_id("one", "p", "key a")});
  gate.wait_for(f, 1);
  send(f, bus, topic, {with_id("one", "p", "key b")});
  eventually(
      f, [&] { return subscription.stats().retried > 0; }, "the duplicate to wait");
  expect_equal(runs.load(), 1, "the number of runs while the first has not ended");
  gate.open();  // the first is dead-lettered and releases its key: the second runs
  eventually(
      f, [&] { return subscription.stats().handled == 1; }, "the duplicate to run");
  expect_equal(runs.load(), 2, "the number of runs");
  send(f, bus, topic, {with_id("one", "p", "key c")});
  eventually(
      f, [&] { return subscription.stats().duplicates == 1; }, "a duplicate after success");
  expect_equal(runs.load(), 2, "the number of runs after success");
}

template <class F>
void the_same_id_with_another_payload_is_an_error(F& f) {
  const auto topic = f.topic();
  Bus<F> bus{f.config()};
  Graveyard<F> graveyard{f, topic + ".g.dlq"};
  ob::MemoryKeyStore seen;
  Inbox inbox;
  const auto subscription = bus.subscribe(topic, inbox.handler() | ob::idempotent(seen));
  registered(f, subscription);
  send(f, bus, topic,
       {with_id("one", "p", "k"), with_id("one", "q", "k"), with_id("two", "r", "k")});
  inbox.wait_for(f, "r");
  graveyard.letters.wait_for(f, 1);
  expect_header(graveyard.letters.all().front(), "omnibus-dead-code", "key_mismatch");
  expect(inbox.payloads() == std::vector<std::string>{"p", "r"}, "something else was handled");
}

template <class F>
void a_crash_does_not_run_a_success_again(F& f) {
  const auto topic = f.topic();
  ob::MemoryKeyStore seen;  // as if kept elsewhere: it survives the process
  Gate gate;
  std::mutex mutex;
  std::map<std::string, int> successes;
  std::atomic<bool> hangs = true;
  const auto handler = [&](const ob::Delivery& delivery) {
    if (delivery.payload() == "slow" && hangs.exchange(false)) gate.pass();
    std::lock_guard lock{mutex};
    ++successes[std::string{delivery.id()}];
  };
  const ob::IdempotentOptions options{.lease = 300ms};
  Process<F> victim{f}, heir{f};
  victim.subscription = victim.bus.subscribe(topic, handler | ob::idempotent(seen, options));
  const Opener at_end{gate};
  registered(f, *victim.subscription);
  std::vector<ob::Message> sent;
  for (int i = 0; i < 20; ++i) {
    sent.push_back(with_id("id-" + std::to_string(i), i == 10 ? "slow" : "quick", "k"));
  }
  send(f, heir.bus, topic, sent);
  gate.wait_for(f, 1);
  f.crash(victim.bus);  // its handler never ends: nobody can wait for it
  heir.subscription = heir.bus.subscribe(topic, handler | ob::idempotent(seen, options));
  eventually(
      f,
      [&] {
        std::lock_guard lock{mutex};
        return successes.size() == sent.size();
      },
      "every id to succeed after the lease of the killed process");
  drained(f, *heir.subscription);
  std::lock_guard lock{mutex};
  for (const auto& [id, times] : successes) expect_equal(times, 1, "the successes of ", id);
}

template <class F>
void add_idempotency_cases(Suite<F>& suite) {
  suite.template add<keeps>(
      "each id succeeds once, whatever fails and whenever its duplicates come",
      [](auto& f) { each_id_succeeds_once(f); });
  suite.template add<keeps>("a duplicate waits while the first is being handled",
                            [](auto& f) { a_duplicate_waits_for_the_first_run(f); });
  suite.template add<keeps | order>("the same id with another payload is an error", [](auto& f) {
    the_same_id_with_another_payload_is_an_error(f);
  });
  suite.template add<keeps | order | crash>(
      "a crash does not run again what had succeeded",
      [](auto& f) { a_crash_does_not_run_a_success_again(f); });
}

}  // namespace conformance
