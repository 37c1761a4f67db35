// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <omnibus/letters.hpp>
#include <omnibus/middleware/dead_letter.hpp>

#include "tools.hpp"

// What an operator does with dead letters: look without taking, redrive one, a key or all of them, in
// order and without loss whatever breaks, discard on purpose.

namespace conformance {

/// A topic whose handler in group "g" fails, and the dead letters of it.
template <class F>
struct Morgue {
  F& f;
  std::string topic = f.topic();
  std::string dead = f.topic();
  Bus<F> bus{f.config()};
  ob::DeadLetters<typename F::Backend> letters{bus, dead};

  /// Makes dead letters of messages, whose payloads are why.
  void kill(const std::vector<ob::Message>& messages) {
    const auto failing = bus.subscribe(topic, [](const ob::Delivery& delivery) {
      throw std::runtime_error{"cannot " + std::string{delivery.type()}};
    } | quick_retry(2) | ob::dead_letter(dead));
    registered(f, failing);
    send(f, bus, topic, messages);
    eventually(
        f, [&] { return failing.stats().dead_lettered == messages.size(); },
        "all messages to be dead letters");
    drained(f, failing);
  }
  /// The payloads of the letters that stand there.
  std::vector<std::string> standing() {
    std::vector<std::string> payloads;
    const auto report = letters.scan([&](const ob::LetterView& letter) {
      payloads.emplace_back(letter.message.payload);
      return true;
    });
    ended_well(report);
    return payloads;
  }
  static void ended_well(const ob::LetterReport& report) {
    if (!report.ending) violated("a pass ended with: ", report.ending.error().message());
  }
};

template <class T>
std::multiset<T> sorted(const std::vector<T>& values) {
  return {values.begin(), values.end()};
}
/// Those payloads of which the key is this one, for `numbered`.
inline std::vector<std::string> of_key(const std::vector<ob::Message>& messages, const std::string& key) {
  std::vector<std::string> payloads;
  for (const auto& each : messages) {
    if (each.key == key) payloads.push_back(each.payload);
  }
  return payloads;
}
/// Of each key, these payloads came in the order in which they were sent.
inline void expect_order_within_keys(const std::vector<std::string>& came, std::size_t keys) {
  std::map<std::size_t, std::size_t> last;
  for (const auto& each : came) {
    const std::size_t number = std::stoul(each);
    std::size_t& before = last[number % keys];
    expect(before <= number, "letter ", number, " comes behind ", before, " of its key");
    before = number;
  }
}

template <class F>
void letters_are_looked_at_and_stay(F& f) {
  Morgue<F> morgue{f};
  auto sent = numbered(20, 4);
  for (std::size_t i = 0; i < sent.size(); ++i) {
    sent[i].id = "m-" + std::to_string(i);
    sent[i].type = i < 15 ? "add" : "subtract";
    sent[i].headers = {{"trace", "4bf9"}, {"twice", "1"}, {"twice", "2"}};
  }
  expect(morgue.standing().empty(), "there are letters before there were any");
  morgue.kill(sent);
  const auto all = morgue.standing();
  expect_equal(all.size(), sent.size(), "the number of letters");
  expect_order_within_keys(all, 4);
  const auto again = morgue.standing();
  expect(sorted(again) == sorted(all), "looked at again, the letters are others");
  expect_order_within_keys(again, 4);
  std::vector<std::string> pages;
  ob::LetterCursor next;
  for (std::size_t page = 0; page < 3; ++page) {
    const ob::LetterPage shown = morgue.letters.list(8, next).value();
    expect_equal(shown.letters.size(), page < 2 ? 8u : 4u, "the size of a page");
    for (const ob::Letter& each : shown.letters) pages.push_back(each.message.payload);
    next = shown.next;
  }
  expect(sorted(pages) == sorted(all), "the pages together are not the whole");
  expect_order_within_keys(pages, 4);
  const ob::Letter one = morgue.letters.find("m-17").value();
  expect_equal(one.message.payload, "17", "the payload of a letter");
  expect_equal(one.message.key, "key-1", "the key of a letter");
  expect_equal(one.message.headers.get("trace"), "4bf9", "a header of a letter");
  const ob::DeadLetter died = one.died();
  expect_equal(died.topic, morgue.topic, "where it came from");
  expect_equal(died.group, "g", "the group");
  expect_equal(died.attempts, 2u, "the attempts");
  expect(died.reason.find("cannot subtract") != std::string_view::npos, "the reason is ", died.reason);
  expect(!died.first_reason.empty() && !died.position.empty() && !died.partition.empty(),
         "the story is not whole");
  expect(died.time > ob::Time{} && died.first_time > ob::Time{} && died.first_time <= died.time,
         "the times are not told");
  expect(morgue.letters.find("m-99").error().code == ob::Errc::not_found, "it finds what is not there");
  std::map<std::string, std::uint64_t> counted;
  const auto counts = morgue.letters.count_by_reason().value();
  for (const auto& each : counts) {
    expect_equal(each.topic + " " + each.group + " " + each.code, morgue.topic + " g handler_failed",
                 "what was counted");
    const auto why = each.reason.find("cannot subtract") == std::string::npos ? "add" : "subtract";
    counted[why] += each.letters;
    expect(!each.example.empty(), "no example");
  }
  expect_equal(counts.size(), 2u, "the number of reasons");
  expect(counted == std::map<std::string, std::uint64_t>{{"add", 15}, {"subtract", 5}},
         "the reasons are not counted right");
  expect(sorted(morgue.standing()) == sorted(all), "after all this looking, the letters are others");
}

template <class F>
void one_letter_is_redriven_as_it_was(F& f) {
  Morgue<F> morgue{f};
  auto sent = numbered(10, 2);
  for (auto& each : sent) each.id = "m-" + each.payload;
  ob::Message& ill = sent[4];
  ill.type = "some.type";
  ill.payload = {"raw\0bytes\xff", 10};
  ill.headers = {{"trace", "4bf9"}, {"twice", "1"}, {"twice", "2"}};
  ill.headers.add("bytes", std::string{"\0\x01", 2});
  ill.time = ob::Time{std::chrono::seconds{1'700'000'000}};
  morgue.kill(sent);
  Inbox inbox;
  const auto healed = morgue.bus.subscribe(morgue.topic, inbox.handler());
  const auto report = morgue.letters.redrive_one("m-4");
  morgue.ended_well(report);
  expect_equal(report.done, 1u, "the number of redriven letters");
  inbox.wait_for(f, 1);
  const Got got = inbox.all().front();
  expect_equal(got.message.id, "m-4", "the id");
  expect_equal(got.message.key, ill.key, "the key");
  expect_equal(got.message.type, ill.type, "the type");
  expect(got.message.payload == ill.payload, "the payload was altered");
  expect(got.message.time == ill.time, "the time was altered");
  expect_equal(got.attempt, 1u, "the attempt");
  std::vector<std::string> names;
  std::string twice;
  for (const ob::Header each : got.message.headers) {
    names.emplace_back(each.name);
    if (each.name == "twice") twice.append(each.value);
  }
  expect(names == std::vector<std::string>{"trace", "twice", "twice", "bytes", "omnibus-redriven"},
         "the headers are others");
  expect_equal(twice, "12", "a header that stood twice");
  expect_equal(got.message.headers.get("bytes"), std::string_view("\0\x01", 2), "a header of bytes");
  expect(morgue.letters.redrive_one("m-4").ending.error().code == ob::Errc::not_found,
         "it is redriven twice");
  const auto left = morgue.standing();
  expect_equal(left.size(), 9u, "the number of letters that are left");
  expect_order_within_keys(left, 2);
  drained(f, healed);
  expect_equal(inbox.size(), 1u, "the number of redriven messages");
}

template <class F>
void a_key_is_redriven_in_order_and_others_stay(F& f) {
  Morgue<F> morgue{f};
  const auto sent = numbered(60, 5);
  morgue.kill(sent);
  Inbox inbox;
  const auto healed = morgue.bus.subscribe(morgue.topic, inbox.handler());
  const auto report = morgue.letters.redrive_key("key-3");
  morgue.ended_well(report);
  expect_equal(report.letters, 60u, "the number of letters");
  expect_equal(report.done, 12u, "the number of redriven letters");
  expect_equal(report.left, 48u, "the number of letters that are left");
  inbox.wait_for(f, 12);
  expect(inbox.payloads() == of_key(sent, "key-3"), "the key is not whole, or not in order");
  const auto left = morgue.standing();
  expect_equal(left.size(), 48u, "the number of letters that stand there");
  expect_order_within_keys(left, 5);
  // What was left is redriven in order as well, though others were settled in between.
  morgue.ended_well(morgue.letters.redrive_all());
  inbox.wait_for(f, 60);
  drained(f, healed);
  expect_exactly(inbox, sent);
  expect_order_within_keys(inbox.payloads(), 5);
}

template <class F>
void all_letters_are_redriven_in_order_within_keys(F& f) {
  Morgue<F> morgue{f};
  const auto sent = numbered(f.scale, 7);
  morgue.kill(sent);
  Inbox inbox;
  const auto healed = morgue.bus.subscribe(morgue.topic, inbox.handler());
  std::uint64_t told = 0;
  const auto report = morgue.letters.redrive_all({.progress = [&](const ob::LetterReport& so_far) {
    expect(so_far.done >= told && so_far.done <= so_far.letters, "the progress goes back");
    told = so_far.done;
    return true;
  }});
  morgue.ended_well(report);
  expect_equal(report.done, sent.size(), "the number of redriven letters");
  expect_equal(told, sent.size(), "the progress that was told last");
  inbox.wait_for(f, sent.size());
  drained(f, healed);
  expect_exactly(inbox, sent);
  expect_order_within_keys(inbox.payloads(), 7);
  expect(morgue.standing().empty(), "redriven letters are still there");
}

template <class F>
void letters_are_discarded_on_purpose_alone(F& f) {
  Morgue<F> morgue{f};
  auto sent = numbered(12, 3);
  for (auto& each : sent) each.id = "m-" + each.payload;
  morgue.kill(sent);
  Inbox inbox;
  const auto healed = morgue.bus.subscribe(morgue.topic, inbox.handler());
  const auto one = morgue.letters.discard_one("m-5");
  morgue.ended_well(one);
  expect_equal(one.done, 1u, "the number of discarded letters");
  const auto key = morgue.letters.discard(ob::letters_of_key("key-0"));
  morgue.ended_well(key);
  expect_equal(key.done, 4u, "the number of discarded letters");
  expect(sorted(morgue.standing()) == sorted<std::string>({"1", "2", "4", "7", "8", "10", "11"}),
         "other letters are left");
  morgue.ended_well(morgue.letters.redrive_all());
  inbox.wait_for(f, 7);
  drained(f, healed);
  expect_equal(inbox.size(), 7u, "the number of redriven messages");
}

template <class F>
void a_redrive_keeps_to_its_rate_and_its_limit(F& f) {
  Morgue<F> morgue{f};
  morgue.kill(numbered(30, 3));
  const auto start = Clock::now();
  const auto report = morgue.letters.redrive_all({.per_second = 40, .limit = 20});
  morgue.ended_well(report);
  expect_equal(report.done, 20u, "the number of redriven letters");
  expect(Clock::now() - start >= 350ms, "20 letters were redriven too fast, for 40 a second");
  expect_equal(morgue.standing().size(), 10u, "the number of letters that are left");
}

template <class F>
void a_letter_without_origin_is_shown_and_not_redriven(F& f) {
  Morgue<F> morgue{f};
  morgue.kill({message("0", "k")});
  ob::Message foreign = message("1", "k");
  foreign.id = "foreign";
  foreign.headers = {{"omnibus-dead-reason", "who knows"}, {"omnibus-dead-time", "99999999999999999"}};
  send(f, morgue.bus, morgue.dead, {foreign});
  Inbox inbox;
  const auto healed = morgue.bus.subscribe(morgue.topic, inbox.handler());
  const ob::Letter shown = morgue.letters.find("foreign").value();
  expect_equal(shown.message.payload, "1", "the payload of a foreign letter");
  const auto one = morgue.letters.redrive_one("foreign");
  expect(!one.ending, "a letter from nowhere was redriven");
  expect_equal(ob::to_string(one.ending.error().code), "invalid_argument", "the error");
  const auto all = morgue.letters.redrive_all();
  morgue.ended_well(all);
  expect_equal(all.done, 1u, "the number of redriven letters");
  expect_equal(all.without_origin, 1u, "the number of letters from nowhere");
  inbox.wait_for(f, "0");
  expect(morgue.standing() == std::vector<std::string>{"1"}, "the letter from nowhere is gone");
  expect_equal(morgue.letters.discard_one("foreign").done, 1u, "the number of discarded letters");
  expect(morgue.standing().empty(), "it is still there");
}

template <class F>
void what_fails_again_is_redriven_once(F& f) {
  Morgue<F> morgue{f};
  const auto sent = numbered(40, 4);
  morgue.kill(sent);
  std::atomic<std::size_t> calls = 0;
  const auto failing = morgue.bus.subscribe(morgue.topic, [&](const ob::Delivery&) {
    ++calls;
    throw std::runtime_error{"as before"};
  } | ob::dead_letter(morgue.dead));
  registered(f, failing);
  const auto report = morgue.letters.redrive_all();
  morgue.ended_well(report);
  expect_equal(report.done, sent.size(), "the number of redriven letters");
  eventually(
      f, [&] { return failing.stats().dead_lettered == sent.size(); }, "them to be letters again");
  drained(f, failing);
  expect_equal(calls.load(), sent.size(), "how often the handler ran");
  const auto left = morgue.standing();
  expect(sorted(left).size() == sent.size(), left.size(), " of ", sent.size(), " letters stand there");
  expect_order_within_keys(left, 4);
}

template <class F>
void a_pass_that_is_ended_early_goes_on_later(F& f) {
  Morgue<F> morgue{f};
  const auto sent = numbered(100, 5);
  morgue.kill(sent);
  Inbox inbox;
  const auto healed = morgue.bus.subscribe(morgue.topic, inbox.handler());
  std::uint64_t redriven = 0;
  for (int pass = 0; redriven < sent.size(); ++pass) {
    expect(pass < 100, "the passes get nowhere");
    const auto report = morgue.letters.redrive_all(
        {.window = 16, .progress = [](const ob::LetterReport& so_far) { return so_far.done < 20; }});
    morgue.ended_well(report);
    redriven += report.done;
  }
  inbox.wait_for(f, sent.size());
  drained(f, healed);
  expect_exactly(inbox, sent);
  expect_order_within_keys(inbox.payloads(), 5);
}

template <class F>
void what_is_refused_stays_with_its_key(F& f) {
  Morgue<F> morgue{f};
  const auto sent = numbered(44, 4);
  morgue.kill({sent.begin(), sent.begin() + 40});
  Inbox inbox;
  const auto healed = morgue.bus.subscribe(morgue.topic, inbox.handler());
  f.answer(morgue.topic, ob::Errc::rejected, 1);
  const auto report = morgue.letters.redrive_all();
  expect(!report.ending && report.ending.error().code == ob::Errc::rejected, "the refusal is not told");
  expect_equal(report.refused, 10u, "the letters of a key of which the first one was refused");
  expect_equal(report.done, 30u, "the number of redriven letters");
  expect_equal(morgue.standing().size(), 10u, "the number of letters that are left");
  morgue.ended_well(morgue.letters.redrive_all());
  expect(morgue.standing().empty(), "letters are left");
  // The first pass may have published what the second one repeats. The last message of each key comes behind
  // all that, and so tells that nothing of it is still on its way.
  send(f, morgue.bus, morgue.topic, std::vector(sent.begin() + 40, sent.end()));
  inbox.wait_for(f, sent.size());
  drained(f, healed);
  std::set<std::string> came;
  std::vector<std::string> last_times;
  const auto payloads = inbox.payloads();
  for (auto at = payloads.rbegin(); at != payloads.rend(); ++at) {
    if (came.insert(*at).second) last_times.insert(last_times.begin(), *at);
  }
  expect_order_within_keys(last_times, 4);
}

template <class F>
void an_unknown_ending_ends_the_pass_and_loses_nothing(F& f) {
  Morgue<F> morgue{f};
  const auto sent = numbered(40, 4);
  morgue.kill(sent);
  Inbox inbox;
  const auto healed = morgue.bus.subscribe(morgue.topic, inbox.handler());
  f.answer(morgue.topic, ob::Errc::outcome_unknown, 1);
  const auto report = morgue.letters.redrive_all();
  expect(!report.ending && report.ending.error().code == ob::Errc::outcome_unknown,
         "the unknown ending is not told");
  expect(report.done < sent.size(), "a letter was settled whose message nobody has confirmed");
  morgue.ended_well(morgue.letters.redrive_all());
  inbox.wait_for(f, sent.size());
  expect(morgue.standing().empty(), "letters are left");
}

template <class F>
void a_redriver_that_is_killed_loses_nothing(F& f) {
  Morgue<F> morgue{f};
  const auto sent = numbered(f.scale / 4, 5);
  morgue.kill(sent);
  Inbox inbox;
  const auto healed = morgue.bus.subscribe(morgue.topic, inbox.handler());
  constexpr std::size_t window = 32;
  std::size_t lives = 0;
  for (bool over = false; !over; ++lives) {
    expect(lives < 20, "the redrive does not come to its end");
    Bus<F> bus{f.config()};
    ob::DeadLetters letters{bus, morgue.dead};
    const bool dies = lives < 3;
    const auto report = letters.redrive_all({.quiet = f.takeover + 2s,
                                             .patience = dies ? 1s : f.deadline,
                                             .window = window,
                                             .progress = [&](const ob::LetterReport& so_far) {
                                               if (dies && so_far.done > 20) f.crash(bus);
                                               return true;
                                             }});
    over = !dies && report.ending.has_value();
  }
  inbox.wait_for(f, sent.size());
  drained(f, healed);
  expect(inbox.size() <= sent.size() + 3 * 2 * window, inbox.size() - sent.size(),
         " letters came twice, more than were unsettled");
  expect(morgue.standing().empty(), "letters are left");
}

/// Order::parked keeps its promise to the end: what was parked comes back in order, before what is newer.
template <class F>
void a_parked_key_is_restored_in_order(F& f) {
  Morgue<F> morgue{f};
  std::atomic<bool> sick = true;
  Inbox inbox;
  const auto subscription = morgue.bus.subscribe(morgue.topic,
                                                 [&](const ob::Delivery& delivery) -> ob::Result<> {
                                                   if (sick && delivery.payload() == "5") return ob::permanent("no");
                                                   inbox.add(delivery);
                                                   return {};
                                                 } | ob::dead_letter(morgue.dead),
                                                 {.concurrency = 3, .order = ob::parked});
  registered(f, subscription);
  const auto sent = numbered(60, 4);  // 5 is of key-1
  send(f, morgue.bus, morgue.topic, std::vector(sent.begin(), sent.begin() + 40));
  inbox.wait_for(f, 31);
  drained(f, subscription);
  expect_equal(subscription.stats().dead_lettered, 9u, "the number of dead letters");
  sick = false;
  morgue.ended_well(morgue.letters.redrive_all());
  inbox.wait_for(f, 40);
  send(f, morgue.bus, morgue.topic, std::vector(sent.begin() + 40, sent.end()));
  inbox.wait_for(f, sent.size());
  drained(f, subscription);
  std::vector<std::string> of_sick;
  for (const Got& got : inbox.all()) {
    if (got.message.key == "key-1") of_sick.push_back(got.message.payload);
  }
  expect(of_sick == of_key(sent, "key-1"), "a parked key was not restored in order");
  expect(morgue.standing().empty(), "letters are left");
}

template <class F>
void add_letters_cases(Suite<F>& suite) {
  constexpr unsigned needs = Need::keeps | Need::groups | Need::order;
  suite.template add<needs>("dead letters are listed in pages, found and counted, and they stay",
                            [](auto& f) { letters_are_looked_at_and_stay(f); });
  suite.template add<needs>("one dead letter is redriven as the message that it was",
                            [](auto& f) { one_letter_is_redriven_as_it_was(f); });
  suite.template add<needs>("the dead letters of a key are redriven in order, and others stay in order",
                            [](auto& f) { a_key_is_redriven_in_order_and_others_stay(f); });
  suite.template add<needs>("all dead letters are redriven, in order within their keys, with progress",
                            [](auto& f) { all_letters_are_redriven_in_order_within_keys(f); });
  suite.template add<needs>("dead letters are discarded on purpose alone",
                            [](auto& f) { letters_are_discarded_on_purpose_alone(f); });
  suite.template add<needs>("a redrive keeps to its rate and its limit",
                            [](auto& f) { a_redrive_keeps_to_its_rate_and_its_limit(f); });
  suite.template add<needs>("a dead letter that does not say where it came from is shown, not redriven",
                            [](auto& f) { a_letter_without_origin_is_shown_and_not_redriven(f); });
  suite.template add<needs>("a redriven message that fails again is not redriven by the same pass",
                            [](auto& f) { what_fails_again_is_redriven_once(f); });
  suite.template add<needs>("a redrive that is ended early goes on where it was",
                            [](auto& f) { a_pass_that_is_ended_early_goes_on_later(f); });
  suite.template add<needs>("a parked key is restored in order by a redrive, before what is newer",
                            [](auto& f) { a_parked_key_is_restored_in_order(f); });
  suite.template add<needs | Need::answers>("a dead letter whose message is refused stays, with its key",
                                            [](auto& f) { what_is_refused_stays_with_its_key(f); });
  suite.template add<needs | Need::answers>(
      "a redrive with an unknown ending loses nothing",
      [](auto& f) { an_unknown_ending_ends_the_pass_and_loses_nothing(f); });
  suite.template add<needs | Need::crash>("a redriver that is killed loses nothing",
                                          [](auto& f) { a_redriver_that_is_killed_loses_nothing(f); });
}

}  // namespace conformance
