// SPDX-License-Identifier: MIT
#include <omnibus/letters.hpp>

#include <string>
#include <vector>

#include <omnibus/omnibus.hpp>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;

namespace {

/// Letters in an embedded broker whose clock nobody moves.
struct Desk {
  VirtualClock clock;
  EventBus<Memory> bus{{.clock = &clock}};
  DeadLetters<Memory> letters{bus, "orders.dlq"};

  void put(const std::string& id, const std::string& key) {
    Message letter = message_of(id, key);
    letter.headers.add(dead_header::topic, "orders").add(dead_header::reason, "no");
    CHECK(bus.publish("orders.dlq", letter));
  }
  std::string standing() {
    std::string ids;
    CHECK(letters
              .scan([&ids](const LetterView& letter) {
                ids.append(letter.message.id).append(" ");
                return true;
              })
              .ending);
    return ids;
  }
};

}  // namespace

TEST_CASE("names that no broker takes are refused") {
  EventBus<Memory> bus;
  CHECK(throws_saying<std::invalid_argument>([&] { DeadLetters bad{bus, "no topic"}; }, "no topic"));
  CHECK(throws_saying<std::invalid_argument>([&] { DeadLetters bad{bus, "dlq", ""}; }, "group"));
}

TEST_CASE("dead letters are worked with while no time goes by") {
  Desk desk;
  CHECK(desk.standing().empty());
  for (const char* each : {"a1", "b1", "a2", "b2"}) desk.put(each, std::string(1, each[0]));
  CHECK(desk.standing() == "a1 b1 a2 b2 ");
  CHECK(desk.letters.redrive_key("b").done == 2);
  CHECK(desk.standing() == "a1 a2 ");
  CHECK(desk.letters.discard_one("a1").done == 1);
  CHECK(desk.letters.discard_one("a1").ending.error().code == Errc::not_found);
  CHECK(desk.letters.redrive_all().done == 1);
  CHECK(desk.standing().empty());
}

TEST_CASE("another group of the dead-letter topic goes its own way") {
  Desk desk;
  desk.put("a", "k");
  DeadLetters others{desk.bus, "orders.dlq", "auditors"};
  CHECK(desk.letters.redrive_all().done == 1);
  CHECK(others.find("a"));
  CHECK(desk.letters.find("a").error().code == Errc::not_found);
}

TEST_CASE("what a visitor throws ends the pass, and the letters stay") {
  Desk desk;
  desk.put("a", "k");
  CHECK_THROWS_AS(desk.letters.redrive([](const LetterView&) -> bool { throw 7; }), int);
  CHECK(desk.standing() == "a ");
}

TEST_CASE("a hundred thousand letters are passed by and redriven") {
  EventBus<Memory> bus;
  DeadLetters letters{bus, "orders.dlq"};
  constexpr std::size_t many = 100'000;
  for (std::size_t i = 0; i < many; ++i) {
    Message letter = message_of(std::to_string(i), std::to_string(i % 1000));
    letter.headers.add(dead_header::topic, "orders");
    bus.publish("orders.dlq", letter).value();
  }
  const LetterReport one = letters.redrive_key("7");
  CHECK(one.done == many / 1000);
  CHECK(one.left == many - many / 1000);
  CHECK(letters.redrive_all().done == many - many / 1000);
}
