// SPDX-License-Identifier: MIT
#include <librdkafka/rdkafka.h>
// After it:
#include <librdkafka/rdkafka_mock.h>

#include <cstdint>
#include <string>
#include <vector>

#include "catch.hpp"
#include "chaos.hpp"
#include "load.hpp"
#include "order.hpp"

// Error codes that a real broker gives rarely, from librdkafka's mock cluster. It needs no broker, so
// that ctest runs it.

namespace {

using namespace chaos;

/// Numbers of requests in Kafka's protocol.
enum ApiKey : std::int16_t {
  produce = 0,
  fetch = 1,
  offset_commit = 8,
  offset_fetch = 9,
  find_coordinator = 10,
  join_group = 11,
  heartbeat = 12,
  init_producer_id = 22,
};

/// A cluster of one broker, in this process.
class MockCase : public Case {
 public:
  explicit MockCase(std::string_view name, int partitions = 2) : Case{name} {
    char why[256];
    rd_kafka_conf_t* conf = rd_kafka_conf_new();
    rd_kafka_conf_set_log_cb(conf, [](const rd_kafka_t*, int, const char*, const char*) {});
    owner_.reset(rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why));
    expect(owner_ != nullptr, "mock cluster: ", why);
    cluster_.reset(rd_kafka_mock_cluster_new(owner_.get(), 1));
    topic_name = topic();
    rd_kafka_mock_topic_create(cluster_.get(), topic_name.c_str(), partitions, 1);
  }

  Backend::Config config() const {
    return {.endpoint = rd_kafka_mock_cluster_bootstraps(cluster_.get()),
            .group = "g",
            .create_topics = false,
            .session_timeout = 6s,
            // The mock does not mind the order of batches, except in transactions.
            .properties = {{"max.in.flight.requests.per.connection", "1"}}};
  }
  /// The next requests of this kind end so.
  void next(ApiKey what, const std::vector<rd_kafka_resp_err_t>& endings) {
    rd_kafka_mock_push_request_errors_array(cluster_.get(), what, endings.size(), endings.data());
  }
  /// The next answer to a request of this kind takes so long.
  void slow(ApiKey what, std::chrono::milliseconds time) {
    rd_kafka_mock_broker_push_request_error_rtts(cluster_.get(), 1, what, 1, RD_KAFKA_RESP_ERR_NO_ERROR,
                                                 static_cast<int>(time.count()));
  }
  /// Each answer takes so long, so that messages wait behind one another.
  void slow(std::chrono::milliseconds each) {
    rd_kafka_mock_broker_set_rtt(cluster_.get(), 1, static_cast<int>(each.count()));
  }
  void away() { rd_kafka_mock_broker_set_down(cluster_.get(), 1); }
  void back() { rd_kafka_mock_broker_set_up(cluster_.get(), 1); }
  /// All that were asked for have been given.
  void given(int broker = 1, ApiKey what = produce) {
    eventually(
        *this,
        [&] {
          std::size_t left = 0;
          return rd_kafka_mock_broker_error_stack_cnt(cluster_.get(), broker, what, &left) !=
                     RD_KAFKA_RESP_ERR_NO_ERROR ||
                 left == 0;
        },
        "the errors to be given");
  }

  std::string topic_name;

 private:
  ob::kafka::Owned<rd_kafka_t, rd_kafka_destroy> owner_;
  ob::kafka::Owned<rd_kafka_mock_cluster_t, rd_kafka_mock_cluster_destroy> cluster_;
};

/// A load beside a subscription, through faults: everything ends well, once, and in order.
template <class Faults>
void through(MockCase& f, const char* what, Faults faults) {
  History history{false};
  ChaosBus bus{f.config()};
  const auto subscription = bus.subscribe(f.topic_name, told(history, 1), {.concurrency = 4});
  registered(f, subscription);
  Load load{f, bus, f.topic_name, {.timeout = 60s}};
  load.wait_for_more(300);
  const auto before = Clock::now();
  faults(load);
  load.wait_for_more(300);
  const auto took = Clock::now() - before;
  const auto sent = load.finish();
  figure("mock, ", what, ": 300 more ok after ", seconds(took), " s; ", kinds_of(sent));
  expect_all_ok(sent);
  history.wait_for(f, sent.size());
  history.check();
  healthy(f, bus);
  figure("mock, ", what, ": ", history.handled_again(), " handled again of ", sent.size());
}

TEST_CASE("what passes by itself is waited for: no leader, too few replicas, lost connections") {
  MockCase f{"retriable"};
  through(f, "not enough replicas, not leader, disconnects", [&](Load& load) {
    f.next(produce, std::vector<rd_kafka_resp_err_t>(5, RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS));
    load.wait_for_more(100);
    f.next(produce, {RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE,
                     RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND,
                     RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT, RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR});
    load.wait_for_more(100);
    f.next(produce, {RD_KAFKA_RESP_ERR__TRANSPORT, RD_KAFKA_RESP_ERR__TRANSPORT});
  });
}

