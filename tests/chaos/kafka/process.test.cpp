// SPDX-License-Identifier: MIT
#include "catch.hpp"
#include "chaos.hpp"
#include "load.hpp"
#include "processes.hpp"
#include "raw.hpp"

// Several processes of one group, of which one is killed.

namespace {

using namespace chaos;

constexpr std::size_t window = 64;
constexpr std::size_t handlers = 4;

Broker::Backend::Config shared_config(const Broker& f) {
  auto config = f.config();
  config.partitions = 6;
  config.commit_interval = 200ms;
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
    Raw{}.create_topic(topic, 6);
    for (int i = 0; i < 3; ++i) members[i].emplace(i + 1, topic, scribe.pipe());
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
  Scribe& scribe = service.scribe;
  Ledger& ledger = scribe.ledger;
  const std::size_t before = ledger.handled_again();  // while they joined
  service.members[1]->hang_up();
  eventually(
      f, [&] { return scribe.stuck() == handlers; }, "all its handlers to hang");
  const auto hung = Clock::now();
  eventually(
      f, [&] { return Clock::now() - hung > 1s; }, "it to commit what is done");
  CHECK(ledger.handled_again() == before);
  ledger.kill(2);
  service.members[1]->kill();
  eventually(
      f, [&] { return scribe.unstuck(); }, "others to take over what it had");
  // What it had handled was committed, and what it had handled out of turn was marked.
  const std::size_t again = ledger.handled_again() - before;
  CHECK(again <= window);
  const std::size_t sample = scribe.begun_by(3);
  const auto sampled = Clock::now();
  eventually(
      f, [&] { return Clock::now() - sampled > 400ms; }, "two commits of the third");
  ledger.kill(3);  // in the middle of its work
  service.members[2]->kill();
  const std::size_t recent = scribe.begun_by(3) - sample;
  const auto sent = service.load->finish();
  expect_all_ok(sent);
  expect_ok_handled(f, sent, ledger);
  const std::size_t working = ledger.handled_again() - before - again;
  figure("processes killed: ", before, " handled again while they joined, ", again,
         " after the one that hung, ", working, " after the one that worked (", recent,
         " begun within two commit intervals), of ", sent.size(), "; everything handled ",
         seconds(Clock::now() - sampled), " s after the second, session timeout 6 s");
  CHECK(ledger.problem() == "");
  CHECK(working <= recent + window);
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
  figure("process frozen, session timeout 6 s: everything handled ", seconds(Clock::now() - frozen),
         " s after");
  CHECK(scribe.ledger.problem() == "");
  service.members[1]->thaw();
  const std::size_t before = scribe.begun_by(2);
  Load more{f, service.bus, service.topic, {.timeout = 60s}, 60};
  eventually(
      f, [&] { return scribe.begun_by(2) >= before + 500; }, "deliveries to the thawed process");
  expect_all_ok(more.finish());
  for (auto& each : service.members) CHECK(each->finish());
}

}  // namespace
