// SPDX-License-Identifier: MIT
#include "catch.hpp"
#include "chaos.hpp"
#include "load.hpp"
#include "processes.hpp"

// Several processes of one group, of which one is killed.

namespace {

using namespace chaos;

constexpr std::size_t window = 64;
constexpr std::size_t handlers = 4;
constexpr int shards = 6;

Broker::Backend::Config shared_config(const Broker& f) {
  auto config = f.config();
  config.shards = shards;
  config.heartbeat = 1s;
  return config;
}

TEST_CASE("a consumer process, run by the cases below", "[.consumer]") {
  run_consumer(shared_config(Broker{}), {.concurrency = handlers, .window = window});
}

/// Three processes of one group, all of which get messages.
struct Service {
  Case f;
  const std::string topic = f.topic();
  ChaosBus bus{shared_config(f)};
  Scribe scribe;
  std::optional<Member> members[3];
  std::optional<Load> load;

  explicit Service(std::string_view name) : f{name} {
    for (int i = 0; i < 3; ++i) members[i].emplace(i + 1, topic, scribe.pipe());
    // The group's queues, which come one by one, are there when no publish is unroutable any more.
    for (int key = 0; key < 60; ++key) {
      const auto first = message("0", "first-" + std::to_string(key));
      eventually(
          f, [&] { return bus.publish(topic, first).has_value(); }, "a member");
    }
    load.emplace(f, bus, topic, Load::How{.timeout = 60s}, 60);
    for (int member = 1; member <= 3; ++member) {
      eventually(
          f, [&] { return scribe.begun_by(member) >= 100; }, "deliveries to process ", member);
    }
  }
};

TEST_CASE("consumer processes killed under load cost no message and no order") {
  Service service{"process killed"};
  Case& f = service.f;
  Ledger& ledger = service.scribe.ledger;
  service.members[1]->hang_up();
  eventually(
      f, [&] { return service.scribe.stuck() == handlers; }, "all its handlers to hang");
  service.load->wait_for_more(1000);  // and its window to be full
  CHECK(ledger.handled_again() == 0);
  ledger.kill(2);
  service.members[1]->kill();
  service.load->wait_for_more(1000);
  eventually(
      f, [&] { return service.bus.publish(service.topic, message("0", "again")).has_value(); },
      "a publish");
  const std::size_t again = ledger.handled_again();
  ledger.kill(3);  // in the middle of its work
  service.members[2]->kill();
  service.load->wait_for_more(500);
  const auto sent = service.load->finish();
  expect_all_ok(sent);
  expect_ok_handled(f, sent, ledger);
  figure("processes killed: ", again, " handled again after the one that hung, ",
         ledger.handled_again() - again, " after the one that worked, of ", sent.size());
  CHECK(ledger.problem() == "");
  // Its window, and what it had not yet acknowledged of each of its shards.
  CHECK(again <= window + 64 * shards);
  CHECK(ledger.handled_again() - again <= window + 64 * shards);
  CHECK(service.members[0]->finish());
}

TEST_CASE("a frozen consumer process loses its messages to others and finds its way back") {
  Service service{"process frozen"};
  Case& f = service.f;
  Scribe& scribe = service.scribe;
  scribe.ledger.kill(2);  // in the middle of something, maybe
  service.members[1]->freeze();
  const auto frozen = Clock::now();
  service.load->wait_for_more(1000);
  const auto sent = service.load->finish();  // also those that the frozen one had taken
  expect_all_ok(sent);
  expect_ok_handled(f, sent, scribe.ledger);
  figure("process frozen, heartbeat 1 s: everything handled ", seconds(Clock::now() - frozen),
         " s after");
  CHECK(scribe.ledger.problem() == "");  // nobody but the frozen one ends twice
  service.members[1]->thaw();
  const std::size_t before = scribe.begun_by(2);
  Load more{f, service.bus, service.topic, {.timeout = 60s}, 60};
  eventually(
      f, [&] { return scribe.begun_by(2) >= before + 500; }, "deliveries to the thawed process");
  expect_all_ok(more.finish());
  for (auto& each : service.members) CHECK(each->finish());
}

}  // namespace
