// SPDX-License-Identifier: MIT
#include <omnibus/metrics.hpp>

#include <string>
#include <thread>
#include <vector>

#include <omnibus/omnibus.hpp>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;

namespace {

using MeteredBus = EventBus<Memory, Metrics>;

/// Hands an attempt to the observer that begins now and ends after so long.
template <class End>
void attempt(Metrics& metrics, FakeContext& context, Duration length, End end) {
  Received received{context, message_of("1", "key")};
  received.delivery.mark_began(context.time.now());
  metrics.delivered(received.delivery);
  received.delivery.mark_attempted();
  context.time.advance(length);
  end(received.delivery);
}

std::vector<std::uint64_t> filled(const DurationHistogram& histogram) {
  return {histogram.counts.begin(), histogram.counts.end()};
}

}  // namespace

TEST_CASE("a duration counts up to the bound that it does not exceed") {
  CHECK(DurationHistogram::bucket_of(0ns) == 0);
  CHECK(DurationHistogram::bucket_of(5ms) == 0);
  CHECK(DurationHistogram::bucket_of(5ms + 1ns) == 1);
  CHECK(DurationHistogram::bucket_of(1s) == 9);
  CHECK(DurationHistogram::bucket_of(10s) == 13);
  CHECK(DurationHistogram::bucket_of(10s + 1ns) == 14);
}

TEST_CASE("publishes are counted by topic and ending") {
  Metrics metrics{{.system = "memory"}};
  const auto publish = [&metrics](std::string_view topic, const Result<Receipt>& result) {
    metrics.published(topic, MessageView{}, result);
  };
  publish("orders", Receipt{});
  publish("orders", Receipt{});
  publish("orders", Error::make(Errc::outcome_unknown, "publish"));
  publish("orders", Error::make(Errc::rejected, "publish"));
  publish("orders", Error::make(Errc::internal, "publish"));
  publish("orders", Error::make(Errc::rejected, "publish"));
  publish("invoices", Receipt{});
  const MetricsSnapshot snapshot = metrics.snapshot();
  CHECK(snapshot.system == "memory");
  REQUIRE(snapshot.topics.size() == 2);
  const TopicMetrics& orders = snapshot.topics[0];
  CHECK(orders.topic == "orders");
  CHECK(orders.published == 2);
  CHECK(orders.unknown == 1);
  REQUIRE(orders.failed.size() == 2);
  CHECK(orders.failed[0].code == Errc::rejected);
  CHECK(orders.failed[0].count == 2);
  CHECK(orders.failed[1].code == Errc::internal);
  CHECK(snapshot.topics[1].topic == "invoices");
  CHECK(snapshot.topics[1].failed.empty());
  CHECK(snapshot.groups.empty());
}

TEST_CASE("attempts are timed on the clock of the backend, those that failed by their error") {
  Metrics metrics;
  FakeContext context;
  const Error busy = retryable("busy"), bytes = Error::make(Errc::decode_failed, "decode");
  attempt(metrics, context, 3ms, [&](const Delivery& d) { metrics.handled(d); });
  attempt(metrics, context, 20ms, [&](const Delivery& d) { metrics.handled(d); });
  attempt(metrics, context, 11s, [&](const Delivery& d) { metrics.handled(d); });
  attempt(metrics, context, 2s, [&](const Delivery& d) { metrics.retrying(d, busy); });
  attempt(metrics, context, 0s, [&](const Delivery& d) { metrics.dead_lettered(d, bytes); });
  const MetricsSnapshot snapshot = metrics.snapshot();
  REQUIRE(snapshot.groups.size() == 1);
  const GroupMetrics& group = snapshot.groups[0];
  CHECK(group.topic == "orders");
  CHECK(group.group == "billing");
  CHECK(group.handled == 3);
  CHECK(group.handled_in.sum == 11s + 23ms);
  CHECK(filled(group.handled_in) ==
        std::vector<std::uint64_t>{1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1});
  CHECK(group.retried == 1);
  CHECK(group.dead_lettered == 1);
  REQUIRE(group.failed_in.size() == 2);
  CHECK(group.failed_in[0].code == Errc::decode_failed);
  CHECK(group.failed_in[0].took.count() == 1);
  CHECK(group.failed_in[1].code == Errc::handler_failed);
  CHECK(group.failed_in[1].took.sum == 2s);
}

TEST_CASE("waiting without a handler is no processing") {
  Metrics metrics;
  FakeContext context;
  const Received received{context, message_of("1", "key")};
  metrics.retrying(received.delivery, Error::make(Errc::unavailable, "call the bank"));
  const MetricsSnapshot snapshot = metrics.snapshot();
  CHECK(snapshot.groups.at(0).retried == 1);
  CHECK(snapshot.groups.at(0).failed_in.empty());
}

