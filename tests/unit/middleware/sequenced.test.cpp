// SPDX-License-Identifier: MIT
#include <omnibus/middleware/retry.hpp>
#include <omnibus/middleware/sequenced.hpp>

#include <string>
#include <vector>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;

namespace {

/// What `deliver` says of a delivery besides its number.
struct How {
  std::string key = "k";
  std::uint32_t attempts = 0;
  std::uint64_t generation = 1;
  std::string topic = "orders";
};

/// A handler behind a stage that watches, and what they were told.
struct Bench {
  FakeContext context;
  SequenceTracker tracker;
  std::vector<Sequence> handled;
  std::vector<SequenceReport> heard;

  void deliver(Sequence number, const How& how = {}) {
    auto pipeline = detail::compose([this](const Delivery& delivery) {
      handled.push_back(delivery.sequence());
    } | sequenced(tracker, [this](const Delivery&, const SequenceReport& report) {
      heard.push_back(report);
    }));
    Message message = message_of("id", how.key);
    message.sequence = number;
    const MessageView view = message.view();
    Delivery delivery{Incoming{&view, how.topic, 0, {}, how.attempts, 1}, context, how.generation};
    CHECK(pipeline(delivery));
  }
};

}  // namespace

TEST_CASE("sequenced reports a gap, a repetition and a stale producer, and all are handled") {
  Bench bench;
  const std::vector<Sequence> sent{{3, 4}, {3, 5}, {3, 8}, {3, 7}, {4, 0}, {3, 9}, {4, 1}};
  for (const Sequence& each : sent) bench.deliver(each);
  CHECK(bench.handled == sent);
  REQUIRE(bench.heard.size() == 3);
  CHECK(bench.heard[0].finding == SequenceFinding::gap);
  CHECK(bench.heard[0].missing == 2);
  CHECK(bench.heard[0].expected == Sequence{3, 6});
  CHECK(bench.heard[1].finding == SequenceFinding::repeated);
  CHECK(bench.heard[1].got == Sequence{3, 7});
  CHECK(bench.heard[2].finding == SequenceFinding::stale);
  CHECK(bench.context.count(DeliveryEvent::out_of_sequence) == 3);
  const SequenceCounts counts = bench.tracker.counts();
  CHECK(counts.gaps == 1);
  CHECK(counts.missing == 2);
  CHECK(counts.repeated == 1);
  CHECK(counts.stale == 1);
}

TEST_CASE("keys, topics and groups have numbers of their own") {
  Bench bench;
  bench.deliver({3, 4});
  bench.deliver({3, 9}, {.key = "another"});
  bench.deliver({3, 9}, {.topic = "payments"});
  bench.context.name = "shipping";
  bench.deliver({3, 9});
  CHECK(bench.heard.empty());
}

TEST_CASE("what has no number or no key is handled as if nobody watched") {
  Bench bench;
  for (int i = 0; i < 3; ++i) bench.deliver({});
  for (int i = 0; i < 3; ++i) bench.deliver({3, 4}, {.key = ""});
  CHECK(bench.handled.size() == 6);
  CHECK(bench.heard.empty());
}

TEST_CASE("a redelivery is no repetition, and does not turn the number back") {
  Bench bench;
  bench.deliver({3, 4});
  bench.deliver({3, 5});
  bench.deliver({3, 4}, {.attempts = 1});
  bench.deliver({3, 6});
  CHECK(bench.heard.empty());
}

TEST_CASE("another attempt is no repetition, whether or not the handler was reached before") {
  FakeContext context;
  SequenceTracker tracker;
  int calls = 0;
  auto pipeline = detail::compose([&](const Delivery&) -> Result<> {
    if (++calls < 4) return retryable("not yet");
    return {};
  } | sequenced(tracker) | retry());
  Received received{context, message_of("1", "k")};
  received.message.sequence = {3, 4};
  received.view = received.message.view();
  received.delivery.begin_again();  // a stage outside had it wait before anything was called
  CHECK(run_to_end(pipeline, received.delivery, context));
  CHECK(calls == 4);
  CHECK(tracker.counts().repeated == 0);
}

TEST_CASE("what was known of a partition is forgotten when others may have had it") {
  Bench bench;
  bench.deliver({3, 4});
  bench.deliver({3, 50}, {.generation = 2});  // who knows what came between
  CHECK(bench.heard.empty());
  bench.deliver({2, 7}, {.generation = 3});  // it may begin further back
  bench.deliver({3, 4}, {.generation = 3});
  REQUIRE(bench.heard.size() == 1);
  CHECK(bench.heard[0].finding == SequenceFinding::gap);  // of this generation alone
}

TEST_CASE("who hears of a finding may refuse the message") {
  FakeContext context;
  SequenceTracker tracker;
  int calls = 0;
  auto pipeline = detail::compose([&](const Delivery&) { ++calls; } |
                                  sequenced(tracker, [](const Delivery&, const SequenceReport& report) -> Result<> {
                                    if (report.finding == SequenceFinding::stale) return permanent(report.text());
                                    return {};
                                  }));
  for (const Sequence& number : {Sequence{3, 4}, Sequence{2, 9}, Sequence{3, 6}}) {
    Received received{context, message_of("1", "k")};
    received.message.sequence = number;
    received.view = received.message.view();
    const Result<> result = pipeline(received.delivery);
    CHECK(result.has_value() == (number.epoch == 3));
    if (!result) CHECK(result.error().context.find("replaced") != std::string::npos);
  }
  CHECK(calls == 2);
}

TEST_CASE("a tracker knows as many keys as it was told, and says how many it has forgotten") {
  FakeContext context;
  SequenceTracker tracker{16};
  for (int i = 0; i < 1000; ++i) {
    Received received{context, message_of("1", "key-" + std::to_string(i))};
    received.message.sequence = {1, 0};
    received.view = received.message.view();
    CHECK(tracker.look(received.delivery).finding == SequenceFinding::in_order);
  }
  CHECK(tracker.counts().forgotten == 984);
  CHECK(throws_saying<std::invalid_argument>([] { SequenceTracker none{0}; }, "keys"));
}
