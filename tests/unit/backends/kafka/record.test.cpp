// SPDX-License-Identifier: MIT
#include <omnibus/backends/kafka/record.hpp>

#include <random>

#include "catch.hpp"
#include "unit/backends/kafka/tools.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::kafka;
using namespace omnibus::unit;

namespace {

std::string written(const Envelope& envelope) {
  std::string text;
  append_envelope(text, envelope);
  return text;
}

/// "id|type|epoch.number|due|attempts|group" of what is read.
std::string read(std::string_view value) {
  std::string scratch = "left from the record before";
  const Envelope e = parse_envelope(value, scratch);
  return std::string{e.id} + "|" + std::string{e.type} + "|" + std::to_string(e.sequence.epoch) +
         "." + std::to_string(e.sequence.number) + "|" + std::to_string(e.due) + "|" +
         std::to_string(e.attempts) + "|" + std::string{e.group};
}

bool same(const Envelope& a, const Envelope& b) {
  return a.id == b.id && a.type == b.type && a.sequence == b.sequence && a.due == b.due &&
         a.attempts == b.attempts && a.group == b.group;
}

}  // namespace

TEST_CASE("kafka: the header is a line for the id, one for the type, and what else there is") {
  CHECK(written({"id", "type", {}, 0, 0, {}}) == "id\ntype");
  CHECK(written({}) == "\n");
  CHECK(written({"id", "", {7, 0}, 0, 0, {}}) == "id\n\ns7.0");
  CHECK(written({"id", "type", {7, 8}, 9, 10, "g"}) == "id\ntype\ns7.8\nd9\na10\ngg");
}

TEST_CASE("kafka: the header is appended to what is there") {
  std::string text = "before";
  append_envelope(text, {"id", "type", {}, 0, 0, {}});
  CHECK(text == "beforeid\ntype");
}

TEST_CASE("kafka: of the header only line ends and '%' are escaped") {
  CHECK(written({"a\nb", "50%\n", {}, 0, 0, {}}) == "a%0Ab\n50%25%0A");
  CHECK(written({every_byte(), "", {}, 0, 0, {}}).size() == 256 + 2 + 2 + 1);
}

TEST_CASE("kafka: id and type may have every byte") {
  for (int byte = 0; byte < 256; ++byte) {
    const std::string id{'i', static_cast<char>(byte), 'd'};
    const std::string type{static_cast<char>(byte)};
    const Envelope envelope{id, type, {1, 2}, 3, 4, "g"};
    std::string scratch;
    const std::string value = written(envelope);
    if (!same(parse_envelope(value, scratch), envelope)) FAIL("byte " << byte);
  }
}

TEST_CASE("kafka: the largest numbers go through the header") {
  const Envelope envelope{"id", "t", {UINT64_MAX, UINT64_MAX}, INT64_MAX, UINT32_MAX, "group"};
  std::string scratch;
  const std::string value = written(envelope);
  CHECK(same(parse_envelope(value, scratch), envelope));
}

TEST_CASE("kafka: over random envelopes what is read is what was written") {
  std::mt19937_64 random{4};
  const auto text = [&](std::string_view alphabet) {
    std::string made;
    for (auto left = random() % 12; left > 0; --left) {
      made.push_back(alphabet[static_cast<std::size_t>(random() % alphabet.size())]);
    }
    return made;
  };
  const auto number = [&]() -> std::uint64_t {
    return random() % 3 == 0 ? 0 : random() >> random() % 64;
  };
  const std::string any = "%0A25\n\nabc\r" + every_byte();
  std::string scratch;  // used again, as for records
  for (int round = 0; round < 20'000; ++round) {
    const std::string id = text(any), type = text(any), group = text("abc.-_09:");
    Envelope envelope{id, type, {number(), number()}, static_cast<std::int64_t>(number() >> 1),
                      static_cast<std::uint32_t>(number()), group};
    if (envelope.sequence.epoch == 0) envelope.sequence.number = 0;  // it does not number
    const std::string value = written(envelope);
    if (!same(parse_envelope(value, scratch), envelope)) FAIL("round " << round << visible(value));
  }
}