TEST_CASE("topics and groups beyond the limit are counted as one without a name") {
  Metrics metrics{{.most_series = 1}};
  for (const std::string_view topic : {"a", "b", "c"}) {
    metrics.published(topic, MessageView{}, Receipt{});
  }
  const MetricsSnapshot snapshot = metrics.snapshot();
  REQUIRE(snapshot.topics.size() == 2);
  CHECK(snapshot.topics[0].topic == "a");
  CHECK(snapshot.topics[0].published == 1);
  CHECK(snapshot.topics[1].topic.empty());
  CHECK(snapshot.topics[1].published == 2);
}

TEST_CASE("each attempt on a bus ends in one of the counters") {
  Metrics metrics{{.system = MeteredBus::capabilities.name}};
  MemoryKeyStore seen;
  VirtualClock clock;
  {
    MeteredBus bus{{.group = "billing", .clock = &clock}, metrics};
    const auto ignore_some = [](Next next, Delivery& delivery) -> Result<> {
      return delivery.payload() == "ignore" ? Result<>{} : next(delivery);
    };
    std::atomic<int> busy{2};
    const auto charge = [&](const std::string& order) -> Result<> {
      clock.advance(30ms);
      if (order == "bad") return permanent("no");
      if (order == "busy" && --busy >= 0) return later(0s);
      return {};
    };
    auto orders = bus.subscribe(
        "orders", charge | stage(ignore_some) | retry() | dead_letter("dead") | idempotent(seen));
    CHECK(bus.publish("orders", "good", {.id = "1"}));
    CHECK(bus.publish("orders", "good", {.id = "1"}));
    CHECK(bus.publish("orders", "busy"));
    CHECK(bus.publish("orders", "bad"));
    CHECK(bus.publish("orders", "ignore"));
    CHECK(eventually([&] {
      const SubscriptionStats stats = orders.stats();
      return stats.handled + stats.dead_lettered + stats.dropped + stats.duplicates == 5;
    }));
  }
  const MetricsSnapshot snapshot = metrics.snapshot();
  CHECK(snapshot.system == "memory");
  CHECK(snapshot.topics.at(0).published == 5);
  REQUIRE(snapshot.groups.size() == 1);
  const GroupMetrics& group = snapshot.groups[0];
  CHECK(group.topic == "orders");
  CHECK(group.group == "billing");
  CHECK(group.consumed == 5);
  CHECK(group.delivered == 7);
  CHECK(group.handled == 2);
  CHECK(group.retried == 2);
  CHECK(group.dead_lettered == 1);
  CHECK(group.duplicates == 1);
  CHECK(group.dropped == 1);
  CHECK(group.given_back == 0);
  CHECK(group.handled_in.sum == 60ms);
  REQUIRE(group.failed_in.size() == 1);
  CHECK(group.failed_in[0].code == Errc::handler_failed);
  CHECK(group.failed_in[0].took.sum == 90ms);
}

TEST_CASE("what goes back unhandled, or comes out of sequence, is counted") {
  Metrics metrics;
  FakeContext context;
  const Received received{context, message_of("1", "key")};
  metrics.given_back(received.delivery);
  metrics.out_of_sequence(received.delivery, Error::make(Errc::out_of_sequence, "a gap"));
  const MetricsSnapshot snapshot = metrics.snapshot();
  CHECK(snapshot.groups.at(0).given_back == 1);
  CHECK(snapshot.groups.at(0).out_of_sequence == 1);
  CHECK(snapshot.groups.at(0).delivered == 0);
}

TEST_CASE("nothing that threads count is lost, and a snapshot may be taken meanwhile") {
  constexpr int threads = 4;
  constexpr std::uint64_t rounds = 5000;
  Metrics metrics;
  std::vector<std::thread> workers;
  for (int t = 0; t < threads; ++t) {
    workers.emplace_back([&metrics] {
      FakeContext context;
      for (std::uint64_t i = 0; i < rounds; ++i) {
        attempt(metrics, context, 1us, [&](const Delivery& d) { metrics.handled(d); });
      }
    });
  }
  std::uint64_t before = 0;
  for (int i = 0; i < 100; ++i) {
    const MetricsSnapshot snapshot = metrics.snapshot();
    const std::uint64_t now = snapshot.groups.empty() ? 0 : snapshot.groups[0].consumed;
    CHECK(now >= before);
    before = now;
  }
  for (auto& worker : workers) worker.join();
  const GroupMetrics group = metrics.snapshot().groups.at(0);
  CHECK(group.consumed == threads * rounds);
  CHECK(group.handled == threads * rounds);
  CHECK(group.handled_in.sum == threads * rounds * 1us);
}
