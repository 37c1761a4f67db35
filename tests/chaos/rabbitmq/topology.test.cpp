// SPDX-License-Identifier: MIT
#include "catch.hpp"
#include "chaos.hpp"
#include "load.hpp"
#include "raw.hpp"

// What stands on the broker goes away, is missing, is smaller than thought, or is somebody else's.

namespace {

using namespace chaos;

TEST_CASE("a queue deleted under its consumer is declared again, without a hot loop") {
  Case f{"queue deleted"};
  const auto topic = f.topic();
  ChaosBus bus{f.config()};
  Inbox inbox;
  const auto subscription = bus.subscribe(topic, inbox.handler());
  registered(f, subscription);
  send(f, bus, topic, "before", "k");
  inbox.wait_for(f, "before");
  drained(f, subscription);
  const HealthWatch watch{bus};
  rabbitmqctl("delete_queue " + topic + "/g/0");
  eventually(
      f, [&] { return watch.subscription_red().has_value(); }, "the subscription to be red");
  healthy(f, bus);
  CHECK(watch.said(topic + "/g/0"));
  const auto sent = numbered(200, 40);
  send(f, bus, topic, sent);
  inbox.wait_for(f, sent.size() + 1);
  CHECK(watch.subscription_turns() <= 3);
  CHECK_FALSE(watch.publishing_red());
}

TEST_CASE("an exchange that is not there is not found") {
  Case f{"exchange missing"};
  const auto topic = f.topic();
  auto config = f.config();
  config.existing = {{.topic = topic, .exchange = "nowhere"}};
  ChaosBus bus{config};
  const auto asked = Clock::now();
  const auto result = bus.publish(topic, message("1", "k"));
  CHECK(Clock::now() - asked < 5s);
  REQUIRE_FALSE(result);
  INFO(result.error().message());
  CHECK(result.error().code == ob::Errc::not_found);
  CHECK(result.error().context.find("nowhere") != std::string::npos);
  // Other topics of the same bus go on.
  const auto other = f.topic();
  Inbox inbox;
  const auto subscription = bus.subscribe(other, inbox.handler());
  registered(f, subscription);
  send(f, bus, other, "2", "k");
  inbox.wait_for(f, "2");
}

TEST_CASE("somebody else's exchange goes away, and comes back") {
  Case f{"given exchange deleted"};
  const auto topic = f.topic(), other = f.topic();
  const auto exchange = topic + "-e";
  RawPublisher raw;
  raw.declare_queue(topic + "-q");
  const auto make = [&] { raw.declare_exchange(exchange, topic + "-q"); };
  make();
  auto config = f.config();
  config.existing = {{.topic = topic, .exchange = exchange, .queue = topic + "-q"}};
  ChaosBus bus{config};
  Inbox inbox;
  const auto subscription = bus.subscribe(topic, inbox.handler());
  const auto neighbour = bus.subscribe(other, inbox.handler());
  registered(f, subscription);
  registered(f, neighbour);
  send(f, bus, topic, "1", "k");
  inbox.wait_for(f, "1");
  raw.delete_exchange(exchange);
  std::vector<ob::Result<ob::Receipt>> results;
  for (int i = 0; i < 3; ++i) {
    const auto endings = std::make_shared<Endings>(2);
    bus.publish_async(topic, message("gone", "k"), Endings::completion(endings, 0));
    bus.publish_async(other, message("other " + std::to_string(i), "k"),
                      Endings::completion(endings, 1));
    endings->wait(f);
    REQUIRE_FALSE(*endings->results[0]);
    INFO(endings->results[0]->error().message());
    const auto code = endings->results[0]->error().code;
    CHECK((code == ob::Errc::not_found || (i == 0 && code == ob::Errc::outcome_unknown)));
    if (!*endings->results[1]) FAIL(endings->results[1]->error().message());
  }
  make();
  eventually(
      f, [&] { return bus.publish(topic, message("2", "k")).has_value(); }, "it to be used again");
  inbox.wait_for(f, "2");
  inbox.wait_for(f, "other 2");
  CHECK(inbox.times("gone") == 0);
}

TEST_CASE("a queue to consume that is not there is not found, until it is there") {
  Case f{"queue missing"};
  const auto topic = f.topic();
  auto config = f.config();
  config.existing = {{.topic = topic, .routing_key = topic + "-q", .queue = topic + "-q"}};
  ChaosBus bus{config};
  const HealthWatch watch{bus};
  Inbox inbox;
  const auto subscription = bus.subscribe(topic, inbox.handler());
  eventually(
      f, [&] { return watch.said("not_found") || watch.said("no queue"); }, "health to say it");
  RawPublisher raw;
  raw.declare_queue(topic + "-q");
  registered(f, subscription);
  send(f, bus, topic, "1", "k");
  inbox.wait_for(f, "1");
}

TEST_CASE("an exchange deleted in use is declared again") {
  Case f{"exchange deleted"};
  const auto topic = f.topic();
  ChaosBus bus{f.config()};
  Inbox inbox;
  {
    const auto subscription = bus.subscribe(topic, inbox.handler());
    registered(f, subscription);
    send(f, bus, topic, "before", "k");
    inbox.wait_for(f, "before");
    drained(f, subscription);
    broker_eval("rabbit_exchange:delete(rabbit_misc:r(<<\"/\">>, exchange, <<\"" + topic +
                "\">>), false, <<\"test\">>).");
    const auto asked = Clock::now();
    const auto first = bus.publish(topic, message("lost", "k"));
    const auto second = bus.publish(topic, message("lost", "k"));
    CHECK(Clock::now() - asked < 5s);
    REQUIRE_FALSE(first);  // sent twice: it may have been taken before the exchange went
    INFO(first.error().message());
    CHECK((first.error().code == ob::Errc::unroutable ||
           first.error().code == ob::Errc::outcome_unknown));
    REQUIRE_FALSE(second);  // the exchange is there again, but no queue is bound to it
    CHECK(second.error().code == ob::Errc::unroutable);
  }
  const auto subscription = bus.subscribe(topic, inbox.handler());
  registered(f, subscription);
  const auto sent = numbered(40, 20);
  send(f, bus, topic, sent);
  inbox.wait_for(f, sent.size() + 1);
  CHECK(inbox.times("lost") == 0);
}

TEST_CASE("an exchange deleted in use loses nothing of a topic that holds") {
  Case f{"exchange deleted, hold"};
  const auto topic = f.topic();
  auto config = f.config();
  config.hold = true;
  ChaosBus bus{config};
  const auto before = numbered(20, 4);
  send(f, bus, topic, before);
  broker_eval("rabbit_exchange:delete(rabbit_misc:r(<<\"/\">>, exchange, <<\"" + topic +
              "\">>), false, <<\"test\">>).");
  auto after = numbered(40, 4);
  after.erase(after.begin(), after.begin() + 20);
  send(f, bus, topic, after);
  Inbox inbox;
  const auto subscription = bus.subscribe(topic, inbox.handler());
  inbox.wait_for(f, 40);
  expect_exactly(inbox, numbered(40, 4));
}

TEST_CASE("what is too large for the broker is refused, and nothing else") {
  Case f{"too large"};
  const auto topic = f.topic();
  AtEnd normal{
      "exec rabbitmq rabbitmqctl -q eval "
      "'application:set_env(rabbit, max_message_size, 134217728).'"};
  broker_eval("application:set_env(rabbit, max_message_size, 100000).");
  ChaosBus bus{f.config()};
  History history{false};
  std::atomic<std::size_t> large = 0;
  const auto subscription = bus.subscribe(
      topic,
      [&](const ob::Delivery& delivery) -> ob::Result<> {
        if (delivery.payload().size() > 100'000) ++large;
        history.begin(1, delivery);
        history.end(1, delivery, true);
        return {};
      },
      {.concurrency = 4});
  registered(f, subscription);
  std::vector<ob::Message> sent;
  std::set<std::size_t> hostile;
  for (std::size_t i = 0; i < 300; ++i) {
    if (i == 0 || i == 150 || i == 151 || i == 298) {
      hostile.insert(sent.size());
      sent.push_back(message(std::string(150'000 + i, '9'), "key-0"));
    }
    sent.push_back(message(std::to_string(i / 3), "key-" + std::to_string(i % 3)));
  }
  const auto endings = try_send(f, bus, topic, sent);
  for (std::size_t i = 0; i < sent.size(); ++i) {
    if (!hostile.contains(i)) {
      if (!endings[i]) FAIL(i << ": " << endings[i].error().message());
    } else {
      REQUIRE_FALSE(endings[i]);
      INFO(endings[i].error().message());
      CHECK(endings[i].error().code == ob::Errc::too_large);
    }
  }
  history.wait_for(f, 300);
  history.check();
  CHECK(large == 0);
  // Two of one size at once, of which the broker names none.
  const std::vector twins{message(std::string(150'000, '9'), "key-1"), message("100", "key-1"),
                          message(std::string(150'000, '9'), "key-1"), message("101", "key-1")};
  const auto again = try_send(f, bus, topic, twins);
  CHECK_FALSE(again[0]);
  CHECK(again[1]);
  CHECK_FALSE(again[2]);
  CHECK(again[3]);
  history.wait_for(f, 302);
  history.check();
}

TEST_CASE("messages of another program are welcome") {
  Case f{"foreign messages"};
  const auto topic = f.topic();
  const auto queue = topic + "-q";
  RawPublisher raw;
  raw.declare_queue(queue);
  auto config = f.config();
  config.existing = {{.topic = topic, .routing_key = queue, .queue = queue}};
  ChaosBus bus{config};
  Inbox inbox;
  const auto subscription = bus.subscribe(topic, inbox.handler());
  std::string headers;
  add_field(headers, "count", 'I', std::string("\xFF\xFF\xFF\xD6", 4));
  add_field(headers, "big", 'l', std::string("\x00\x00\x00\x02\x00\x00\x00\x00", 8));
  add_field(headers, "yes", 't', "\x01");
  add_field(headers, "nothing", 'V', "");
  add_field(headers, "text", 'S', sized(std::string(5000, 'x')));
  std::string inner, list;
  add_field(inner, "a", 'b', "\x07");
  add_field(inner, "b", 'S', sized("say \"hi\""));
  add_field(headers, "table", 'F', sized(inner));
  list = std::string("t\x00", 2) + "S" + sized("z");
  add_field(headers, "list", 'A', sized(list));
  raw.publish(queue, "{\"id\":1}", headers, "application/json");
  raw.publish(queue, std::string("\x00\xFF\xFE", 3), "", "application/x-\x80nonsense");
  raw.publish(queue, "", "", "");
  inbox.wait(
      f, [](const auto& got) { return got.size() == 3; }, "three messages");
  const auto got = inbox.all();
  const ob::Headers& seen = got[0].message.headers;
  CHECK(got[0].message.payload == "{\"id\":1}");
  CHECK(got[0].message.id.empty());
  CHECK(got[0].message.key.empty());
  CHECK(got[0].attempt == 1);
  CHECK(seen.get("content-type") == "application/json");
  CHECK(seen.get("count") == "-42");
  CHECK(seen.get("big") == "8589934592");
  CHECK(seen.get("yes") == "true");
  CHECK(seen.contains("nothing"));
  CHECK(seen.get("nothing").empty());
  CHECK(seen.get("text") == std::string(5000, 'x'));
  CHECK(seen.get("table") == R"({"a":7,"b":"say \"hi\""})");
  CHECK(seen.get("list") == R"([false,"z"])");
  CHECK(got[1].message.payload == std::string("\x00\xFF\xFE", 3));
  CHECK(got[1].message.headers.get("content-type") == "application/x-\x80nonsense");
  CHECK(got[2].message.payload.empty());
  CHECK(got[2].message.headers.empty());
  send(f, bus, topic, "ours", "k");
  inbox.wait_for(f, "ours");
}

}  // namespace
