// SPDX-License-Identifier: MIT
#include <omnibus/detail/parking_lot.hpp>

#include <string>
#include <vector>

#include "catch.hpp"

using omnibus::detail::ParkingLot;

namespace {

constexpr ParkingLot::Instant origin{};
struct Key {
  std::string key;
  std::string dead_letter_topic = "dlq";
  std::string died_in = {};
};

}  // namespace

TEST_CASE("a key is parked where its first dead letter went, and others are not") {
  ParkingLot lot;
  CHECK(lot.empty());
  CHECK_FALSE(lot.find("a"));
  lot.park("a", "first.dlq", "", origin);
  lot.park("a", "second.dlq", "", origin);
  REQUIRE(lot.find("a"));
  CHECK(*lot.find("a")->topic == "first.dlq");
  CHECK_FALSE(lot.find("b"));
  CHECK_FALSE(lot.find(""));
  lot.free("b");
  lot.free("a");
  CHECK_FALSE(lot.find("a"));
  CHECK(lot.empty());
  lot.park("a", "other.dlq", "", origin);
  CHECK(*lot.find("a")->topic == "other.dlq");
}

TEST_CASE("the name of a topic stays where it is, whatever becomes of the key") {
  ParkingLot lot;
  lot.park("a", "a.dlq", "", origin);
  const std::string* topic = lot.find("a")->topic;
  for (int i = 0; i < 1000; ++i) lot.park(std::to_string(i), "other.dlq", "", origin);
  lot.free("a");
  lot.begin_load();
  lot.end_load(std::vector<Key>{});
  CHECK(*topic == "a.dlq");
  lot.park("b", "a.dlq", "", origin);
  CHECK(lot.find("b")->topic == topic);
}

TEST_CASE("a lot has room for 65,536 keys") {
  ParkingLot lot;
  bool room = true;
  for (int i = 0; i < 65'536; ++i) {
    room &= lot.has_room_for(std::to_string(i));
    lot.park(std::to_string(i), "dlq", "", origin);
  }
  CHECK(room);
  CHECK(lot.has_room_for("0"));
  CHECK_FALSE(lot.has_room_for("another"));
  lot.free("1");
  CHECK(lot.has_room_for("another"));
}

TEST_CASE("the last redrive in which a letter of a key has died again is remembered") {
  ParkingLot lot;
  lot.park("a", "dlq", "", origin);
  CHECK(lot.find("a")->died_in.empty());
  lot.park("a", "dlq", "first", origin);
  lot.park("a", "dlq", "", origin);
  CHECK(lot.find("a")->died_in == "first");
  lot.park("a", "dlq", "second", origin);
  CHECK(lot.find("a")->died_in == "second");
}

TEST_CASE("when the store is asked about a key again is the key's, and begins with its first letter") {
  using namespace std::chrono_literals;
  ParkingLot lot;
  lot.park("a", "dlq", "", origin + 1s);
  lot.park("a", "dlq", "", origin + 9s);
  CHECK(lot.find("a")->look_at == origin + 1s);
  lot.look_at("a", origin + 2s);
  CHECK(lot.find("a")->look_at == origin + 2s);
  lot.look_at("b", origin);
  CHECK_FALSE(lot.find("b"));
}

TEST_CASE("what the store says replaces what was known, but for what was done while it was asked") {
  ParkingLot lot;
  for (const char* key : {"gone", "freed", "kept"}) lot.park(key, "dlq", "", origin);
  lot.begin_load();
  lot.free("freed");
  lot.park("new", "dlq", "", origin);
  lot.end_load(std::vector<Key>{{"freed"}, {"kept", "theirs.dlq", "pass"}, {"theirs"}});
  CHECK_FALSE(lot.find("gone"));
  CHECK_FALSE(lot.find("freed"));
  CHECK(lot.find("new"));
  CHECK(lot.find("theirs"));
  CHECK(lot.find("kept")->died_in == "pass");
  CHECK(lot.find("kept")->look_at == ParkingLot::Instant::min());

  lot.begin_load();
  lot.cancel_load();
  CHECK(lot.find("kept"));
  lot.begin_load();
  lot.end_load(std::vector<Key>{{"freed"}});
  CHECK(lot.find("freed"));
  CHECK_FALSE(lot.find("new"));
  CHECK_FALSE(lot.empty());
}
