// SPDX-License-Identifier: MIT
#include "catch.hpp"
#include "chaos.hpp"
#include "load.hpp"
#include "processes.hpp"

// Several processes of one group, of which one is killed, or stopped for longer than its lease.

namespace {

using namespace chaos;

constexpr std::size_t window = 64;
constexpr std::size_t handlers = 4;

Broker::Backend::Config shared_config(const Broker& f) {
  auto config = f.config();
  config.shards = 6;
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
    load.emplace(f, bus, topic, Load::How{.timeout = 60s}, 60);
    for (int member = 1; member <= 3; ++member) {
      eventually(
          f, [&] { return scribe.begun_by(member) >= 100; }, "deliveries to process ", member);
    }
  }
  /// Entries that the group has read and not acknowledged.
  long pending() const {
    long count = 0;
    for (int shard = 0; shard < 6; ++shard) {
      count += std::stol(redis_cli("xpending " + stream_of(topic, shard) + " g"));
    }
    return count;
  }
  /// Entries that the group has not read.
  long unread() const {
    constexpr std::string_view name = "lag\n";
    long count = 0;
    for (int shard = 0; shard < 6; ++shard) {
      const std::string groups = redis_cli("xinfo groups " + stream_of(topic, shard));
      const std::size_t at = groups.find(name);
      if (at == std::string::npos) violated("XINFO GROUPS says no lag: ", groups);
      count += std::stol(groups.substr(at + name.size()));
    }
    return count;
  }
  /// Who ends before leaves what it had read, and not begun, to others.
  void nothing_left() {
    eventually(
        f, [&] { return unread() == 0 && pending() == 0; }, "everything to be read and acknowledged");
  }
  void nothing_pending() {
    eventually(
        f, [&] { return pending() == 0; }, "everything to be acknowledged");
  }
};

TEST_CASE("consumer processes killed under load cost no message and no order") {
  Service service{"process killed"};
  Case& f = service.f;
  Scribe& scribe = service.scribe;
  Ledger& ledger = scribe.ledger;
  const std::size_t before = ledger.handled_again();
  service.members[1]->hang_up();
  eventually(
      f, [&] { return scribe.stuck() == handlers; }, "all its handlers to hang");
  service.load->wait_for_more(1000);  // and its window to be full
  CHECK(ledger.handled_again() == before);
  ledger.kill(2);
  const auto killed = Clock::now();
  service.members[1]->kill();
  eventually(
      f, [&] { return scribe.unstuck(); }, "others to take over what it had");
  const auto taken_over = Clock::now();
  const std::size_t again = ledger.handled_again() - before;
  ledger.kill(3);  // in the middle of its work
  service.members[2]->kill();
  service.load->wait_for_more(500);
  const auto sent = service.load->finish();
  expect_all_ok(sent);
  expect_ok_handled(f, sent, ledger);
  const std::size_t working = ledger.handled_again() - before - again;
  figure("processes killed, lease 2 s: taken over after ", seconds(taken_over - killed), " s; ",
         before, " handled again while they joined, ", again, " after the one that hung, ", working,
         " after the one that worked, of ", sent.size());
  CHECK(ledger.problem() == "");
  CHECK(before == 0);
  CHECK(again <= window);
  CHECK(working <= 2 * window);
  CHECK(service.members[0]->finish());
  service.nothing_pending();
}

TEST_CASE("an owner stopped for longer than its lease loses its messages to others, and finds back") {
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
  figure("process frozen, lease 2 s: everything handled ", seconds(Clock::now() - frozen), " s after");
  CHECK(scribe.ledger.problem() == "");
  service.nothing_pending();
  const std::size_t before = scribe.begun_by(2), again = scribe.ledger.handled_again();
  service.members[1]->thaw();
  Load more{f, service.bus, service.topic + ".probe", {.timeout = 60s}, 1};
  more.wait_for_more(200);  // time for it to wake up
  (void)more.finish();
  figure("process frozen: it began ", scribe.begun_by(2) - before,
         " that others had handled when it woke up, ", scribe.ledger.handled_again() - again,
         " were handled again");
  CHECK(scribe.begun_by(2) - before <= window);
  Load after{f, service.bus, service.topic, {.timeout = 60s}, 60};
  eventually(
      f, [&] { return scribe.begun_by(2) >= before + 500; }, "deliveries to the thawed process");
  expect_all_ok(after.finish());
  service.nothing_left();
  for (auto& each : service.members) CHECK(each->finish());
  service.nothing_pending();
}

TEST_CASE("an owner stopped in the middle of load cannot acknowledge what others have taken over") {
  Service service{"owner stopped, then resumed"};
  Case& f = service.f;
  Scribe& scribe = service.scribe;
  service.members[1]->hang_up();
  eventually(
      f, [&] { return scribe.stuck() == handlers; }, "all its handlers to hang");
  service.members[1]->freeze();
  scribe.ledger.kill(2);
  eventually(
      f, [&] { return scribe.unstuck(); }, "others to take over what it had");
  service.members[1]->thaw();  // it renews a lease that has ended; its handlers still hang
  service.load->wait_for_more(2000);
  const auto sent = service.load->finish();
  expect_all_ok(sent);
  // Some shards may be its own again, whose messages it has no hands for; its end frees them.
  service.members[1]->kill();
  expect_ok_handled(f, sent, scribe.ledger);
  CHECK(scribe.ledger.problem() == "");
  CHECK(service.members[0]->finish());
  CHECK(service.members[2]->finish());
  service.nothing_pending();
}

}  // namespace