TEST_CASE("kafka: what a header lacks stays at its default, and what is unknown is left out") {
  struct Row {
    std::string_view value, expected;
  };
  const Row rows[] = {
      {"", "||0.0|0|0|"},
      {"id", "id||0.0|0|0|"},
      {"id\n", "id||0.0|0|0|"},
      {"id\ntype\n", "id|type|0.0|0|0|"},
      {"\n\n\n\n", "||0.0|0|0|"},
      {"id\ntype\nzzz\na3", "id|type|0.0|0|3|"},
      {"id\ntype\n\na3\n", "id|type|0.0|0|3|"},
      {"id\ntype\ng", "id|type|0.0|0|0|"},
      {"id\ntype\na1\na2", "id|type|0.0|0|2|"},
      {"id\ntype\ns5", "id|type|0.0|0|0|"},
      {"id\ntype\ns5.", "id|type|5.0|0|0|"},
      {"id\ntype\ns.5", "id|type|0.5|0|0|"},
      {"id\ntype\ns-1.-1", "id|type|0.0|0|0|"},
      {"id\ntype\nd\na\ns", "id|type|0.0|0|0|"},
      {"id\ntype\ndx\nax", "id|type|0.0|0|0|"},
      {"id\ntype\nd99999999999999999999\na4294967296", "id|type|0.0|0|0|"},
      {"id\ntype\ns99999999999999999999.1", "id|type|0.1|0|0|"},
      {"id\ntype\nd-7", "id|type|0.0|-7|0|"},
      {"a%\nb%2", "a%|b%2|0.0|0|0|"},
      {"%0a%26%0A\n%%25", "%0a%26\n|%%|0.0|0|0|"},
      {"\x00\xff\ntype"sv, "\x00\xff|type|0.0|0|0|"sv},
  };
  for (const Row& row : rows) {
    CAPTURE(visible(row.value));
    CHECK(visible(read(row.value)) == visible(row.expected));
  }
}

TEST_CASE("kafka: headers of random bytes are read without harm") {
  std::mt19937_64 random{5};
  const std::string_view alphabet = "\n\n\n%%%0A25sdagx.-19";
  std::string scratch;
  for (int round = 0; round < 50'000; ++round) {
    std::string value;
    for (auto left = random() % 40; left > 0; --left) {
      value.push_back(random() % 8 == 0 ? static_cast<char>(random())
                                        : alphabet[random() % alphabet.size()]);
    }
    const std::string exact{value};  // sanitizers see what is read beyond its end
    const Envelope envelope = parse_envelope(exact, scratch);
    const std::size_t shown = envelope.id.size() + envelope.type.size() + envelope.group.size();
    if (shown > value.size()) FAIL("more than there is: " << visible(value));
    // What is escaped anew is read as the same.
    std::string other;
    const std::string again = written(envelope);
    if (parse_envelope(again, other).id != envelope.id) FAIL(visible(value));
  }
}

TEST_CASE("kafka: what is read lives as long as the scratch, however much is escaped") {
  const std::string id(500, '\n'), type(500, '%');
  const std::string value = written({id, type, {}, 0, 0, {}});
  std::string scratch;
  const Envelope envelope = parse_envelope(value, scratch);
  CHECK(envelope.id == id);
  CHECK(envelope.type == type);
  const std::size_t once = scratch.size();
  (void)parse_envelope(value, scratch);
  CHECK(scratch.size() == once);  // it does not grow from record to record
}

TEST_CASE("kafka: times of records are milliseconds, and what no time can say is its bound") {
  CHECK(to_ms(Time{}) == 0);
  CHECK(to_ms(Time{1'700'000'000'123ms}) == 1'700'000'000'123);
  CHECK(to_ms(Time{1'700'000'000'123'999'999ns}) == 1'700'000'000'123);
  CHECK(from_ms(1'700'000'000'123) == Time{1'700'000'000'123ms});
  CHECK(from_ms(0) == Time{});
  CHECK(from_ms(-1) == Time{});  // librdkafka: there is none
  CHECK(from_ms(INT64_MIN) == Time{});
  CHECK(from_ms(INT64_MAX) == Time{9'000'000'000'000ms});
  CHECK(to_ms(from_ms(INT64_MAX)) == 9'000'000'000'000);
}
