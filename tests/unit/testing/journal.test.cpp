// SPDX-License-Identifier: MIT
#include <omnibus/testing/journal.hpp>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;
using omnibus::testing::Journal;
using omnibus::testing::Record;
using omnibus::testing::still_running;

namespace {

Record record_of(DeliveryEvent event, std::string id) {
  Record record;
  record.event = event;
  record.topic = "orders";
  record.group = "billing";
  record.id = std::move(id);
  return record;
}

}  // namespace

TEST_CASE("a journal keeps what it is told, in order, with the time since it began") {
  FakeContext context;
  Journal journal{context.time};
  Received message{context, message_of("id", "key", "payload"), 2};
  context.time.advance(3s);
  journal.delivered(message.delivery);
  context.time.advance(1s);
  journal.retrying(message.delivery, retryable("no"));
  journal.dropped(message.delivery);
  journal.handled(message.delivery);
  journal.duplicate(message.delivery);
  journal.given_back(message.delivery);
  journal.out_of_sequence(message.delivery, Error::make(Errc::out_of_sequence, "receive"));
  message.delivery.mark_dead_lettered("dead");
  journal.dead_lettered(message.delivery, permanent("never"));

  const std::vector<Record> all = journal.records();
  REQUIRE(all.size() == 8);
  CHECK(all[0].event == DeliveryEvent::delivered);
  CHECK(all[0].at == 3s);
  CHECK(all[0].topic == "orders");
  CHECK(all[0].group == "billing");
  CHECK(all[0].key == "key");
  CHECK(all[0].id == "id");
  CHECK(all[0].payload == "payload");
  CHECK(all[0].attempt == 3);
  CHECK_FALSE(all[0].error);
  CHECK(all[1].at == 4s);
  CHECK(all[1].error->context == "no");
  CHECK(all[7].dead_letter_topic == "dead");
  CHECK(all[7].error->context == "never");
  for (const auto event : {DeliveryEvent::delivered, DeliveryEvent::retrying, DeliveryEvent::dropped,
                           DeliveryEvent::handled, DeliveryEvent::duplicate, DeliveryEvent::given_back,
                           DeliveryEvent::out_of_sequence, DeliveryEvent::dead_lettered}) {
    CHECK(journal.records(event, "orders").size() == 1);
    CHECK(journal.records(event, "").size() == 1);
    CHECK(journal.records(event, "other").empty());
  }
}

TEST_CASE("a record is one line for a person") {
  Record record = record_of(DeliveryEvent::handled, "1");
  record.at = 1h + 20ms;
  record.attempt = 2;
  record.payload = "two\nlines\xff";
  CHECK(to_line(record) == "3600.02s handled orders/billing \"two.lines.\", attempt 2");
  record.payload = std::string(41, 'x');
  CHECK(to_line(record).find("\"" + std::string(40, 'x') + "...\"") != std::string::npos);
  record = record_of(DeliveryEvent::retrying, "1");
  record.key = "alice";
  record.error = later(1500ms, "busy");
  CHECK(to_line(record) == "0s retrying orders/billing \"\", key alice, attempt 0: handle: busy "
                           "(handler_failed, retryable), again in 1.5s");
  record = record_of(DeliveryEvent::dead_lettered, "1");
  record.dead_letter_topic = "dead";
  record.error = permanent("no");
  CHECK(to_line(record) ==
        "0s dead_lettered orders/billing \"\", attempt 0, to dead: handle: no (handler_failed)");
}

TEST_CASE("an attempt is running from its delivery to whatever ends it") {
  for (const auto ending : {DeliveryEvent::handled, DeliveryEvent::retrying, DeliveryEvent::dead_lettered,
                            DeliveryEvent::dropped, DeliveryEvent::duplicate, DeliveryEvent::given_back}) {
    const auto running = still_running({record_of(DeliveryEvent::delivered, "a"),
                                        record_of(DeliveryEvent::delivered, "b"),
                                        record_of(DeliveryEvent::out_of_sequence, "b"), record_of(ending, "a")});
    REQUIRE(running.size() == 1);
    CHECK(running[0].id == "b");
  }
  CHECK(still_running({}).empty());
  CHECK(still_running({record_of(DeliveryEvent::given_back, "never began")}).empty());
  Record elsewhere = record_of(DeliveryEvent::handled, "a");
  elsewhere.group = "other";
  CHECK(still_running({record_of(DeliveryEvent::delivered, "a"), elsewhere}).size() == 1);
}
