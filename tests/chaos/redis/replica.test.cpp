// SPDX-License-Identifier: MIT
#include <signal.h>

#include <cstddef>
#include <string>

#include "catch.hpp"
#include "chaos.hpp"
#include "load.hpp"

// A server with a replica (tests/brokers/with redis2): a message counts as taken when both have it.

namespace {

using namespace chaos;

struct ReplicaCase : Case {
  using Case::Case;
  const std::string both = RedisStreamsFixture::endpoint();
  const std::string first = both.substr(0, both.find(','));

  Backend::Config config(std::string endpoint) const {
    auto made = Broker::config();
    made.endpoint = std::move(endpoint);
    made.replicas = 1;
    made.replica_timeout = 500ms;
    return made;
  }
  void linked(const std::string& replica) {
    eventually(
        *this, [&] { return mentions(cli(replica, "info replication"), "master_link_status:up"); },
        replica, " to follow the other one");
  }
  static std::string cli(const std::string& server, const std::string& arguments) {
    return ctl("exec " + server + " redis-cli " + arguments);
  }
  static void wants_ok(const std::string& server, const std::string& arguments) {
    const std::string said = cli(server, arguments);
    if (!mentions(said, "OK")) violated("redis-cli ", arguments, " said: ", said);
  }
  long entries(const std::string& server, const std::string& topic) const {
    long count = 0;
    for (int shard = 0; shard < shards; ++shard) {
      count += std::stol(cli(server, "xlen " + stream_of(topic, shard)));
    }
    return count;
  }
};

TEST_CASE("what is ok is on the replica, and nobody knows while that does not answer", "[.replica]") {
  ReplicaCase f{"replica"};
  f.linked("redis2");
  const auto topic = f.topic();
  ChaosBus bus{f.config(f.first)};
  for (int i = 1; i <= 10; ++i) {
    bus.publish(topic, message(std::to_string(i), "k")).value();
    REQUIRE(f.entries("redis2", topic) == i);
  }
  AtEnd awake{"resume redis2"};
  ctl("pause redis2");
  const auto asked = Clock::now();
  const auto doubtful = bus.publish(topic, message("doubtful", "k"), {.timeout = 20s});
  REQUIRE_FALSE(doubtful);
  CHECK(doubtful.error().code == ob::Errc::outcome_unknown);
  CHECK(mentions(doubtful.error().message(), "replicas"));
  CHECK(Clock::now() - asked < 10s);
  awake.run();
  eventually(
      f, [&] { return bus.publish(topic, message("again", "k")).has_value(); }, "a publish to be ok");
}

TEST_CASE("a replica that takes over has everything that was ok, and order is kept", "[.replica]") {
  ReplicaCase f{"failover"};
  f.linked("redis2");
  ::signal(SIGPIPE, SIG_DFL);  // it would end this process
  const auto topic = f.topic();
  ChaosBus bus{f.config(f.both)};
  Ledger ledger;
  const auto subscription = bus.subscribe(topic, ledger.handler(), {.concurrency = 4});
  registered(f, subscription);
  Load load{f, bus, topic, {.timeout = 60s}};
  load.wait_for_more(2000);
  ctl("kill redis1");
  const auto killed = Clock::now();
  f.wants_ok("redis2", "replicaof no one");
  ctl("start redis1");
  const std::string second = f.both.substr(f.both.rfind(':') + 1);
  f.wants_ok("redis1", "replicaof 127.0.0.1 " + second);
  f.linked("redis1");
  figure("failover: first ok ", seconds(load.first_ok_after(killed) - killed), " s after the kill");
  load.wait_for_more(500);
  const auto sent = load.finish();
  figure("failover: ", kinds_of(sent));
  expect_ok_handled(f, sent, ledger);
  CHECK(ledger.problem() == "");
}

}  // namespace
