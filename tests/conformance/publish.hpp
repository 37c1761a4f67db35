// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tools.hpp"

// Contract 1: publish has three endings, each exactly once; what is acknowledged arrives as it was.

namespace conformance {

/// Messages that are hard to carry.
inline std::vector<ob::Message> difficult_messages() {
  std::vector<ob::Message> all;
  all.push_back(message("plain", "k"));
  all.push_back(message("", "empty payload"));
  all.push_back(message("without a key"));
  all.push_back(message(std::string{"zero\0in\0side", 12}, "zeros"));
  std::string every_byte;
  for (int i = 0; i < 256; ++i) every_byte.push_back(static_cast<char>(i));
  all.push_back(message(every_byte, every_byte.substr(1)));
  all.push_back(message(std::string(200'000, 'x'), "large"));
  all.push_back(message("\xff\xfe no utf-8", "\xc3\x28"));
  auto with_headers = message("headers", "h");
  with_headers.headers = {{"trace", "4bf9"}, {"Twice", "1"}, {"Twice", "2"}, {"empty", ""}};
  with_headers.headers.add("bytes", every_byte).add("x-long", std::string(8000, 'v'));
  all.push_back(with_headers);
  auto typed = message("typed", "t");
  typed.type = "order.placed";
  typed.id = "an-id-of-its-own";
  typed.time = ob::Time{std::chrono::milliseconds{1'700'000'000'123}};
  typed.sequence = {7, 41};
  all.push_back(typed);
  return all;
}

inline std::string headers_text(const ob::Message& message) {
  std::string text;
  for (const ob::Header each : message.headers) {
    text.append(each.name).append("=").append(each.value).append("\n");
  }
  return text;
}

template <class F>
void messages_arrive_as_they_were(F& f) {
  const auto topic = f.topic();
  Bus<F> bus{f.config()};
  Inbox inbox;
  const auto subscription = bus.subscribe(topic, inbox.handler());
  registered(f, subscription);
  const auto sent = difficult_messages();
  const auto before = std::chrono::system_clock::now() - 1s;
  send(f, bus, topic, sent);
  inbox.wait_for(f, sent.size());
  std::set<std::string> ids;
  for (const Got& got : inbox.all()) {
    const auto& is = got.message;
    const auto found = std::find_if(sent.begin(), sent.end(), [&](const ob::Message& each) {
      return each.payload == is.payload && each.key == is.key;
    });
    if (found == sent.end()) violated("a payload or a key was altered; key: ", is.key);
    expect_equal(is.type, found->type, "the type");
    expect_equal(headers_text(is), headers_text(*found), "the headers");
    expect(!is.id.empty() && ids.insert(is.id).second, "an id is empty or not unique");
    expect(found->id.empty() || is.id == found->id, "the id that was given was altered");
    expect(is.sequence == found->sequence, "the sequence was altered");
    expect(found->time == ob::Time{} ? is.time >= before : is.time == found->time,
           "the time was altered");
    expect_equal(got.topic, topic, "the topic");
    expect_equal(got.attempt, 1u, "the attempt of a first delivery");
    expect(!got.redelivered, "a first delivery says that it is none");
  }
  expect_exactly(inbox, sent);
}

template <class F>
void what_waited_arrives(F& f) {
  const auto topic = f.topic();
  Bus<F> bus{f.config()};
  const auto sent = numbered(100, 10);
  send(f, bus, topic, sent, {.headers = {{"kind", "test"}}});
  Inbox inbox;
  const auto subscription = bus.subscribe(topic, inbox.handler(), {.concurrency = 4});
  inbox.wait_for(f, sent.size());
  drained(f, subscription);
  expect_exactly(inbox, sent);
  for (const Got& got : inbox.all()) {
    expect_equal(got.message.headers.get("kind"), "test", "a header");
  }
}

template <class F>
void endings_come_exactly_once(F& f) {
  const auto topic = f.topic();
  Bus<F> bus{f.config()};
  constexpr std::size_t threads = 4;
  const std::size_t each = f.scale / threads;
  const auto endings = std::make_shared<Endings>(threads * each);
  std::vector<std::thread> publishers;
  for (std::size_t t = 0; t < threads; ++t) {
    publishers.emplace_back([&, t] {
      for (std::size_t i = t * each; i < (t + 1) * each; ++i) {
        bus.publish_async(topic, message(std::to_string(i), "k" + std::to_string(i % 50)),
                          Endings::completion(endings, i));
      }
    });
  }
  for (auto& thread : publishers) thread.join();
  endings->wait(f);
  expect(bus.close(f.deadline).has_value(), "close failed");
  std::lock_guard lock{endings->mutex};
  for (std::size_t i = 0; i < endings->calls.size(); ++i) {
    expect_equal(endings->calls[i], 1, "the number of endings of publish ", i);
    if (!*endings->results[i]) violated("publish failed: ", endings->results[i]->error().message());
  }
}

template <class F>
void blocking_publish_ends_in_time(F& f) {
  const auto topic = f.topic();
  Bus<F> bus{f.config()};
  for (int i = 0; i < 20; ++i) {
    const auto start = Clock::now();
    const auto result = bus.publish(topic, "event", {.timeout = f.deadline});
    expect(Clock::now() - start < f.deadline + 500ms, "a publish blocked past its timeout");
    if (!result) violated("publish failed: ", result.error().message());
  }
}

template <class F>
void acknowledged_means_stored(F& f) {
  const auto topic = f.topic();
  Inbox inbox;
  const auto sent = numbered(f.scale, 20);
  {
    Bus<F> publisher{f.config()};
    send(f, publisher, topic, sent);
    Bus<F> keeper{f.config()};  // so that a broker in this process outlives the publisher
    expect(publisher.close(f.deadline).has_value(), "close failed");
    const auto subscription = keeper.subscribe(topic, inbox.handler(), {.concurrency = 2});
    inbox.wait_for(f, sent.size());
  }
  expect_exactly(inbox, sent);
}

template <class F>
void batches_have_one_ending_each(F& f) {
  const auto topic = f.topic();
  Bus<F> bus{f.config()};
  Inbox inbox;
  const auto subscription = bus.subscribe(topic, inbox.handler());
  registered(f, subscription);
  auto batch = numbered(50, 1);
  batch[7].key = std::string(2000, 'k');
  batch[23].headers.add("not a name", "x");
  const auto results = bus.publish_batch(topic, std::span<const ob::Message>{batch});
  expect_equal(results.size(), batch.size(), "the number of endings");
  for (std::size_t i = 0; i < results.size(); ++i) {
    if (i == 7 || i == 23) {
      expect(!results[i], "a malformed message was taken");
      expect_equal(to_string(results[i].error().code),
                   to_string(i == 7 ? ob::Errc::too_large : ob::Errc::invalid_argument),
                   "the code");
    } else if (!results[i]) {
      violated("message ", i, " failed: ", results[i].error().message());
    }
  }
  std::vector<std::string> should;
  for (std::size_t i = 0; i < batch.size(); ++i) {
    if (i != 7 && i != 23) should.push_back(batch[i].payload);
  }
  inbox.wait_for(f, should.size());
  expect(inbox.payloads() == should, "the batch did not arrive in order");
  expect(bus.publish_batch(topic, std::span<const ob::Message>{}).empty(),
         "an empty batch has endings");
}

template <class F>
void flush_waits_for_all_endings(F& f) {
  const auto topic = f.topic();
  Bus<F> bus{f.config()};
  for (int round = 0; round < 3; ++round) {
    const auto endings = std::make_shared<Endings>(50);
    for (std::size_t i = 0; i < 50; ++i) {
      bus.publish_async(topic, message(std::to_string(i), "k"), Endings::completion(endings, i));
    }
    expect(bus.flush(f.deadline).has_value(), "flush failed");
    std::lock_guard lock{endings->mutex};
    expect_equal(endings->ended, 50u, "the number of endings after flush");
  }
}

template <class F>
void malformed_is_refused_before_it_is_sent(F& f) {
  const auto topic = f.topic();
  Bus<F> bus{f.config()};
  const auto refused = [&](const char* what, const std::string& to, const ob::Message& bad,
                           ob::Errc code) {
    const auto result = try_send(f, bus, to, {bad}).front();
    expect(!result, what, " was taken");
    expect_equal(to_string(result.error().code), to_string(code), "the code for ", what);
    expect(!result.error().retryable, what, " is said to be worth a retry");
  };
  refused("a huge key", topic, message("x", std::string(1025, 'k')), ob::Errc::too_large);
  refused("a huge payload", topic, message(std::string((1 << 20) + 1, 'x')), ob::Errc::too_large);
  auto many = message("x");
  for (int i = 0; i < 65; ++i) many.headers.add("h" + std::to_string(i), "v");
  refused("65 headers", topic, many, ob::Errc::too_large);
  auto odd = message("x");
  odd.headers.add("", "v");
  refused("a header without a name", topic, odd, ob::Errc::invalid_argument);
  refused("an empty topic", "", message("x"), ob::Errc::invalid_argument);
  refused("a topic with a blank", "a b", message("x"), ob::Errc::invalid_argument);
  refused("a topic with a slash", "a/b", message("x"), ob::Errc::invalid_argument);
  send(f, bus, topic, message("x", std::string(1024, 'k')).payload);
}

template <class F>
void publishing_after_close_ends_in_closed(F& f) {
  const auto topic = f.topic();
  Bus<F> bus{f.config()};
  send(f, bus, topic, "before");
  expect(bus.close(f.deadline).has_value(), "close failed");
  const auto is_closed = [](const ob::Result<ob::Receipt>& result) {
    expect(!result, "a publish after close was taken");
    expect_equal(to_string(result.error().code), "closed", "the code after close");
  };
  is_closed(try_send(f, bus, topic, {message("async")}).front());
  is_closed(bus.publish(topic, "sync"));
  const std::array batch{message("b1"), message("b2")};
  for (const auto& each : bus.publish_batch(topic, std::span<const ob::Message>{batch})) {
    is_closed(each);
  }
  expect(bus.close(f.deadline).has_value(), "the second close failed");
}

template <class F>
void a_full_window_says_so_or_blocks(F& f) {
  const auto topic = f.topic();
  Bus<F> bus{f.small_config("g")};
  Gate gate;
  Inbox inbox;
  const auto subscription = bus.subscribe(topic,
                                          [&](const ob::Delivery& delivery) {
                                            gate.pass();
                                            inbox.add(delivery);
                                          },
                                          {.window = 4});
  const Opener at_end{gate};
  registered(f, subscription);
  const auto publish = [&](ob::Duration timeout, bool wait) {
    return bus.publish(topic, std::string(1000, 'x'), {.timeout = timeout, .wait_for_room = wait});
  };
  std::size_t stored = 0;
  while (true) {
    const auto start = Clock::now();
    const auto result = publish(f.deadline / 2, false);
    expect(Clock::now() - start < f.deadline / 4, "a publish that must not wait waited");
    if (!result) {
      expect_equal(to_string(result.error().code), "window_full", "the code of a full window");
      break;
    }
    expect(++stored < 10'000, "the window is not bounded");
  }
  const auto start = Clock::now();
  const auto late = publish(30ms, true);
  expect(!late && late.error().code == ob::Errc::window_full, "a full window took a message");
  expect(Clock::now() - start >= 30ms, "a full window did not wait until the deadline");
  std::optional<ob::Result<ob::Receipt>> waited;
  std::thread waiter{[&] { waited.emplace(publish(f.deadline, true)); }};
  gate.open();
  const auto opened = Clock::now();
  waiter.join();
  expect(Clock::now() - opened < f.deadline / 2, "who waited for room was not told of it");
  if (!*waited) violated("the window did not open again: ", waited->error().message());
  inbox.wait_for(f, stored + 1);
}

template <class F>
void three_endings_stay_three(F& f) {
  const auto topic = f.topic();
  Bus<F> bus{f.config()};
  Inbox inbox;
  const auto subscription = bus.subscribe(topic, inbox.handler());
  registered(f, subscription);
  const auto codes_of = [&](ob::Errc code) {
    f.answer(topic, code, 4);
    for (const auto& each : try_send(f, bus, topic, numbered(4, 1))) {
      expect(!each, "a publish without a confirmation was reported as ok");
      expect_equal(to_string(each.error().code), to_string(code), "the ending");
    }
  };
  codes_of(ob::Errc::rejected);
  codes_of(ob::Errc::unroutable);
  codes_of(ob::Errc::unavailable);
  send(f, bus, topic, "sentinel", "key-0");
  inbox.wait_for(f, "sentinel");
  expect_equal(inbox.size(), 1u, "the number of messages after refused ones");
  codes_of(ob::Errc::outcome_unknown);
}

template <class F>
void closing_a_publisher_loses_nothing(F& f) {
  const auto topic = f.topic();
  Bus<F> reader{f.config()};
  Inbox inbox;
  const auto subscription = reader.subscribe(topic, inbox.handler(), {.concurrency = 2});
  registered(f, subscription);
  const std::size_t count = f.scale;
  const auto endings = std::make_shared<Endings>(count);
  {
    Bus<F> publisher{f.config()};
    for (std::size_t i = 0; i < count; ++i) {
      publisher.publish_async(topic, message(std::to_string(i), "k" + std::to_string(i % 9)),
                              Endings::completion(endings, i));
    }
    expect(publisher.close(f.deadline).has_value(), "close failed");
    std::lock_guard lock{endings->mutex};
    expect_equal(endings->ended, count, "the number of endings after close");
  }
  std::vector<ob::Message> accepted;
  for (std::size_t i = 0; i < count; ++i) {
    if (*endings->results[i]) accepted.push_back(message(std::to_string(i)));
  }
  expect_equal(accepted.size(), count, "the number of messages accepted before close");
  inbox.wait_for(f, accepted.size());
  expect_exactly(inbox, accepted);
}

template <class F>
void add_publish_cases(Suite<F>& suite) {
  suite.template add<nothing>("a message arrives with its bytes, key, headers, id, type and time",
                              [](auto& f) { messages_arrive_as_they_were(f); });
  suite.template add<keeps>("what was published before anyone subscribed arrives",
                            [](auto& f) { what_waited_arrives(f); });
  suite.template add<nothing>("every publish ends exactly once, whatever the thread",
                              [](auto& f) { endings_come_exactly_once(f); });
  suite.template add<nothing>("a blocking publish has its ending within its timeout",
                              [](auto& f) { blocking_publish_ends_in_time(f); });
  suite.template add<keeps>("what was acknowledged arrives, though its publisher has closed",
                            [](auto& f) { acknowledged_means_stored(f); });
  suite.template add<order>("a batch has one ending for each message and keeps its order",
                            [](auto& f) { batches_have_one_ending_each(f); });
  suite.template add<nothing>("flush returns when everything before it has its ending",
                              [](auto& f) { flush_waits_for_all_endings(f); });
  suite.template add<nothing>("what is malformed or too large is refused and says what is wrong",
                              [](auto& f) { malformed_is_refused_before_it_is_sent(f); });
  suite.template add<nothing>("publishing after close ends in closed",
                              [](auto& f) { publishing_after_close_ends_in_closed(f); });
  suite.template add<small>("a full window fails at once on request, else blocks until a deadline",
                            [](auto& f) { a_full_window_says_so_or_blocks(f); });
  suite.template add<answers>("refused and unknown are told apart and never called ok",
                              [](auto& f) { three_endings_stay_three(f); });
  suite.template add<nothing>("closing a publisher loses nothing that it took",
                              [](auto& f) { closing_a_publisher_loses_nothing(f); });
}

}  // namespace conformance
