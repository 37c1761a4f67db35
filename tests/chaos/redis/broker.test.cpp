// SPDX-License-Identifier: MIT
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "chaos.hpp"
#include "load.hpp"
#include "order.hpp"
#include "problems.hpp"

// The server dies, freezes, closes its connections or does not answer for a while.

namespace {

using namespace chaos;

/// How many messages with a good ending are missing, when everything that is there has been read.
std::size_t count_lost(Broker& f, ChaosBus& bus, const std::string& topic,
                       const std::vector<Load::Sent>& sent, const Ledger& ledger) {
  std::map<std::string, std::size_t> last;
  for (const auto& each : sent) last[each.key] = std::max(last[each.key], each.number);
  for (const auto& [key, number] : last) send(f, bus, topic, std::to_string(number + 1), key);
  for (const auto& [key, number] : last) {
    const auto came = [&ledger, key = key, number = number] {
      return ledger.handled(key, number + 1);
    };
    eventually(f, came, "the last message of ", key);
  }
  return static_cast<std::size_t>(std::count_if(sent.begin(), sent.end(), [&](const auto& each) {
    return each.ending && !ledger.handled(each.key, each.number);
  }));
}

/// What a kill has cost.
struct Cost {
  std::size_t sent = 0;
  std::size_t lost = 0;    ///< of the messages that were ok
  std::size_t recent = 0;  ///< how many were ok in the last three seconds before the kill
};

/// Kills the server under load that has gone on for so long, with nobody who reads; starts it again, and
/// publishes on.
Cost kill_and_count(Case& f, const std::string& topic, ob::Duration load_for = {}) {
  ::signal(SIGPIPE, SIG_DFL);  // it would end this process
  ChaosBus bus{f.config()};
  const auto begun = Clock::now();
  Load load{f, bus, topic};
  load.wait_for_more(2000);
  while (Clock::now() - begun < load_for) load.wait_for_more(10);
  AtEnd running{"start redis"};
  const auto killed = Clock::now();
  ctl("kill redis");
  const std::size_t recent = load.ok_since(killed - 3s);
  running.run();
  load.wait_for_more(200);
  const auto sent = load.finish();
  expect_all_ok(sent);
  Ledger ledger;
  const auto subscription =
      bus.subscribe(topic, ledger.handler(), {.concurrency = 4});
  const std::size_t lost = count_lost(f, bus, topic, sent, ledger);
  CHECK(ledger.problem() == "");
  return {sent.size(), lost, recent};
}

TEST_CASE("kill -9 under load with appendfsync always loses nothing that was ok, and keeps the order") {
  Case f{"kill -9, always"};
  ::signal(SIGPIPE, SIG_DFL);  // it would end this process
  const auto topic = f.topic();
  History history{false};  // what is sent again after a lost reply does not say so
  ChaosBus bus{f.config()};
  const auto subscription = bus.subscribe(topic, told(history, 1), {.concurrency = 4});
  registered(f, subscription);
  Load load{f, bus, topic};
  for (int turn = 1; turn <= 3; ++turn) {
    redis_sets("config set appendfsync always");
    load.wait_for_more(1000);
    const HealthWatch watch{bus};
    AtEnd running{"start redis"};
    ctl("kill redis");
    eventually(
        f, [&] { return watch.publishing_red() && watch.subscription_red(); }, "both to be red");
    CHECK_FALSE(bus.health().ok);
    CHECK_FALSE(subscription.health().problem.empty());
    const PortWatch port{broker_port()};
    running.run();
    eventually(
        f, [&] { return port.accepted() != Clock::time_point::max(); }, "the port to accept");
    const auto first_ok = load.first_ok_after(port.accepted());
    healthy(f, bus);
    figure("kill -9, always: first ok ", seconds(first_ok - port.accepted()),
           " s after the port accepts; all green ", seconds(Clock::now() - port.accepted()), " s");
    CHECK(first_ok - port.accepted() < 3s);
  }
  load.wait_for_more(1000);
  const auto sent = load.finish();
  expect_all_ok(sent);
  history.wait_for(f, sent.size());
  history.check();
  figure("kill -9 three times, always: ", kinds_of(sent), ", 0 lost, ", history.handled_again(),
         " handled again");
}

TEST_CASE("kill -9 in the middle of atomic batches leaves no part of one, and loses none that was ok") {
  Case f{"kill -9, atomic batches"};
  const std::string a = f.topic();
  const std::string b = f.topic();
  ChaosBus bus{f.config()};
  std::set<std::string> ok;
  std::atomic<std::size_t> published = 0;
  {
    const Lookout publisher{[&] {
      const std::string name = std::to_string(published);
      ob::MessageBatch batch;
      for (int i = 0; i < 20; ++i) {
        batch.add(i % 2 == 0 ? a : b, message(name, "k" + std::to_string(i % 5))).value();
      }
      if (bus.publish_atomic(batch, {.timeout = 30s})) ok.insert(name);
      ++published;
      return true;
    }};
    for (int turn = 1; turn <= 3; ++turn) {
      redis_sets("config set appendfsync always");
      const std::size_t before = published;
      eventually(
          f, [&] { return published >= before + 100; }, "batches before the kill");
      AtEnd running{"start redis"};
      ctl("kill redis");
      running.run();
    }
    const std::size_t after = published;
    eventually(
        f, [&] { return published >= after + 100; }, "batches after the kill");
  }
  Inbox inbox;
  const auto first = bus.subscribe(a, inbox.handler());
  const auto second = bus.subscribe(b, inbox.handler());
  for (const std::string& topic : {a, b}) {
    for (int key = 0; key < 5; ++key) send(f, bus, topic, "last", "k" + std::to_string(key));
  }
  eventually(
      f, [&] { return inbox.times("last") == 10; }, "the last messages");
  std::map<std::string, int> messages;
  for (const std::string& payload : inbox.payloads()) ++messages[payload];
  messages.erase("last");
  int twice = 0;
  for (const auto& [name, count] : messages) {
    INFO("batch " << name << " has " << count << " messages");
    CHECK((count == 20 || count == 40));  // sent again, as a whole
    twice += count == 40 ? 1 : 0;
    ok.erase(name);
  }
  CHECK(ok.empty());
  figure("kill -9 three times, atomic batches: ", messages.size(), ", ", twice, " twice, none torn");
}

TEST_CASE("what kill -9 costs with appendfsync everysec is counted") {
  Case f{"kill -9, everysec"};
  redis_sets("config set appendfsync everysec");
  const auto [sent, lost, recent] = kill_and_count(f, f.topic(), 6s);
  figure("kill -9, everysec: ", lost, " of ", sent, " messages that were ok are lost");
  // The page cache outlives the process: no more is lost than what was not yet written to it. That waits for the
  // flush before, on a busy disk for two seconds at most (flushAppendOnlyFile of Redis).
  CHECK(lost <= recent);
  CHECK(recent < sent);
}

TEST_CASE("without persistence the loss is foretold, and what follows is not lost with it") {
  Case f{"kill -9, no persistence"};
  const auto topic = f.topic(), with_reader = f.topic();
  redis_sets("config set appendonly no");
  {
    ChaosBus bus{f.config()};
    send(f, bus, topic, "0", "foretold");
    CHECK(bus.health().ok);
    CHECK(mentions(bus.health().detail, "appendonly is off"));
  }
  const auto [sent, lost, recent] = kill_and_count(f, topic);
  figure("kill -9, no persistence: ", lost, " of ", sent, " messages that were ok are lost");
  CHECK(lost >= 1900);  // or else nothing was tested

  // The group is lost as well. It begins anew with what is there, and says so.
  redis_sets("config set appendonly no");
  ChaosBus bus{f.config()};
  Ledger ledger;
  Problems problems;
  ob::EventBus<ob::RedisStreams, Problems> reader{f.config(), problems};
  const auto subscription = reader.subscribe(with_reader, ledger.handler(), {.concurrency = 4});
  registered(f, subscription);
  Load load{f, bus, with_reader};
  load.wait_for_more(500);
  AtEnd running{"start redis"};
  ctl("kill redis");
  running.run();
  load.wait_for_more(500);
  const auto all = load.finish();
  expect_all_ok(all);
  registered(f, subscription);
  const std::size_t missing = count_lost(f, bus, with_reader, all, ledger);
  figure("kill -9, no persistence, with a reader: ", missing, " of ", all.size(), " not handled");
  // What was not read yet at the kill: the reader was at most a moment behind.
  CHECK(missing < 200);
  CHECK(mentions(problems.words(), "the server has lost the group"));
  const auto after = std::find_if(all.rbegin(), all.rend(), [&](const auto& each) {
    return !ledger.handled(each.key, each.number);
  });
  // And nothing of the time after the restart.
  CHECK(all.rend() - after <= static_cast<std::ptrdiff_t>(all.size() - 500));
  CHECK(ledger.problem() == "");
}

TEST_CASE("delayed messages survive kill -9") {
  Case f{"delayed messages"};
  redis_sets("config set appendfsync always");
  const auto topic = f.topic();
  const auto promised = numbered(50);
  {
    ChaosBus bus{f.config()};
    send(f, bus, topic, promised, {.delay = 1s});
  }
  AtEnd running{"start redis"};
  ctl("kill redis");
  running.run();
  ChaosBus bus{f.config()};
  Inbox inbox;
  const auto subscription =
      bus.subscribe(topic, inbox.handler());
  inbox.wait_for(f, promised.size());
  drained(f, subscription);
  expect_exactly(inbox, promised);
}

TEST_CASE("a frozen server is noticed, and what happens then is unknown or ok, never failed") {
  Case f{"frozen server"};
  const auto topic = f.topic();
  Ledger ledger;
  ChaosBus bus{f.config()};
  const auto subscription = bus.subscribe(topic, ledger.handler(), {.concurrency = 4});
  registered(f, subscription);
  Load load{f, bus, topic, {.timeout = 3s}};
  load.wait_for_more(500);
  const HealthWatch watch{bus};
  AtEnd running{"resume redis"};
  ctl("pause redis");
  const auto paused = Clock::now();
  eventually(
      f, [&] { return watch.publishing_red() && watch.subscription_red(); }, "both to be red");
  figure("frozen, heartbeat 2 s: publishing red after ", seconds(*watch.publishing_red() - paused),
         " s, subscription after ", seconds(*watch.subscription_red() - paused), " s");
  CHECK(*watch.publishing_red() - paused < 6s);
  CHECK(*watch.subscription_red() - paused < 6s);
  load.wait_for_unknown(50);
  running.run();
  const auto resumed = Clock::now();
  figure("frozen: first ok ", seconds(load.first_ok_after(resumed) - resumed),
         " s after the server goes on");
  healthy(f, bus);
  load.wait_for_more(500);
  const auto sent = load.finish();
  figure("frozen: ", kinds_of(sent));
  for (const auto& each : sent) {
    if (each.ending) continue;
    const auto code = each.ending.error().code;
    INFO(each.ending.error().message());
    CHECK((code == ob::Errc::outcome_unknown || code == ob::Errc::unavailable));
  }
  expect_ok_handled(f, sent, ledger);
  expect_failed_absent(sent, ledger);
  CHECK(ledger.problem() == "");
}

TEST_CASE("a bus can be closed while the server is frozen, in time and with an ending for all") {
  Case f{"close while frozen"};
  const auto topic = f.topic();
  auto config = f.config();
  config.connect_timeout = 2s;
  auto bus = std::make_unique<ChaosBus>(config);
  auto newcomer = std::make_unique<ChaosBus>(config);  // connects while the server is frozen
  Inbox inbox;
  Clock::time_point begin;
  {
    const auto subscription = bus->subscribe(topic, inbox.handler());
    registered(f, subscription);
    send(f, *bus, topic, "before", "k");
    inbox.wait_for(f, "before");
    AtEnd running{"resume redis"};
    ctl("pause redis");
    const auto endings = std::make_shared<Endings>(2);
    bus->publish_async(topic, message("1", "k"), Endings::completion(endings, 0));
    newcomer->publish_async(topic, message("2", "k"), Endings::completion(endings, 1));
    for (ChaosBus* each : {bus.get(), newcomer.get()}) {
      const auto asked = Clock::now();
      const auto closed = each->close(1s);
      REQUIRE_FALSE(closed);
      INFO(closed.error().message());
      figure("frozen: close(1s) took ", seconds(Clock::now() - asked), " s");
      CHECK(Clock::now() - asked < 5s);
    }
    endings->wait(f);
    CHECK(endings->calls == std::vector<int>{1, 1});
    REQUIRE_FALSE(*endings->results[0]);
    CHECK(endings->results[0]->error().code == ob::Errc::outcome_unknown);
    REQUIRE_FALSE(*endings->results[1]);
    CHECK(endings->results[1]->error().code == ob::Errc::closed);
    begin = Clock::now();
  }
  bus.reset();
  newcomer.reset();
  CHECK(Clock::now() - begin < 5s);
}

/// Load with a reader, while something happens that must cost nothing but time.
template <class Happens>
void nothing_is_lost(Case& f, const char* what, Happens happens) {
  const auto topic = f.topic();
  History history{false};
  ChaosBus bus{f.config()};
  const auto subscription = bus.subscribe(topic, told(history, 1), {.concurrency = 4});
  registered(f, subscription);
  Load load{f, bus, topic};
  load.wait_for_more(300);
  const auto from = Clock::now();
  happens(load);
  load.wait_for_more(500);
  healthy(f, bus);
  const auto pause = load.longest_pause_after(from);
  const auto sent = load.finish();
  expect_all_ok(sent);
  history.wait_for(f, sent.size());
  history.check();
  figure(what, ": longest pause ", seconds(pause), " s, ", history.handled_again(),
         " handled again of ", sent.size());
}

TEST_CASE("all connections killed by the server, again and again, under load") {
  Case f{"connections killed"};
  nothing_is_lost(f, "five times CLIENT KILL", [&](Load& load) {
    for (int turn = 1; turn <= 5; ++turn) {
      CHECK(std::stoi(redis_cli("client kill type normal skipme yes")) >= 2);
      load.wait_for_more(300);
    }
  });
}

TEST_CASE("CLIENT PAUSE and DEBUG SLEEP, shorter and longer than the heartbeat, cost nothing but time") {
  Case f{"pauses"};
  nothing_is_lost(f, "CLIENT PAUSE 1500", [&](Load& load) {
    redis_sets("client pause 1500 all");
    load.wait_for_more(100);
  });
  nothing_is_lost(f, "CLIENT PAUSE 6000", [&](Load& load) {
    redis_sets("client pause 6000 all");
    load.wait_for_more(100);
  });
  nothing_is_lost(f, "DEBUG SLEEP 3", [&](Load&) { redis_sets("debug sleep 3"); });
}

TEST_CASE("a script that runs for too long makes the server busy, and is waited for") {
  Case f{"busy"};
  AtEnd calm{"exec redis redis-cli config set busy-reply-threshold 5000"};
  redis_sets("config set busy-reply-threshold 100");
  const auto topic = f.topic();
  Ledger ledger;
  ChaosBus bus{f.config()};
  const auto subscription = bus.subscribe(topic, ledger.handler(), {.concurrency = 4});
  registered(f, subscription);
  Load load{f, bus, topic};
  load.wait_for_more(300);
  redis_cli(
      "eval \"local function now() local t = redis.call('TIME') return t[1] + t[2] / 1e6 end "
      "local from = now() while now() - from < 1.5 do end return 1\" 0");
  load.wait_for_more(300);
  healthy(f, bus);
  const auto sent = load.finish();
  figure("busy: ", kinds_of(sent));
  for (const auto& each : sent) {
    if (!each.ending) CHECK(each.ending.error().retryable);
  }
  expect_ok_handled(f, sent, ledger);
  expect_failed_absent(sent, ledger);
  CHECK(ledger.problem() == "");
}

}  // namespace
