// SPDX-License-Identifier: MIT
#include "catch.hpp"
#include "chaos.hpp"
#include "load.hpp"
#include "order.hpp"

// Three nodes, of which one dies: tests/brokers/with rabbitmq3 -- chaos_rabbitmq "[cluster]".

namespace {

using namespace chaos;

/// The node, such as rabbitmq2, that leads this queue.
std::string leader_of(const std::string& queue) {
  const std::string queues = ctl("exec rabbitmq1 rabbitmqctl -q list_queues name leader");
  std::istringstream lines{queues};
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind(queue + "\t", 0) == 0) {
      const std::string node = line.substr(queue.size() + 1);
      return node.substr(0, node.find('@'));
    }
  }
  violated("no queue ", queue, " in: ", queues);
}

TEST_CASE("the node that leads the queues dies under load, and nothing that was ok is lost",
          "[.cluster][cluster]") {
  Case f{"cluster, leader killed"};
  f.deadline = 100s;
  const auto topic = f.topic();
  Ledger ledger;
  ChaosBus bus{f.config()};
  const auto subscription = bus.subscribe(topic, ledger.handler(), {.concurrency = 4});
  registered(f, subscription);
  Load load{f, bus, topic, {.timeout = 100s}};
  load.wait_for_more(500);
  const std::string leader = leader_of(topic + "/g/0");
  const HealthWatch watch{bus};
  AtEnd running{"start " + leader};
  ctl("kill " + leader);
  const auto killed = Clock::now();
  load.wait_for_more(1000);  // two nodes are enough
  const auto went_on = Clock::now();
  healthy(f, bus);
  figure("cluster: ", leader, " killed; 1000 more ok after ", seconds(went_on - killed),
         " s, first after ", seconds(load.first_ok_after(killed) - killed), " s, healthy after ",
         seconds(Clock::now() - killed), " s; publishing was red: ",
         watch.publishing_red().has_value(), ", subscription: ",
         watch.subscription_red().has_value());
  running.run();
  load.wait_for_more(500);
  const auto sent = load.finish();
  figure("cluster: ", kinds_of(sent));
  // A queue without a leader refuses; what came before a taken one must not follow it then.
  for (const auto& each : sent) {
    if (each.ending) continue;
    const auto code = each.ending.error().code;
    INFO(each.ending.error().message());
    CHECK((code == ob::Errc::outcome_unknown || code == ob::Errc::rejected));
  }
  expect_ok_handled(f, sent, ledger);
  expect_failed_absent(sent, ledger);
  CHECK(ledger.problem() == "");
  figure("cluster: ", ledger.handled_again(), " handled again of ", sent.size());
}

TEST_CASE("a follower dies under load and hardly anybody notices", "[.cluster][cluster]") {
  Case f{"cluster, follower killed"};
  f.deadline = 100s;
  const auto topic = f.topic();
  History history{false};
  ChaosBus bus{f.config()};
  const auto subscription = bus.subscribe(topic, told(history, 1), {.concurrency = 4});
  registered(f, subscription);
  Load load{f, bus, topic, {.timeout = 100s}};
  load.wait_for_more(200);
  const std::string leader = leader_of(topic + "/g/0");
  const std::string other = leader == "rabbitmq3" ? "rabbitmq2" : "rabbitmq3";
  AtEnd running{"start " + other};
  ctl("kill " + other);
  load.wait_for_more(1000);
  running.run();
  load.wait_for_more(200);
  const auto sent = load.finish();
  expect_all_ok(sent);
  history.wait_for(f, sent.size());
  history.check();
}

}  // namespace
