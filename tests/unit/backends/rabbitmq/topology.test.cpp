// SPDX-License-Identifier: MIT
#include <omnibus/backends/rabbitmq/topology.hpp>

#include <map>
#include <set>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::rabbitmq;
using namespace omnibus::unit;

namespace {

std::string as_text(const Argument& argument) {
  if (const auto* number = std::get_if<std::int64_t>(&argument.value)) {
    return argument.name + "=" + std::to_string(*number);
  }
  if (const auto* text = std::get_if<std::string>(&argument.value)) {
    return argument.name + "='" + *text + "'";
  }
  return argument.name + (std::get<bool>(argument.value) ? "=true" : "=false");
}

struct AsText {
  std::string operator()(const DeclareExchange& exchange) const {
    return (exchange.passive ? "passive " : "") + exchange.type + " exchange " + exchange.name +
           (exchange.alternate.empty() ? "" : " else " + exchange.alternate);
  }
  std::string operator()(const DeclareQueue& queue) const {
    std::string text = (queue.passive ? "passive " : "") + ("queue " + queue.name);
    for (const Argument& each : queue.arguments) text += " " + as_text(each);
    return text;
  }
  std::string operator()(const Bind& bind) const {
    return "bind " + bind.queue + " to " + bind.exchange + " by '" + bind.routing_key + "'";
  }
  std::string operator()(const Lock& lock) const { return "lock " + lock.name; }
  std::string operator()(const Unlock& lock) const { return "unlock " + lock.name; }
};

/// One line for each declaration.
std::string as_text(const Topology& topology) {
  std::string text;
  for (const Declaration& each : topology) text += std::visit(AsText{}, each) + "\n";
  return text;
}

/// The names of queues and exchanges that a topology makes; the kind stands before the name.
std::set<std::string> names_in(const Topology& topology) {
  std::set<std::string> names;
  for (const Declaration& each : topology) {
    if (const auto* queue = std::get_if<DeclareQueue>(&each)) names.insert("queue " + queue->name);
    if (const auto* exchange = std::get_if<DeclareExchange>(&each)) {
      names.insert("exchange " + exchange->name);
    }
  }
  return names;
}

/// Who has a name already, over what all these topics and groups need.
std::string name_taken_twice(const std::vector<std::string>& words, std::int32_t shards) {
  Shape shape;
  shape.shards = shards;
  shape.hold = shape.log = true;
  std::map<std::string, std::string> owners;
  std::string clash;
  const auto take = [&](const Topology& topology, const std::string& owner,
                        const std::set<std::string>& shared) {
    for (const std::string& name : names_in(topology)) {
      if (shared.contains(name) || name == "queue omnibus/sink") continue;
      const auto [found, is_new] = owners.emplace(name, owner);
      if (is_new || found->second == owner) continue;
      clash += name + " of " + found->second + " and " + owner + "\n";
    }
  };
  for (const std::string& topic : words) {
    const Topology base = topic_topology(topic, shape);
    take(base, "topic " + topic, {});
    for (Duration tier = 10ms; tier < 1000s; tier = delay_tier(tier * 5 / 2)) {
      take(later_topology(topic, topic, tier), "later of " + topic, {});
    }
    for (const std::string& group : words) {
      take(group_topology(topic, group, shape), "group " + group + " of " + topic, names_in(base));
      const std::string name = topic + "/" + group;
      for (Duration tier = 10ms; tier < 1000s; tier = delay_tier(tier * 5 / 2)) {
        take(later_topology(name, "", tier), "later of " + name, {});
      }
    }
  }
  return clash;
}

}  // namespace