TEST_CASE("a broker that was away for longer than publishes wait is used again, however many are given up") {
  MockCase f{"away"};
  f.deadline = 20s;
  ChaosBus bus{f.config()};
  Load load{f, bus, f.topic_name, {.timeout = 700ms}};
  load.wait_for_more(100);
  f.away();
  load.wait_for_ended(1500);  // given up, all the time, for longer than each of them waits
  f.back();
  const auto back = Clock::now();
  figure("mock, away: ok again after ", seconds(load.first_ok_after(back) - back), " s");
  load.wait_for_more(200);
  (void)load.finish();
}

TEST_CASE("a group that could not say in time where it stands is asked again, and then read") {
  MockCase f{"slow offsets"};
  f.slow(offset_fetch, 7s);  // longer than it is waited for
  History history{false};
  ChaosBus bus{f.config()};
  const auto subscription = bus.subscribe(f.topic_name, told(history, 1), {.concurrency = 4});
  eventually(
      f, [&] { return !subscription.health().problem.empty(); }, "health to tell of it");
  Load load{f, bus, f.topic_name, {.timeout = 60s}};
  load.wait_for_more(100);
  registered(f, subscription);
  const auto sent = load.finish();
  expect_all_ok(sent);
  history.wait_for(f, sent.size());
  history.check();
  healthy(f, bus);
}

TEST_CASE("a producer that fails for good is made anew, with nothing lost and the order kept") {
  MockCase f{"fatal"};
  Ledger ledger;
  ChaosBus bus{f.config()};
  const auto subscription = bus.subscribe(f.topic_name, ledger.handler(), {.concurrency = 4});
  registered(f, subscription);
  f.slow(40ms);
  Load load{f, bus, f.topic_name, {.timeout = 60s}};
  for (const auto code : {RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER,
                          RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID,
                          RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, RD_KAFKA_RESP_ERR_PRODUCER_FENCED}) {
    for (int turn = 0; turn < 3; ++turn) {
      load.wait_for_more(200);
      f.next(produce, {code});
    }
    const auto last = Clock::now();
    load.wait_for_more(500);
    figure("mock, ", rd_kafka_err2name(code), ": 500 more ok after ", seconds(Clock::now() - last), " s");
  }
  const auto sent = load.finish();
  figure("mock, twelve fatal errors: ", kinds_of(sent), "; ", ledger.handled_again(), " handled again");
  for (const auto& each : sent) {  // of what the broker refused, some may be stored
    if (each.ending) continue;
    INFO(each.ending.error().message());
    const auto told = each.ending.error().code;
    CHECK(told == ob::Errc::outcome_unknown);
  }
  expect_ok_handled(f, sent, ledger);
  expect_failed_absent(sent, ledger);
  CHECK(ledger.problem() == "");
  healthy(f, bus);
}

TEST_CASE("a producer that gets no id at first publishes as soon as it has one") {
  MockCase f{"producer id"};
  f.next(init_producer_id, {RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
                            RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE,
                            RD_KAFKA_RESP_ERR_NOT_COORDINATOR});
  ChaosBus bus{f.config()};
  send(f, bus, f.topic_name, numbered(100, 10));
}

TEST_CASE("a definite refusal of the broker is failed, and what comes after it goes on") {
  MockCase f{"refused", 1};
  ChaosBus bus{f.config()};
  Inbox inbox;
  const auto subscription = bus.subscribe(f.topic_name, inbox.handler());
  registered(f, subscription);
  send(f, bus, f.topic_name, "before", "k");
  struct Refusal {
    rd_kafka_resp_err_t code;
    ob::Errc told;
  };
  for (const Refusal& each :
       {Refusal{RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, ob::Errc::access_denied},
        Refusal{RD_KAFKA_RESP_ERR_INVALID_MSG, ob::Errc::rejected}}) {
    INFO(rd_kafka_err2name(each.code));
    f.next(produce, {each.code});
    const auto refused = bus.publish(f.topic_name, message("refused", "k"));
    REQUIRE_FALSE(refused);
    INFO(refused.error().message());
    CHECK(refused.error().code == each.told);
    CHECK(mentions(refused.error().message(), f.topic_name));
    send(f, bus, f.topic_name, std::string{"after "} + rd_kafka_err2name(each.code), "k");
  }
  inbox.wait_for(f, 3);
  CHECK(inbox.times("refused") == 0);
  CHECK(bus.backend().health().ok);
}

TEST_CASE("a coordinator that loads, moves or forgets costs time, and no message") {
  MockCase f{"coordinator"};
  const auto begin = Clock::now();
  f.next(find_coordinator,
         {RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE, RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS});
  f.next(join_group, {RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS});
  f.next(offset_fetch, {RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS});
  through(f, "coordinator loading, moving, forgetting", [&](Load& load) {
    figure("mock, coordinator: registered after ", seconds(Clock::now() - begin), " s");
    f.next(offset_commit, {RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
                           RD_KAFKA_RESP_ERR_NOT_COORDINATOR, RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT});
    load.wait_for_more(300);
    f.next(heartbeat, {RD_KAFKA_RESP_ERR_NOT_COORDINATOR, RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE});
    load.wait_for_more(300);
    f.next(heartbeat, {RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID});
    f.given(1, heartbeat);
    f.next(fetch, {RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, RD_KAFKA_RESP_ERR__TRANSPORT});
    load.wait_for_more(300);
  });
}

}  // namespace
