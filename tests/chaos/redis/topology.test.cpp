// SPDX-License-Identifier: MIT
#include "catch.hpp"
#include "chaos.hpp"
#include "load.hpp"
#include "problems.hpp"

// Others delete what we use, or read and write beside us.

namespace {

using namespace chaos;

std::string quoted_streams(const std::string& topic) {
  std::string all;
  for (int shard = 0; shard < shards; ++shard) all += " " + stream_of(topic, shard);
  return all;
}

/// How many commands the server has run so far.
long commands_so_far() {
  const std::string stats = redis_cli("info stats");
  constexpr std::string_view name = "total_commands_processed:";
  return std::stol(stats.substr(stats.find(name) + name.size()));
}

/// Deletes something under load: what is published afterwards is handled, and health says it.
template <class Deletes>
void deleted(Case& f, const char* what, Deletes deletes) {
  const auto topic = f.topic();
  Ledger ledger;
  ChaosBus bus{f.config()};
  const auto subscription = bus.subscribe(topic, ledger.handler(), {.concurrency = 4});
  registered(f, subscription);
  const HealthWatch watch{bus};
  Load load{f, bus, topic};
  load.wait_for_more(500);
  deletes(topic);
  load.wait_for_more(1);
  const auto deleted_at = Clock::now();
  const std::size_t before = load.ok();
  load.wait_for_more(1000);
  healthy(f, bus);
  const auto sent = load.finish();
  expect_all_ok(sent);
  std::size_t count = 0;
  std::vector<Load::Sent> after;
  for (const auto& each : sent) {
    if (count++ >= before + 200) after.push_back(each);  // surely published when it was gone
  }
  REQUIRE(after.size() >= 500);
  expect_ok_handled(f, after, ledger);
  figure(what, ": what came after it is handled ", seconds(Clock::now() - deleted_at),
         " s after; ", ledger.handled_again(), " handled again of ", sent.size(),
         "; the subscription turned red ", watch.subscription_turns(), " times");
  INFO(watch.words_of());
  CHECK(watch.subscription_turns() >= 1);
  CHECK(watch.subscription_turns() <= 3);
  CHECK(ledger.problem() == "");
  // At rest it is quiet again.
  drained(f, subscription);
  const long commands = commands_so_far();
  const auto from = Clock::now();
  eventually(
      f, [&] { return Clock::now() - from > 1s; }, "a second to pass");
  const long rate = commands_so_far() - commands;
  figure(what, ": ", rate, " commands in the second after it");
  CHECK(rate < 1000);
}

TEST_CASE("a group deleted under its consumer is made again, from the beginning, and it is said") {
  Case f{"group deleted"};
  deleted(f, "group deleted", [&](const std::string& topic) {
    for (int shard = 0; shard < shards; ++shard) {
      CHECK(redis_cli("xgroup destroy " + stream_of(topic, shard) + " g") == "1");
    }
  });
}

TEST_CASE("streams deleted under their consumer are made again, and it is said") {
  Case f{"streams deleted"};
  deleted(f, "streams deleted", [&](const std::string& topic) {
    CHECK(redis_cli("del" + quoted_streams(topic)) == "4");
  });
}

TEST_CASE("everything deleted under a consumer is made again, and it is said") {
  Case f{"everything deleted"};
  deleted(f, "FLUSHALL", [&](const std::string&) { redis_sets("flushall"); });
}

TEST_CASE("entries deleted and trimmed before they were handled are told, and are no obstacle") {
  Case f{"entries deleted"};
  const auto topic = f.topic();
  ChaosBus bus{f.config()};
  Inbox inbox;
  Gate gate;
  Problems problems;
  ob::EventBus<ob::RedisStreams, Problems> reader{f.config(), problems};
  const auto subscription = reader.subscribe(
      topic,
      [&](const ob::Delivery& delivery) {
        gate.pass();
        inbox.add(delivery);
      },
      {.concurrency = 4, .window = 32});
  const Opener at_end{gate};
  registered(f, subscription);
  send(f, bus, topic, numbered(1000, 40));
  gate.wait_for(f, 4);
  for (int shard = 0; shard < shards; ++shard) {
    redis_cli("xtrim " + stream_of(topic, shard) + " maxlen 10");
  }
  gate.open();
  send(f, bus, topic, "after", "k");
  inbox.wait_for(f, "after");
  drained(f, subscription);
  for (int shard = 0; shard < shards; ++shard) {
    eventually(
        f, [&] { return redis_cli("xpending " + stream_of(topic, shard) + " g").starts_with("0"); },
        "everything to be finished");
  }
  CHECK(inbox.size() < 1001);  // or else nothing was lost
  eventually(
      f, [&] { return mentions(problems.words(), "were dropped before they were read"); },
      "observers to hear of it");
  registered(f, subscription);
}

TEST_CASE("redis-cli reads what omnibus writes, and omnibus what redis-cli writes") {
  Case f{"redis-cli"};
  const auto topic = f.topic();
  ChaosBus bus{f.config()};
  Inbox inbox;
  const auto subscription = bus.subscribe(topic, inbox.handler());
  registered(f, subscription);
  ob::Message sent = message("hello", "customer-7");
  sent.type = "order.placed";
  sent.headers.add("trace", "4bf9");
  const auto receipt = bus.publish(topic, sent);
  REQUIRE(receipt);
  inbox.wait_for(f, "hello");
  const std::string stream = stream_of(topic, receipt->partition);
  const std::string read = redis_cli("xrange " + stream + " - +");
  INFO(read);
  std::istringstream lines{read};
  std::vector<std::string> fields;
  for (std::string line; std::getline(lines, line);) fields.push_back(line);
  REQUIRE(fields.size() == 13);  // the entry's id, and six fields with their values
  CHECK(fields[1] == "omnibus");
  CHECK(fields[2].starts_with("1 "));
  CHECK(fields[3] == "id");
  CHECK(fields[4] == inbox.all().front().message.id);
  CHECK(std::vector<std::string>(fields.begin() + 5, fields.end()) ==
        std::vector<std::string>{"type", "order.placed", "key", "customer-7", "h.trace", "4bf9",
                                 "payload", "hello"});
  CHECK(redis_cli("xinfo groups " + stream).find("g") != std::string::npos);

  redis_cli("xadd " + stream + " '*' payload 'from redis-cli' key customer-7 unit C");
  inbox.wait_for(f, "from redis-cli");
  const Got got = inbox.all().back();
  CHECK(got.message.headers.get("unit") == "C");
  CHECK(got.topic == topic);
  CHECK(got.partition == receipt->partition);
  // An entry that has nothing of what we know is a delivery of its fields.
  redis_cli("xadd " + stream + " '*' temperature 21.5");
  inbox.wait(
      f, [](const auto& all) { return all.size() == 3; }, "the third");
  CHECK(inbox.all().back().message.headers.get("temperature") == "21.5");
  CHECK(inbox.all().back().message.payload.empty());
}

}  // namespace
