// SPDX-License-Identifier: MIT
#include <omnibus/backends/kafka/outputs.hpp>

#include <string>
#include <vector>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::kafka;
using namespace omnibus::unit;

namespace {

MessageBatch batch(std::vector<std::string> payloads) {
  MessageBatch made;
  for (const auto& each : payloads) REQUIRE(made.add("out", each));
  return made;
}

/// "offset: payloads"; "-" for no share.
std::string text(const std::optional<Outputs::Share>& share) {
  if (!share) return "-";
  std::string all = std::to_string(share->offset) + ":";
  for (const auto& record : share->outputs) {
    for (const auto& each : record.batch) all += " " + each.message.payload;
  }
  return all;
}
std::string take(Outputs& outputs, std::uint64_t first_open, std::int64_t committable, TransactionRoom room = {}) {
  return text(outputs.take(first_open, committable, room));
}

}  // namespace

TEST_CASE("kafka: outputs leave in the order of their records, when all before them are done") {
  Outputs outputs;
  outputs.add(2, 12, batch({"c"}));
  outputs.add(0, 10, batch({"a", "A"}));
  CHECK(outputs.messages() == 3);
  CHECK(outputs.bytes() == 3);
  CHECK(take(outputs, 1, 11) == "11: a A");  // number 1 is not done
  outputs.committed();
  outputs.add(1, 11, batch({"b"}));
  CHECK(take(outputs, 3, 13) == "13: b c");
  CHECK(outputs.messages() == 0);
  CHECK(outputs.bytes() == 0);
}

TEST_CASE("kafka: without outputs a transaction still says what is done, once") {
  Outputs outputs;
  CHECK(take(outputs, 0, Progress::none) == "-");
  CHECK(take(outputs, 5, 20) == "20:");
  CHECK_FALSE(outputs.has_news(20));
  CHECK(take(outputs, 5, 20) == "-");
  outputs.committed();
  CHECK(take(outputs, 5, 20) == "-");
  CHECK(outputs.has_news(21));
}

TEST_CASE("kafka: what was aborted is taken again, with what has come since") {
  Outputs outputs;
  outputs.add(0, 10, batch({"a"}));
  TransactionRoom room;
  auto share = outputs.take(1, 11, room);
  REQUIRE(text(share) == "11: a");
  outputs.add(1, 11, batch({"b"}));
  outputs.put_back(*std::move(share));
  CHECK(outputs.messages() == 2);
  CHECK(outputs.has_news(11));
  CHECK(take(outputs, 2, 12) == "12: a b");
}

TEST_CASE("kafka: an abort goes back to what was committed, not further") {
  Outputs outputs;
  CHECK(take(outputs, 1, 11) == "11:");
  outputs.committed();
  TransactionRoom room;
  auto share = outputs.take(2, 12, room);
  outputs.put_back(*std::move(share));
  CHECK_FALSE(outputs.has_news(11));
  CHECK(outputs.has_news(12));
}

TEST_CASE("kafka: a transaction without room for all says exactly whose outputs it has") {
  Outputs outputs;
  for (std::uint64_t i = 0; i < 4; ++i) outputs.add(i, static_cast<std::int64_t>(10 + 2 * i), batch({"x", "y"}));
  CHECK(take(outputs, 4, 18, {.messages = 5}) == "13: x y x y");
  outputs.committed();
  CHECK(outputs.has_news(18));
  CHECK(take(outputs, 4, 18, {.messages = 1}) == "15: x y");  // the first always fits
  outputs.committed();
  CHECK(take(outputs, 4, 18, {.messages = 1, .untouched = false}) == "-");  // others took the room
  CHECK(take(outputs, 4, 18, {.bytes = 2}) == "18: x y");
}

TEST_CASE("kafka: an offset that goes back, of a topic that was made anew, is news") {
  Outputs outputs;
  CHECK(take(outputs, 5, 20) == "20:");
  outputs.committed();
  CHECK(take(outputs, 5, 0) == "0:");
}
