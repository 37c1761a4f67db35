// SPDX-License-Identifier: MIT
#include <omnibus/letter.hpp>

#include <string>
#include <vector>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;

namespace {

Message letter(std::string id, std::string reason, std::string topic = "orders") {
  Message made = message_of(std::move(id), "k", "payload", "type");
  made.headers.add("trace", "4bf9")
      .add("omnibus-redriven", "an earlier one")
      .add("omnibus-dead-reason", reason)
      .add("omnibus-dead-code", "handler_failed")
      .add("omnibus-dead-topic", topic)
      .add("omnibus-dead-group", "billing")
      .add("trace", "again");
  made.time = Time{5s};
  made.sequence = {1, 2};
  return made;
}

struct Shown {
  Message message;
  MessageView view = message.view();
  LetterView letter;

  explicit Shown(Message of, std::int32_t partition = 0, Position position = {})
      : message{std::move(of)},
        letter{letter_of({&view, "dlq", partition, position, 0, 1})} {}
  Shown(const Shown&) = delete;
};

}  // namespace

TEST_CASE("a letter becomes the message that it was made of, and says by which redrive") {
  const Message dead = letter("m", "no");
  const Message restored = restore(dead.view(), "pass-1");
  CHECK(restored.id == "m");
  CHECK(restored.type == "type");
  CHECK(restored.key == "k");
  CHECK(restored.payload == "payload");
  CHECK(restored.time == dead.time);
  CHECK(restored.sequence == dead.sequence);
  std::string headers;
  for (const Header each : restored.headers) {
    headers.append(each.name).append("=").append(each.value).append(" ");
  }
  CHECK(headers == "trace=4bf9 trace=again omnibus-redriven=pass-1 billing ");
}

TEST_CASE("what the header of a redrive says is read as it was written, or is nothing") {
  Headers headers;
  CHECK(read_redriven(headers).redrive.empty());
  CHECK(read_redriven(headers).group.empty());
  headers.set(redriven_header, write_redriven({"pass-1", "billing"}));
  CHECK(read_redriven(headers).redrive == "pass-1");
  CHECK(read_redriven(headers).group == "billing");
  headers.set(redriven_header, "by hand");
  CHECK(read_redriven(headers).group == "hand");
  headers.set(redriven_header, "alone");
  CHECK(read_redriven(headers).redrive == "alone");
  CHECK(read_redriven(headers).group.empty());
}

TEST_CASE("a letter of somebody else may have no origin, or one that is no topic") {
  CHECK(has_origin(Shown{letter("m", "no")}.letter.died));
  CHECK_FALSE(has_origin(Shown{message_of("m", "k")}.letter.died));
  CHECK_FALSE(has_origin(Shown{letter("m", "no", "a topic/../with\nmore")}.letter.died));
}

TEST_CASE("letters are meant by key or by id") {
  const Shown shown{letter("m", "no")};
  CHECK(any_letter()(shown.letter));
  CHECK(letters_of_key("k")(shown.letter));
  CHECK_FALSE(letters_of_key("")(shown.letter));
  CHECK(letters_with_id("m")(shown.letter));
  CHECK_FALSE(letters_with_id("k")(shown.letter));
}

TEST_CASE("a letter that is kept shows what the view showed") {
  const Letter kept = [] {
    const Shown shown{letter("m", "no"), 3, {7, 1}};
    return Letter{shown.letter};
  }();
  CHECK(kept.message.id == "m");
  CHECK(kept.partition == 3);
  CHECK(kept.position == Position{7, 1});
  CHECK(kept.died().reason == "no");
}

TEST_CASE("a cursor finds its place by position, though letters have gone, and else by number") {
  LetterCursor cursor;
  cursor.note(Shown{letter("a", ""), 0, {4, 0}}.letter);
  cursor.note(Shown{letter("b", ""), 1, {}}.letter);
  cursor.note(Shown{letter("c", ""), 1, {}}.letter);
  LetterCursor seen;
  CHECK(cursor.is_behind(Shown{letter("b", ""), 1, {}}.letter, seen));
  CHECK_FALSE(cursor.is_behind(Shown{letter("d", ""), 0, {5, 0}}.letter, seen));  // "a" has gone
  CHECK(cursor.is_behind(Shown{letter("c", ""), 1, {}}.letter, seen));
  CHECK_FALSE(cursor.is_behind(Shown{letter("e", ""), 1, {}}.letter, seen));
  CHECK_FALSE(cursor.is_behind(Shown{letter("f", ""), 2, {}}.letter, seen));
}

TEST_CASE("letters are counted by reason, and the number of reasons is bounded") {
  LetterCensus census;
  census.add(Shown{letter("a", "why")}.letter);
  census.add(Shown{letter("b", "why")}.letter);
  census.add(Shown{letter("c", "because", "invoices")}.letter);
  auto counts = census.counts();
  REQUIRE(counts.size() == 2);
  CHECK(counts[1].topic == "orders");
  CHECK(counts[1].group == "billing");
  CHECK(counts[1].code == "handler_failed");
  CHECK(counts[1].reason == "why");
  CHECK(counts[1].letters == 2);
  CHECK(counts[1].example == "a");
  for (int i = 0; i < 2000; ++i) census.add(Shown{letter("m", std::to_string(i))}.letter);
  counts = census.counts();
  CHECK(counts.size() == LetterCensus::most + 1);
  std::uint64_t all = 0;
  for (const LetterCount& each : counts) all += each.letters;
  CHECK(all == 2003);
  CHECK(counts[0].reason == LetterCensus::rest);
}
