// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tools.hpp"

// Several messages at once: `publish_all` tells one ending of many, and `publish_atomic`, where the backend
// has it, lets readers see all of a batch or nothing.

namespace conformance {

/// A batch for these topics in turn, three messages at a time: payloads "<name>:0", "<name>:1" ...
inline ob::MessageBatch batch_for(const std::vector<std::string>& topics, std::size_t count,
                                  const std::string& name, const std::string& key) {
  ob::MessageBatch batch;
  for (std::size_t i = 0; i < count; ++i) {
    batch.add(topics[i / 3 % topics.size()], message(name + ":" + std::to_string(i), key)).value();
  }
  return batch;
}
/// What one of the topics gets of it.
inline std::vector<std::string> payloads_for(const ob::MessageBatch& batch, const std::string& topic) {
  std::vector<std::string> payloads;
  for (const auto& each : batch) {
    if (each.topic == topic) payloads.push_back(each.message.payload);
  }
  return payloads;
}

/// A topic and its reader.
template <class F>
struct Read {
  std::string topic;
  Inbox inbox;
  ob::Subscription subscription;

  Read(F& f, Bus<F>& bus) : topic{f.topic()}, subscription{bus.subscribe(topic, inbox.handler())} {
    registered(f, subscription);
  }
  void expect_payloads(F& f, const std::vector<std::string>& should, const char* what) {
    inbox.wait_for(f, should.size());
    drained(f, subscription);
    expect(inbox.payloads() == should, what);
  }
};

template <class F>
void a_batch_arrives_in_all_its_topics(F& f) {
  Bus<F> bus{f.config()};
  Read<F> a{f, bus};
  Read<F> b{f, bus};
  auto batch = batch_for({a.topic, b.topic}, 40, "m", "k");
  const auto published = bus.publish_all(batch);
  if (!published) violated("publish_all failed: ", published.error().message());
  expect_equal(published->size(), batch.size(), "the number of receipts");
  a.expect_payloads(f, payloads_for(batch, a.topic), "the batch did not arrive in order");
  b.expect_payloads(f, payloads_for(batch, b.topic), "the batch did not arrive in order");
  if (const auto again = bus.publish_all(batch); !again) violated("again: ", again.error().message());
  const std::size_t twice = 2 * payloads_for(batch, a.topic).size();
  a.inbox.wait(f, [&](const std::vector<Got>& got) { return got.size() == twice; }, "the batch again");
  const auto got = a.inbox.all();
  for (std::size_t i = 0; i < twice / 2; ++i) {
    expect_equal(got[twice / 2 + i].message.id, got[i].message.id, "the id of what is published again");
  }
  ob::MessageBatch nothing_at_all;
  expect(bus.publish_all(nothing_at_all).has_value(), "an empty batch failed");
}

template <class F>
void a_batch_has_its_worst_ending(F& f) {
  Bus<F> bus{f.config()};
  Read<F> a{f, bus};
  Read<F> b{f, bus};
  auto batch = batch_for({a.topic, b.topic}, 6, "m", "k");
  const auto expect_ending = [&](ob::Errc code, const char* counts) {
    const auto ending = bus.publish_all(batch);
    expect(!ending, "a batch of which one message failed was called ok");
    expect_equal(to_string(ending.error().code), to_string(code), "the ending");
    expect(ending.error().context.starts_with(counts), "the error says: ", ending.error().context);
  };
  f.answer(b.topic, ob::Errc::rejected, 1);
  expect_ending(ob::Errc::rejected, "of 6 messages 5 were published, 1 failed, 0 have");
  f.answer(b.topic, ob::Errc::rejected, 2);
  f.answer(a.topic, ob::Errc::outcome_unknown, 1);
  expect_ending(ob::Errc::outcome_unknown, "of 6 messages 3 were published, 2 failed, 1 have");
  if (const auto last = bus.publish_all(batch); !last) violated("again: ", last.error().message());
  b.inbox.wait_for(f, 3);
}

template <class F>
void a_malformed_message_keeps_its_batch_back(F& f) {
  Bus<F> bus{f.config()};
  Read<F> a{f, bus};
  auto batch = batch_for({a.topic}, 4, "m", "k");
  batch.add(a.topic, message("malformed", std::string(2000, 'k'))).value();
  const auto expect_refused = [&](const auto& ending) {
    expect(!ending, "a malformed message was taken");
    expect_equal(to_string(ending.error().code), "too_large", "the code");
    expect(ending.error().context.starts_with("message 4 of the batch"), ending.error().context);
  };
  expect_refused(bus.publish_all(batch));
  if constexpr (F::Backend::capabilities.atomic_publish) expect_refused(bus.publish_atomic(batch));
  send(f, bus, a.topic, "sentinel", "k");
  a.expect_payloads(f, {"sentinel"}, "something of a batch was sent that was refused");
}

template <class F>
void an_atomic_batch_arrives(F& f) {
  Bus<F> bus{f.config()};
  Read<F> a{f, bus};
  Read<F> b{f, bus};
  auto batch = batch_for({a.topic, b.topic}, 40, "m", "k");
  const auto published = bus.publish_atomic(batch);
  if (!published) violated("publish_atomic failed: ", published.error().message());
  expect_equal(published->size(), batch.size(), "the number of receipts");
  a.expect_payloads(f, payloads_for(batch, a.topic), "the batch did not arrive in order");
  b.expect_payloads(f, payloads_for(batch, b.topic), "the batch did not arrive in order");
  std::map<std::string, ob::Receipt> receipts;
  for (std::size_t i = 0; i < batch.size(); ++i) receipts[batch[i].message.id] = (*published)[i];
  for (const Got& each : a.inbox.all()) {
    const ob::Receipt& receipt = receipts[each.message.id];
    expect_equal(each.partition, receipt.partition, "the partition");
    expect(each.position == receipt.position, "a message is not where its receipt says");
  }
  ob::MessageBatch nothing_at_all;
  expect(bus.publish_atomic(nothing_at_all).has_value(), "an empty batch failed");
  expect(bus.close(f.deadline).has_value(), "close failed");
  const auto closed = bus.publish_atomic(batch);
  expect(!closed && closed.error().code == ob::Errc::closed, "a batch was taken after close");
}

template <class F>
void of_an_atomic_batch_that_fails_nothing_stands(F& f) {
  Bus<F> bus{f.config()};
  Read<F> a{f, bus};
  Read<F> b{f, bus};
  auto refused = batch_for({a.topic, b.topic}, 6, "refused", "k");
  f.answer(b.topic, ob::Errc::rejected, 1);
  const auto ending = bus.publish_atomic(refused);
  expect(!ending && ending.error().code == ob::Errc::rejected, "a refused batch has another ending");
  auto unknown = batch_for({a.topic, b.topic}, 6, "unknown", "k");
  f.answer(b.topic, ob::Errc::outcome_unknown, 1);
  const auto second = bus.publish_atomic(unknown);
  expect(!second && second.error().code == ob::Errc::outcome_unknown, "unknown was called something else");
  const auto expect_whole = [&](Read<F>& at) {
    send(f, bus, at.topic, "sentinel", "k");
    at.inbox.wait_for(f, "sentinel");
    auto should = payloads_for(unknown, at.topic);
    should.push_back("sentinel");
    auto got = at.inbox.payloads();
    const bool nothing_stands = got.size() == 1;
    expect(nothing_stands || got == should, "a part of a batch stands");
    return nothing_stands;
  };
  const bool none_in_a = expect_whole(a);
  expect_equal(expect_whole(b), none_in_a, "whether an unknown batch stands in its second topic");
}

/// Batches of several threads, of one key: whatever is read, a batch is whole, and nothing is between.
template <class F>
void atomic_batches_are_never_torn(F& f) {
  Bus<F> bus{f.config()};
  Read<F> a{f, bus};
  Read<F> b{f, bus};
  constexpr std::size_t threads = 4;
  constexpr std::size_t size = 12;
  const std::size_t each = f.scale / (threads * size) + 1;
  std::atomic<std::size_t> failed = 0;
  std::vector<std::thread> publishers;
  for (std::size_t t = 0; t < threads; ++t) {
    publishers.emplace_back([&, t] {
      // In either order of the topics, so that those who lock them one after the other meet.
      const std::vector topics{t % 2 == 0 ? a.topic : b.topic, t % 2 == 0 ? b.topic : a.topic};
      for (std::size_t i = 0; i < each; ++i) {
        auto batch = batch_for(topics, size, std::to_string(t) + "/" + std::to_string(i), "k");
        if (!bus.publish_atomic(batch)) ++failed;
      }
    });
  }
  for (auto& thread : publishers) thread.join();
  expect_equal(failed.load(), 0u, "the number of batches that failed");
  for (Read<F>* read : {&a, &b}) {
    read->inbox.wait_for(f, threads * each * size / 2);
    const auto got = read->inbox.payloads();
    expect_equal(got.size(), threads * each * size / 2, "the number of messages");
    std::map<std::string, std::size_t> next;  // of each thread
    for (std::size_t begin = 0; begin < got.size(); begin += size / 2) {
      const auto name_of = [](const std::string& payload) { return payload.substr(0, payload.find(':')); };
      const std::string name = name_of(got[begin]);
      for (std::size_t i = begin; i < begin + size / 2; ++i) {
        expect_equal(name_of(got[i]), name, "what stands in the middle of a batch");
      }
      const std::string thread = name.substr(0, name.find('/'));
      expect_equal(name, thread + "/" + std::to_string(next[thread]++), "the next batch of its thread");
    }
  }
}

template <class F>
void an_atomic_batch_waits_for_room(F& f) {
  const auto topic = f.topic();
  const auto other = f.topic();
  Bus<F> bus{f.small_config("g")};
  Gate gate;
  Inbox inbox;
  Inbox of_other;
  const auto subscription = bus.subscribe(topic,
                                          [&](const ob::Delivery& delivery) {
                                            gate.pass();
                                            inbox.add(delivery);
                                          },
                                          {.window = 4});
  const auto second = bus.subscribe(other, of_other.handler());
  const Opener at_end{gate};
  registered(f, subscription);
  registered(f, second);
  std::size_t stored = 0;
  while (bus.publish(topic, std::string(1000, 'x'), {.wait_for_room = false})) {
    expect(++stored < 10'000, "the window is not bounded");
  }
  ob::MessageBatch batch;
  batch.add(other, message("first")).value();
  for (int i = 0; i < 5; ++i) batch.add(topic, message(std::string(1000, 'y'))).value();
  const auto expect_full = [&](const auto& ending) {
    expect(!ending && ending.error().code == ob::Errc::window_full, "a full window took a batch");
  };
  expect_full(bus.publish_atomic(batch, {.wait_for_room = false}));
  const auto start = Clock::now();
  expect_full(bus.publish_atomic(batch, {.timeout = 30ms}));
  expect(Clock::now() - start >= 30ms, "a full window did not wait until the deadline");
  std::thread opener{[&] { gate.open(); }};
  const auto waited = bus.publish_atomic(batch, {.timeout = f.deadline});
  opener.join();
  if (!waited) violated("the window did not open again: ", waited.error().message());
  send(f, bus, other, "sentinel");
  of_other.wait_for(f, "sentinel");
  expect_equal(of_other.size(), 2u, "the number of messages, of batches that failed as well");
  inbox.wait_for(f, stored + 5);
  expect_equal(inbox.size(), stored + 5, "the number of messages");
}

template <class F>
void add_together_cases(Suite<F>& suite) {
  suite.template add<order>("a batch arrives in all its topics in order, and again with the same ids",
                            [](auto& f) { a_batch_arrives_in_all_its_topics(f); });
  suite.template add<answers>("a batch has the worst of its endings and says how many had which",
                              [](auto& f) { a_batch_has_its_worst_ending(f); });
  suite.template add<nothing>("of a batch with a malformed message nothing is sent",
                              [](auto& f) { a_malformed_message_keeps_its_batch_back(f); });
  suite.template add<atomic | order>("an atomic batch arrives in order, where its receipts say",
                                     [](auto& f) { an_atomic_batch_arrives(f); });
  suite.template add<atomic | answers>("of an atomic batch that fails nothing stands, or all of it",
                                       [](auto& f) { of_an_atomic_batch_that_fails_nothing_stands(f); });
  suite.template add<atomic | order>("atomic batches of several threads are never torn",
                                     [](auto& f) { atomic_batches_are_never_torn(f); });
  suite.template add<atomic | small>("an atomic batch finds room for all of it, or takes none",
                                     [](auto& f) { an_atomic_batch_waits_for_room(f); });
}

}  // namespace conformance
