// SPDX-License-Identifier: MIT
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "catch.hpp"
#include "chaos.hpp"
#include "raw.hpp"

// Records that are made to hurt: each costs itself, at most.

namespace {

using namespace chaos;

/// A topic of somebody else's with a consumer of ours, whose handler takes what it gets.
struct Victim {
  Case f;
  const std::string topic = f.topic();
  Raw raw;
  Inbox inbox;
  ChaosBus bus{f.config()};
  std::optional<ob::Subscription> subscription;
  int records = 0;

  explicit Victim(std::string_view name) : f{name} {
    f.deadline = 20s;
    raw.create_topic(topic, 1);
    subscription = bus.subscribe(topic, inbox.handler());
    registered(f, *subscription);
    hit("k", "before");
  }
  void hit(Raw::Bytes key, Raw::Bytes payload, const std::vector<Raw::RawHeader>& headers = {}) {
    raw.produce(topic, 0, key, payload, headers);
    ++records;
  }
  /// Everything has come, once, with an id of its own, and is committed.
  std::vector<Got> all() {
    hit("k", "after");
    inbox.wait_for(f, "after");
    drained(f, *subscription);
    const auto got = inbox.all();
    CHECK(got.size() == static_cast<std::size_t>(records));
    const Committed committed{"g", topic, 1};
    eventually(
        f, [&] { return committed.ask() == std::vector<std::int64_t>{records}; }, "the commit");
    CHECK(subscription->health().ok);
    return got;
  }
};

TEST_CASE("foreign records are welcome: without key, without payload, with binary headers") {
  Victim victim{"foreign records"};
  const std::string bytes("\x00\xFF\xFE\x80", 4);
  victim.hit({}, "no key");
  victim.hit("no payload", {});
  victim.hit({}, {});
  victim.hit("", "");
  victim.hit(bytes, bytes, {{"binary", bytes}, {"null", {}}, {"empty", ""}, {"twice", "1"}, {"twice", "2"}});
  const auto got = victim.all();
  REQUIRE(got.size() == 7);
  CHECK(got[1].message.key.empty());
  CHECK(got[1].message.payload == "no key");
  CHECK(got[2].message.key == "no payload");
  CHECK(got[2].message.payload.empty());
  CHECK(got[3].message.payload.empty());
  CHECK(got[5].message.key == bytes);
  CHECK(got[5].message.payload == bytes);
  const ob::Headers& headers = got[5].message.headers;
  CHECK(headers.get("binary") == bytes);
  CHECK(headers.contains("null"));
  CHECK(headers.get("null").empty());
  CHECK(headers.contains("empty"));
  CHECK(headers.size() == 5);
  std::set<std::string> ids;
  for (const Got& each : got) ids.insert(each.message.id);
  CHECK(ids.size() == got.size());
  CHECK_FALSE(ids.contains(""));
}

TEST_CASE("our own header with garbage in it costs one record at most") {
  Victim victim{"garbage in the header"};
  const std::string own{ob::kafka::own_header};
  Dice dice{victim.f.seed};
  std::vector<std::string> values{
      "",
      "\n",
      "\n\n\n\n",
      "%",
      "%0",
      "%zz\n%",
      "id\ntype\ns",
      "id\ntype\ns.",
      "id\ntype\ns99999999999999999999999.99999999999999999999999",
      "id\ntype\ns-1.-1\na-1\nd-1",
      "id\ntype\na4294967296",
      "id\ntype\nd-9223372036854775808",
      std::string("\0\0\0\0", 4),
      std::string(100'000, '%'),
      std::string(100'000, '\n'),
      "id\ntype\n" + std::string(100'000, 'g'),
  };
  for (int i = 0; i < 200; ++i) {
    std::string random(dice.roll(200), ' ');
    for (char& c : random) c = static_cast<char>(dice.roll(256));
    values.push_back("id\ntype\n" + random);
    values.push_back(std::move(random));
  }
  const auto hits = values.size();
  for (std::size_t i = 0; i < hits; ++i) {
    victim.hit("k", std::to_string(i), {{"first", "1"}, {own, values[i]}, {"last", "2"}});
  }
  const auto got = victim.all();
  for (const Got& each : got) {
    if (each.message.payload == "before" || each.message.payload == "after") continue;
    INFO(each.message.payload);
    CHECK(each.message.headers.size() == 2);
    CHECK_FALSE(each.message.id.empty());
  }
}

TEST_CASE("what a topic itself holds is for everyone and at once, whatever our own header says there") {
  Victim victim{"far due time"};
  const std::string own{ob::kafka::own_header};
  victim.hit("k", "in 300 years", {{own, "id\ntype\nd9223372036854775807"}});
  victim.hit("k", "for others", {{own, "id2\ntype\ngsomebody else"}});
  victim.hit("k", "next");
  victim.inbox.wait_for(victim.f, "next");
  drained(victim.f, *victim.subscription);
  CHECK(victim.inbox.times("in 300 years") == 1);
  CHECK(victim.inbox.times("for others") == 1);
}

TEST_CASE("1,000 headers and long names cost one record") {
  Victim victim{"1,000 headers"};
  std::vector<Raw::RawHeader> headers;
  for (int i = 0; i < 1000; ++i) headers.push_back({"h" + std::to_string(i), "v"});
  victim.hit("k", "many", headers);
  victim.hit("k", "long", {{std::string(30'000, 'n'), std::string(300'000, 'v')}});
  victim.hit("k", "same", std::vector<Raw::RawHeader>(1000, {"same", "v"}));
  victim.hit(std::string(200'000, 'k'), "key");
  const auto got = victim.all();
  REQUIRE(got.size() == 6);
  CHECK(got[1].message.headers.size() == 1000);
  CHECK(got[1].message.headers.get("h999") == "v");
  CHECK(got[2].message.headers.get(std::string(30'000, 'n')).size() == 300'000);
  CHECK(got[3].message.headers.size() == 1000);
  CHECK(got[4].message.key.size() == 200'000);
}

TEST_CASE("hostile records that are not handled stand as dead letters, bytes and headers") {
  Case f{"hostile dead letters"};
  const auto topic = f.topic();
  Raw raw;
  raw.create_topic(topic, 1);
  ChaosBus bus{f.config()};
  Inbox dead, good;
  const auto subscription = bus.subscribe(topic, [&](const ob::Delivery& delivery) -> ob::Result<> {
    if (delivery.payload() != "good") return ob::permanent("no");
    good.add(delivery);
    return {};
  });
  const auto graves = bus.subscribe(topic + ".g.dlq", dead.handler());
  registered(f, subscription);
  const std::string bytes("\x00\xFF\n%", 4);
  std::vector<Raw::RawHeader> many;
  for (int i = 0; i < 1000; ++i) many.push_back({"h" + std::to_string(i), "v"});
  raw.produce(topic, 0, bytes, bytes, {{"binary", bytes}, {"null", {}}, {"omnibus", bytes}});
  raw.produce(topic, 0, {}, {});
  raw.produce(topic, 0, "k", "many", many);
  raw.produce(topic, 0, "k", "long", {{std::string(30'000, 'n'), std::string(300'000, 'v')}});
  raw.produce(topic, 0, "k", "good");
  good.wait_for(f, "good");
  dead.wait_for(f, 4);
  drained(f, subscription);
  const auto got = dead.all();
  const auto with_payload = [&](std::string_view payload) {
    for (const Got& each : got) {
      if (each.message.payload == payload) return each;
    }
    violated("no dead letter ", payload.size());
  };
  CHECK(with_payload(bytes).message.key == bytes);
  CHECK(with_payload(bytes).message.headers.get("binary") == bytes);
  CHECK(with_payload("many").message.headers.get("h999") == "v");
  (void)with_payload("long");
  (void)with_payload("");
  CHECK(subscription.health().ok);
}

}  // namespace
