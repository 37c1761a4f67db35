// SPDX-License-Identifier: MIT
#include <omnibus/message_batch.hpp>

#include <chrono>
#include <set>
#include <string>

#include <catch2/catch.hpp>

using namespace omnibus;

namespace {

struct Placed {
  std::string id;
  bool broken = false;
};

}  // namespace

template <>
struct omnibus::Codec<Placed> {
  static constexpr std::string_view type = "placed";
  static Result<> encode(const Placed& event, std::string& out) {
    if (event.broken) return Error::make(Errc::encode_failed, "encode", "broken");
    out = "order " + event.id;
    return {};
  }
  static std::string_view key(const Placed& event) { return event.id; }
};

TEST_CASE("message batch: events, messages and text stand in it as they were added") {
  MessageBatch batch;
  CHECK(batch.empty());
  REQUIRE(batch.add("orders", Placed{"o-1"}));
  REQUIRE(batch.add("audit", std::string{"text"}, {.key = "k", .headers = {{"h", "v"}}, .id = "mine"}));
  REQUIRE(batch.size() == 2);
  CHECK(batch[0].topic == "orders");
  CHECK(batch[0].message.type == "placed");
  CHECK(batch[0].message.key == "o-1");
  CHECK(batch[0].message.payload == "order o-1");
  CHECK(batch[1].topic == "audit");
  CHECK(batch[1].message.key == "k");
  CHECK(batch[1].message.id == "mine");
  CHECK(batch[1].message.headers.view().get("h") == "v");
  CHECK(batch.bytes() == 13);
  batch.clear();
  CHECK(batch.empty());
  CHECK(batch.bytes() == 0);
}

TEST_CASE("message batch: what cannot be added is not, and what was there stays") {
  MessageBatch batch;
  REQUIRE(batch.add("orders", Placed{"o-1"}));
  const Result<> broken = batch.add("orders", Placed{"o-2", true});
  const Result<> nowhere = batch.add("", Placed{"o-3"});
  REQUIRE_FALSE(broken);
  REQUIRE_FALSE(nowhere);
  CHECK(broken.error().code == Errc::encode_failed);
  CHECK(nowhere.error().code == Errc::invalid_argument);
  REQUIRE(batch.size() == 1);
  CHECK(batch[0].message.key == "o-1");
}

TEST_CASE("message batch: an id and a time are given once") {
  using namespace std::chrono_literals;
  MessageBatch batch;
  REQUIRE(batch.add("orders", Placed{"o-1"}));
  REQUIRE(batch.add("orders", Placed{"o-2"}, {.id = "mine"}));
  REQUIRE(batch.add("orders", Placed{"o-3"}));
  detail::UuidGenerator ids;
  batch.stamp(ids, Time{5s});
  std::set<std::string> first;
  for (const MessageBatch::Each& each : batch) {
    first.insert(each.message.id);
    CHECK(each.message.time == Time{5s});
  }
  CHECK(first.size() == 3);
  CHECK(first.count("mine") == 1);
  batch.stamp(ids, Time{9s});
  for (const MessageBatch::Each& each : batch) {
    CHECK(first.count(each.message.id) == 1);
    CHECK(each.message.time == Time{5s});
  }
}