TEST_CASE("rabbitmq: names of the broker contain what no name of a user can") {
  CHECK(shard_queue("a.b", "c", 12) == "a.b/c/12");
  CHECK(members_queue("a", "c") == "a/c/members");
  CHECK(log_queue("a") == "a/log");
  CHECK(held_queue("a") == "a/held");
  CHECK(alternate_exchange("a", 4) == "a/unrouted-of-4");
  CHECK(later_exchange("a/c", 20ms) == "a/c/@20ms");
  CHECK(later_exchange("a", 500'000s) == "a/@500000000ms");
}

TEST_CASE("rabbitmq: topics and groups of whatever name share no queue and no exchange") {
  const std::vector<std::string> words{"a", "b", "a.b", "log", "held", "members", "0", "1",
                                       "unrouted-of-4", "omnibus", "sink"};
  CHECK(name_taken_twice(words, 4) == "");
}

TEST_CASE("rabbitmq: a group may bear the name of what waits, however many shards there are") {
  CHECK(name_taken_twice({"a", "later", "10"}, 12) == "");
}

TEST_CASE("rabbitmq: what a topic needs, for every shape") {
  Shape shape;
  shape.shards = 2;
  const std::string exchange = "direct exchange orders else orders/unrouted-of-2\n";
  const std::string held =
      "fanout exchange orders/unrouted-of-2\n"
      "queue orders/held x-queue-type='quorum' x-single-active-consumer=true "
      "x-delivery-limit=1000000\n"
      "bind orders/held to orders/unrouted-of-2 by ''\n";
  const std::string log =
      "queue orders/log x-queue-type='stream' x-max-age='90s'\n"
      "bind orders/log to orders by '0'\n"
      "bind orders/log to orders by '1'\n";
  CHECK(as_text(topic_topology("orders", shape)) == exchange);
  shape.hold = true;
  const std::string lock = "lock orders\n";
  const std::string unlock = "unlock orders\n";
  CHECK(as_text(topic_topology("orders", shape)) == exchange + lock + held + unlock);
  shape.log = true;
  shape.log_age = 90s;
  CHECK(as_text(topic_topology("orders", shape)) == exchange + lock + held + log + unlock);
  shape.hold = false;
  CHECK(as_text(topic_topology("orders", shape)) == exchange + lock + log + unlock);
  shape.queues = QueueType::classic;  // says what groups have, not what holds or keeps
  CHECK(as_text(topic_topology("orders", shape)) == exchange + lock + log + unlock);
}

TEST_CASE("rabbitmq: what a group needs, whatever else the shape wants") {
  Shape shape;
  shape.shards = 2;
  const auto expected = [](const std::string& rest) {
    return "direct exchange orders else orders/unrouted-of-2\n"
           "lock orders/billing/members\n"
           "queue orders/billing/0 x-single-active-consumer=true" +
           rest +
           "\n"
           "bind orders/billing/0 to orders by '0'\n"
           "queue orders/billing/1 x-single-active-consumer=true" +
           rest +
           "\n"
           "bind orders/billing/1 to orders by '1'\n"
           "queue orders/billing/members x-queue-type='quorum' x-expires=86400000\n"
           "unlock orders/billing/members\n";
  };
  const std::string quorum = " x-queue-type='quorum' x-delivery-limit=1000000";
  CHECK(as_text(group_topology("orders", "billing", shape)) == expected(quorum));
  shape.hold = shape.log = true;
  CHECK(as_text(group_topology("orders", "billing", shape)) == expected(quorum));
  shape.queues = QueueType::classic;
  CHECK(as_text(group_topology("orders", "billing", shape)) == expected(""));
}

TEST_CASE("rabbitmq: where messages wait, and where they go from there") {
  const auto expected = [](const std::string& name, const std::string& target) {
    const std::string waiting = name + "/@50ms";
    return "lock " + waiting + "\nfanout exchange " + waiting + "\nqueue " + waiting +
           " x-queue-type='quorum' x-message-ttl=50 x-dead-letter-exchange='" + target +
           "' x-dead-letter-strategy='at-least-once' x-overflow='reject-publish'\nbind " + waiting +
           " to " + waiting + " by ''\nunlock " + waiting + "\n";
  };
  CHECK(as_text(later_topology("orders/billing", "", 50ms)) == expected("orders/billing", ""));
  CHECK(as_text(later_topology("orders", "orders", 50ms)) == expected("orders", "orders"));
}

namespace {

/// What is wrong with the way that a delay goes; empty when nothing is.
std::string flaw_of(Duration delay) {
  const Duration slack = std::max(delay / 8, Duration{10ms});
  Duration left = delay;
  Duration total{};
  int hops = 0;
  do {
    const Duration tier = delay_tier(left);
    std::int64_t digits = tier / 1ms;
    if (tier % 1ms != Duration::zero() || tier < 10ms || tier > 500'000s) return "no tier";
    while (digits % 10 == 0) digits /= 10;
    if (digits != 1 && digits != 2 && digits != 5) return "not of the series";
    total += tier;
    left = left > tier ? left - tier : Duration::zero();
    if (++hops > 24 + static_cast<int>(delay / 500'000s)) return "too many hops";
  } while (left > Duration::zero());
  if (total < delay) return "early";
  if (total - std::max(delay, Duration::zero()) > slack) return "late";
  return "";
}

}  // namespace

TEST_CASE("rabbitmq: over all its hops a delay is never early, and hardly late") {
  for (const Duration delay : {Duration{-5s}, Duration{0}, Duration{1}, Duration{10ms} - 1ns,
                               Duration{10ms}, Duration{10ms} + 1ns, Duration{20ms}, Duration{21ms},
                               Duration{1s}, Duration{500'000s}, Duration{500'000s} + 1ns,
                               Duration{30 * 24h}, Duration{1000 * 24h}}) {
    CAPTURE(delay.count());
    CHECK(flaw_of(delay) == "");
  }
  std::mt19937_64 random{7};
  for (int i = 0; i < 200'000; ++i) {
    // Every magnitude up to 40 days.
    const Duration delay{static_cast<std::int64_t>(random() % 3'456'000'000'000'000) >>
                         (random() % 52)};
    if (const std::string flaw = flaw_of(delay); !flaw.empty()) {
      FAIL(flaw << " of " << delay.count());
    }
  }
}

TEST_CASE("rabbitmq: a delay that has a queue of its own takes one hop") {
  for (const Duration tier : {Duration{10ms}, Duration{20ms}, Duration{50ms}, Duration{100ms},
                              Duration{1s}, Duration{5s}, Duration{200s}, Duration{500'000s}}) {
    CHECK(delay_tier(tier) == tier);
  }
  CHECK(delay_tier(Duration::max()) == 500'000s);
}

// These values must never change: keys would move to other shards, and overtake themselves.
TEST_CASE("rabbitmq: known keys are in the shards in which they have always been") {
  const auto shard = [](std::string id, std::string key, std::int32_t shards) {
    const Message message = message_of(std::move(id), std::move(key));
    return shard_of(shard_hash(message.view()), shards);
  };
  CHECK(shard("x", "order-17", 4) == 2);
  CHECK(shard("x", "order-17", 256) == 0xaa);
  CHECK(shard("x", "order-17", 7) == static_cast<std::int32_t>(0x9fb070cabb22dbaa % 7));
  CHECK(shard("x", "", 4) == shard("", "x", 4));  // the id stands in for a key
  CHECK(shard("", "", 4) == 0);
  CHECK(shard("y", "k", 1) == 0);
  CHECK(shard("", "customer-1", 16) == 9);
  CHECK(shard("", "customer-2", 16) == 4);
  CHECK(shard("", "ü\n", 16) == 7);
  CHECK(shard("01890a5d-ac96-774b-bcce-b302099a8057", "", 16) == 5);
}

TEST_CASE("rabbitmq: every shard gets its share of keys") {
  for (const std::int32_t shards : {1, 2, 3, 4, 7, 256}) {
    std::map<std::int32_t, int> counts;
    for (int i = 0; i < 200 * shards; ++i) {
      const Message message = message_of("same", "key " + std::to_string(i));
      ++counts[shard_of(shard_hash(message.view()), shards)];
    }
    CHECK(counts.size() == static_cast<std::size_t>(shards));
    CHECK(counts.begin()->first == 0);
    CHECK(counts.rbegin()->first == shards - 1);
    for (const auto& [shard, count] : counts) CHECK(count > 120);
  }
}
