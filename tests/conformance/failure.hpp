// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <omnibus/middleware/dead_letter.hpp>

#include "delivery.hpp"
#include "history.hpp"

// Contract 3: nothing disappears. Every delivery ends as handled or as a dead letter that tells
// all, and never as handled when it was not.

namespace conformance {

/// The dead letters of `topic` for group "g", as they come.
template <class F>
struct Graveyard {
  std::string topic;
  Inbox letters;
  Bus<F> bus;
  ob::Subscription subscription;

  Graveyard(F& f, std::string name)
      : topic{std::move(name)},
        bus{f.config("undertaker")},
        subscription{bus.subscribe(topic, letters.handler())} {
    registered(f, subscription);
  }
};

inline void expect_header(const Got& letter, std::string_view name, std::string_view should) {
  expect(letter.message.headers.contains(name), "a dead letter lacks the header ", name);
  expect_equal(letter.message.headers.get(name), should, "the header ", name);
}

template <class F>
void failures_are_tried_again(F& f) {
  const auto topic = f.topic();
  Bus<F> bus{f.config()};
  Inbox inbox;
  const auto subscription = bus.subscribe(topic,
                                          [&](const ob::Delivery& delivery) {
                                            const bool early =
                                                std::stoi(std::string{delivery.payload()}) < 2;
                                            if (inbox.add(delivery) < 4 && early) {
                                              throw std::runtime_error{"not yet"};
                                            }
                                          } | quick_retry(10),
                                          {.concurrency = 2});
  registered(f, subscription);
  const auto sent = numbered(100, 10);
  send(f, bus, topic, sent);
  inbox.wait(
      f, [](const auto& got) { return got.size() >= 106; }, "100 messages and 6 retries");
  eventually(
      f, [&] { return subscription.stats().handled == 100; }, "100 handled messages");
  for (const char* each : {"0", "1"}) {
    std::uint32_t attempt = 0;
    for (const Got& got : inbox.all()) {
      if (got.message.payload != each) continue;
      expect_equal(got.attempt, ++attempt, "the attempt");
      expect_equal(got.redelivered, attempt > 1, "whether it says that it comes again");
    }
    expect_equal(attempt, 4u, "the number of attempts");
  }
  expect_equal(inbox.size(), 106u, "the number of deliveries");
  expect_equal(subscription.stats().retried, 6u, "the number of retries in the counters");
}

template <class F>
void what_still_fails_is_dead_lettered_with_all_there_is_to_know(F& f) {
  const auto topic = f.topic();
  const auto dead = f.topic();
  Bus<F> bus{f.config()};
  Graveyard<F> graveyard{f, dead};
  std::atomic<int> attempts = 0;
  const auto subscription = bus.subscribe(topic, [&](const ob::Delivery& delivery) {
    if (delivery.key() != "ill") return;
    throw std::runtime_error{"failure " + std::to_string(++attempts)};
  } | quick_retry(3) | ob::dead_letter(dead));
  auto ill = message(std::string{"raw\0bytes\xff", 10}, "ill");
  ill.type = "some.type";
  ill.headers = {{"trace", "4bf9"}, {"twice", "1"}, {"twice", "2"}};
  ill.headers.add("bytes", std::string{"\0\x01", 2})
      .add("omnibus-dead-reason", "of an earlier life");
  send(f, bus, topic, {ill, message("well")});
  graveyard.letters.wait_for(f, 1);
  eventually(
      f, [&] { return subscription.stats().handled >= 1; }, "the other message to be handled");
  drained(f, subscription);
  const Got letter = graveyard.letters.all().front();
  const auto& is = letter.message;
  expect(is.payload == ill.payload, "the payload of a dead letter was altered");
  expect_equal(is.key, ill.key, "the key of a dead letter");
  expect_equal(is.type, ill.type, "the type of a dead letter");
  expect_header(letter, "trace", "4bf9");
  expect_header(letter, "bytes", std::string_view{"\0\x01", 2});
  std::string twice;
  for (const ob::Header each : is.headers) {
    if (each.name == "twice") twice.append(each.value);
  }
  expect_equal(twice, "12", "a header that stood twice");
  const ob::DeadLetter told = ob::read_dead_letter(is.headers);
  expect_equal(told.topic, topic, "the topic that a dead letter came from");
  expect_equal(told.group, "g", "the group that could not handle it");
  expect_equal(told.code, "handler_failed", "the code");
  expect_equal(told.attempts, 3u, "the number of attempts");
  expect(told.reason.find("failure 3") != std::string_view::npos, "the reason is ", told.reason);
  expect(told.first_reason.find("failure 1") != std::string_view::npos, "the first reason is ",
         told.first_reason);
  expect(!told.partition.empty() && !told.position.empty(), "the position is not told");
  expect_equal(subscription.stats().handled, 1u, "the number of handled messages");
  expect_equal(subscription.stats().dead_lettered, 1u, "the number of dead letters");
}

template <class F>
void bytes_that_do_not_decode_harm_nobody(F& f) {
  const auto topic = f.topic();
  Bus<F> bus{f.config()};
  Graveyard<F> graveyard{f, topic + ".g.dlq"};
  Inbox inbox;
  const auto subscription = bus.subscribe(topic, [&](const Placed&, const ob::Delivery& delivery) {
    inbox.add(delivery);
  } | quick_retry(50));
  registered(f, subscription);
  std::vector<ob::Message> sent;
  const auto add = [&](std::string payload, std::string type) {
    sent.push_back(message(std::move(payload), "one key"));
    sent.back().type = std::move(type);
    sent.back().headers = {{"trace", "4bf9"}};
  };
  const std::string poison{"poison\0\xff\xfe", 9}, venom{"venom\0", 6};
  add("1", "conformance.placed");
  add(poison, "conformance.placed");
  add("2", "conformance.placed");
  add(venom, "conformance.placed");
  add("of another type", "nobody.knows");
  add("3", "conformance.placed");
  send(f, bus, topic, sent);
  inbox.wait_for(f, "3");
  expect(inbox.payloads() == std::vector<std::string>{"1", "2", "3"},
         "healthy messages did not all come");
  graveyard.letters.wait_for(f, 3);
  const auto letters = graveyard.letters.all();
  expect(letters[0].message.payload == poison && letters[1].message.payload == venom,
         "the bytes that do not decode were altered");
  expect_header(letters[0], "omnibus-dead-code", "decode_failed");
  expect_header(letters[1], "omnibus-dead-code", "decode_failed");
  expect_header(letters[2], "omnibus-dead-code", "unknown_type");
  for (const Got& each : letters) {
    expect_header(each, "omnibus-dead-attempts", "1");  // trying again cannot help
    expect_header(each, "trace", "4bf9");
  }
  drained(f, subscription);
  expect_equal(subscription.stats().handled, 3u, "the number of handled messages");
  expect_equal(subscription.stats().retried, 0u, "the number of retries");
}

template <class F>
void no_failure_counts_as_success(F& f) {
  const auto topic = f.topic();
  Bus<F> bus{f.config()};
  Graveyard<F> graveyard{f, topic + ".g.dlq"};
  std::atomic<int> stage_calls = 0;
  const auto subscription = bus.subscribe(
      topic,
      [](const ob::Delivery& delivery) -> ob::Result<> {
        const auto what = delivery.payload();
        if (what == "exception") throw std::runtime_error{"thrown"};
        if (what == "number") throw 42;
        if (what == "text") throw "text";
        if (what == "bad result") ob::Result<>{ob::permanent("by value()")}.value();
        if (what == "permanent") return ob::permanent("returned");
        if (what == "retryable") return ob::retryable("returned");
        return {};
      } | ob::stage([&stage_calls](ob::Next next, ob::Delivery& delivery) -> ob::Result<> {
                                            if (delivery.payload() == "inner stage") {
                                              ++stage_calls;
                                              throw std::runtime_error{"inner"};
                                            }
                                            return next(delivery);
                                          }) | quick_retry(2) |
                                              [](ob::Next next,
                                                 ob::Delivery& delivery) -> ob::Result<> {
        if (delivery.payload() == "outer stage") throw 7;
        return next(delivery);
      });
  registered(f, subscription);
  std::vector<ob::Message> sent;
  for (const char* each : {"exception", "number", "text", "bad result", "permanent", "retryable",
                           "inner stage", "outer stage"}) {
    sent.push_back(message(each, "k"));
  }
  sent.push_back(message("good", "k"));
  send(f, bus, topic, sent);
  eventually(
      f, [&] { return subscription.stats().handled == 1; }, "the good one to be handled");
  graveyard.letters.wait_for(f, 8);
  drained(f, subscription);
  sent.pop_back();
  expect_exactly(graveyard.letters, sent);
  expect_equal(stage_calls.load(), 2, "the number of calls of a stage that throws inside retry");
  for (const Got& each : graveyard.letters.all()) {
    const auto& what = each.message.payload;
    const bool once = what == "permanent" || what == "bad result";
    if (what != "outer stage" && what != "inner stage") {
      expect_header(each, "omnibus-dead-attempts", once ? "1" : "2");
    }
  }
  expect_equal(subscription.stats().handled, 1u, "the number of handled messages");
}

template <class F>
void a_refused_dead_letter_keeps_its_message(F& f, ob::Errc code) {
  const auto topic = f.topic();
  const auto dead = topic + ".g.dlq";
  Bus<F> bus{f.config()};
  f.answer(dead, code, 2);
  std::atomic<int> calls = 0;
  const auto subscription = bus.subscribe(topic, [&](const ob::Delivery& delivery) -> ob::Result<> {
    if (delivery.payload() == "good") return {};
    ++calls;
    return ob::permanent("never");
  });
  send(f, bus, topic, {message("bad", "k"), message("good", "k")});
  eventually(
      f, [&] { return f.answered(dead) >= 1; }, "a refused dead letter");
  Graveyard<F> graveyard{f, dead};
  graveyard.letters.wait_for(f, "bad");
  eventually(
      f, [&] { return subscription.stats().handled == 1; }, "the key to go on");
  drained(f, subscription);
  expect_equal(f.answered(dead), 2u, "the number of refusals");
  expect_equal(calls.load(), 1, "the number of times the handler ran");
  expect_header(graveyard.letters.all().front(), "omnibus-dead-attempts", "1");
  expect_equal(subscription.stats().dead_lettered, 1u, "the number of dead letters");
}

template <class F>
void what_cannot_be_buried_comes_again(F& f) {
  const auto topic = f.topic();
  const auto dead = topic + ".g.dlq";
  Inbox inbox;
  Bus<F> keeper{f.config()};
  {
    Bus<F> bus{f.config()};
    f.answer(dead, ob::Errc::unavailable, -1);
    std::atomic<int> calls = 0;
    const auto subscription = bus.subscribe(topic, [&](const ob::Delivery&) -> ob::Result<> {
      ++calls;
      return ob::permanent("no");
    });
    send(f, keeper, topic, numbered(5, 5));
    eventually(
        f, [&] { return calls == 5; }, "all messages to fail");
    expect(bus.close(f.deadline).has_value(), "close failed");
    expect_equal(subscription.stats().handled, 0u, "the number of handled messages");
  }
  const auto subscription = keeper.subscribe(topic, inbox.handler());
  inbox.wait_for(f, 5);
  for (const Got& each : inbox.all()) {
    expect(each.redelivered, "it comes again and does not say so");
  }
}

template <class F>
void a_group_goes_on_after_failing_members(F& f) {
  const auto topic = f.topic();
  Bus<F> publisher{f.config()};
  const auto sent = numbered(50, 10);
  send(f, publisher, topic, sent);
  for (int member = 0; member < 3; ++member) {
    Bus<F> bus{f.config()};
    std::atomic<int> failures = 0;
    const auto subscription = bus.subscribe(topic,
                                            [&](const ob::Delivery&) {
                                              ++failures;
                                              throw std::runtime_error{"broken"};
                                            } | quick_retry(1'000'000),
                                            {.concurrency = 2});
    eventually(
        f, [&] { return failures > 20; }, "failures");
    expect(bus.close(f.deadline).has_value(), "close failed");
  }
  Inbox inbox;
  const auto subscription = publisher.subscribe(topic, inbox.handler());
  inbox.wait_for(f, sent.size());
  expect_exactly(inbox, sent);
}

template <class F>
void attempts_are_counted_across_restarts(F& f, bool crashes) {
  const auto topic = f.topic();
  Bus<F> publisher{f.config()};
  send(f, publisher, topic, "m", "k");
  std::uint32_t last = 0;
  for (int life = 0; life < 3; ++life) {
    Bus<F> bus{f.config()};
    Inbox inbox;
    Gate gate;
    const auto subscription =
        bus.subscribe(topic, [&](const ob::Delivery& delivery) -> ob::Result<> {
          inbox.add(delivery);
          gate.pass();
          return ob::later(1h);
        });
    const Opener at_end{gate};
    gate.wait_for(f, 1);
    const Got got = inbox.all().front();
    expect_equal(got.attempt, last + 1, "the attempt in life ", life);
    last = got.attempt;
    if constexpr ((offers<F>() & Need::crash) != 0) {
      if (crashes) f.crash(bus);
    }
    gate.open();
    if (!crashes) expect(bus.close(f.deadline).has_value(), "close failed");
  }
}

template <class F>
void a_handler_may_say_when_to_come_again(F& f) {
  const auto topic = f.topic();
  Bus<F> bus{f.config()};
  Inbox inbox;
  const auto subscription = bus.subscribe(topic, [&](const ob::Delivery& delivery) -> ob::Result<> {
    if (inbox.add(delivery) == 1) return ob::later(30ms);
    return {};
  });
  registered(f, subscription);
  send(f, bus, topic, {message("1", "k"), message("2", "k")});
  inbox.wait(
      f, [](const auto& got) { return got.size() == 4; }, "4 deliveries");
  const auto got = inbox.all();
  expect(inbox.payloads() == std::vector<std::string>{"1", "1", "2", "2"}, "the key did not wait");
  expect(got[1].at - got[0].at >= 30ms, "it came again before its time");
}

template <class F>
void add_failure_cases(Suite<F>& suite) {
  suite.template add<redelivers>("what fails is tried again and says which attempt it is",
                                 [](auto& f) { failures_are_tried_again(f); });
  suite.template add<keeps>(
      "what still fails is dead-lettered with its bytes, headers, origin, attempts and errors",
      [](auto& f) { what_still_fails_is_dead_lettered_with_all_there_is_to_know(f); });
  suite.template add<order>("what does not decode is dead-lettered at once and harms nobody",
                            [](auto& f) { bytes_that_do_not_decode_harm_nobody(f); });
  suite.template add<nothing>("no kind of failure counts as success",
                              [](auto& f) { no_failure_counts_as_success(f); });
  suite.template add<answers | keeps>(
      "a refused dead letter keeps its message; only the dead letter is tried again",
      [](auto& f) { a_refused_dead_letter_keeps_its_message(f, ob::Errc::rejected); });
  suite.template add<answers | keeps>(
      "a dead letter of unknown outcome keeps its message and is sent again",
      [](auto& f) { a_refused_dead_letter_keeps_its_message(f, ob::Errc::outcome_unknown); });
  suite.template add<answers | redelivers | attempts>(
      "what could not be dead-lettered comes again after a restart",
      [](auto& f) { what_cannot_be_buried_comes_again(f); });
  suite.template add<keeps>("a group goes on after members that failed and left",
                            [](auto& f) { a_group_goes_on_after_failing_members(f); });
  suite.template add<attempts>("attempts are counted across restarts",
                               [](auto& f) { attempts_are_counted_across_restarts(f, false); });
  suite.template add<attempts | crash>("attempts are counted across crashes", [](auto& f) {
    attempts_are_counted_across_restarts(f, true);
  });
  suite.template add<order>("a handler may say when a message is to come again",
                            [](auto& f) { a_handler_may_say_when_to_come_again(f); });
}

}  // namespace conformance
