// SPDX-License-Identifier: MIT
#include <omnibus/backends/rabbitmq/received.hpp>

#include <deque>

#include "catch.hpp"
#include "unit/backends/rabbitmq/tools.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::rabbitmq;
using namespace omnibus::unit;

namespace {

std::string text_of(const amqp_field_value_t& value) {
  std::string out;
  FieldText{out}.append(value);
  return out;
}

template <class Set>
std::string text_of(char kind, Set set) {
  amqp_field_value_t field{};
  field.kind = static_cast<std::uint8_t>(kind);
  set(field.value);
  return text_of(field);
}

/// A message with these headers and no body.
class WithHeaders {
 public:
  explicit WithHeaders(std::vector<amqp_table_entry_t> entries, bool redelivered = false) {
    received_.begin(with_headers(entries), 0, redelivered);
  }
  const rabbitmq::Received::Facts& facts() const { return received_.facts(); }
  const MessageView& message() const { return received_.message(); }

 private:
  rabbitmq::Received received_;
};

/// Arrays in arrays, or tables in tables, as many as `depth`.
class Nested {
 public:
  Nested(int depth, bool tables) {
    amqp_field_value_t value = text_field("x");
    for (int i = 0; i < depth; ++i) {
      if (tables) {
        tables_.push_back({entry("k", value)});
        value = table_field(tables_.back());
      } else {
        arrays_.push_back({value});
        value = array_field(arrays_.back());
      }
    }
    value_ = value;
  }
  const amqp_field_value_t& value() const { return value_; }

 private:
  std::deque<std::vector<amqp_field_value_t>> arrays_;
  std::deque<std::vector<amqp_table_entry_t>> tables_;
  amqp_field_value_t value_{};
};

}  // namespace

TEST_CASE("rabbitmq: fields of every kind have a text") {
  CHECK(text_of(AMQP_FIELD_KIND_BOOLEAN, [](auto& value) { value.boolean = 1; }) == "true");
  CHECK(text_of(AMQP_FIELD_KIND_BOOLEAN, [](auto& value) { value.boolean = 0; }) == "false");
  CHECK(text_of(AMQP_FIELD_KIND_I8, [](auto& value) { value.i8 = -128; }) == "-128");
  CHECK(text_of(AMQP_FIELD_KIND_U8, [](auto& value) { value.u8 = 255; }) == "255");
  CHECK(text_of(AMQP_FIELD_KIND_I16, [](auto& value) { value.i16 = -32768; }) == "-32768");
  CHECK(text_of(AMQP_FIELD_KIND_U16, [](auto& value) { value.u16 = 65535; }) == "65535");
  CHECK(text_of(AMQP_FIELD_KIND_I32, [](auto& value) { value.i32 = INT32_MIN; }) == "-2147483648");
  CHECK(text_of(AMQP_FIELD_KIND_U32, [](auto& value) { value.u32 = UINT32_MAX; }) == "4294967295");
  CHECK(text_of(i64_field(INT64_MIN)) == "-9223372036854775808");
  CHECK(text_of(AMQP_FIELD_KIND_U64, [](auto& value) { value.u64 = UINT64_MAX; }) ==
        "18446744073709551615");
  CHECK(text_of(AMQP_FIELD_KIND_TIMESTAMP, [](auto& value) { value.u64 = 17; }) == "17");
  CHECK(text_of(AMQP_FIELD_KIND_F32, [](auto& value) { value.f32 = 1.5F; }) == "1.500000");
  CHECK(text_of(AMQP_FIELD_KIND_F64, [](auto& value) { value.f64 = -0.25; }) == "-0.250000");
  CHECK(text_of(AMQP_FIELD_KIND_VOID, [](auto&) {}) == "");
  CHECK(text_of(AMQP_FIELD_KIND_DECIMAL, [](auto& value) { value.decimal = {2, 314}; }) == "");
  CHECK(text_of(text_field("a \"b\"\0"sv)) == "a \"b\"\0"sv);
  CHECK(text_of(text_field("bytes", AMQP_FIELD_KIND_BYTES)) == "bytes");
  CHECK(text_of(text_field(std::string(100'000, 'x'))).size() == 100'000);  // what is flat is whole
}

TEST_CASE("rabbitmq: nested fields look like JSON") {
  std::vector<amqp_field_value_t> nothing;
  CHECK(text_of(array_field(nothing)) == "[]");
  std::vector<amqp_table_entry_t> inner{entry("say", text_field("\"\\")), entry("n", i64_field(2))};
  std::vector<amqp_field_value_t> values{i64_field(1), table_field(inner), text_field("z")};
  CHECK(text_of(array_field(values)) == R"([1,{"say":"\"\\","n":2},"z"])");
}

TEST_CASE("rabbitmq: tables are shown down to 16 levels") {
  for (const bool tables : {false, true}) {
    CHECK(text_of(Nested{16, tables}.value()).find("\"x\"") != std::string::npos);
    const std::string deeper = text_of(Nested{17, tables}.value());
    CHECK(deeper.find("\"x\"") == std::string::npos);
    CHECK(deeper.find("...") != std::string::npos);
    CHECK(text_of(Nested{50'000, tables}.value()) == deeper);
  }
}

TEST_CASE("rabbitmq: nested fields are shown up to 8 KiB, texts in them up to 1 KiB") {
  const std::string long_text(5000, 'x');
  std::vector<amqp_field_value_t> one{text_field(long_text)};
  CHECK(text_of(array_field(one)).size() == 1024 + 4);
  std::vector<amqp_field_value_t> many(5000, text_field(long_text));
  CHECK(text_of(array_field(many)).size() >= 8192);
  CHECK(text_of(array_field(many)).size() < 8192 + 1100);
  const std::string quotes(1024, '"');
  std::vector<amqp_table_entry_t> entries(5000, entry(quotes, text_field(quotes)));
  CHECK(text_of(table_field(entries)).size() < 8192 + 4200);
  std::vector<amqp_field_value_t> small{i64_field(1)};
  std::vector<amqp_table_entry_t> nested(9, entry(quotes, array_field(small)));
  CHECK(text_of(table_field(nested)).find(":...") != std::string::npos);
  std::vector<amqp_field_value_t> numbers(100'000, i64_field(INT64_MIN));
  CHECK(text_of(array_field(numbers)).size() < 8192 + 50);
  // Each level is wide: what is shown is bounded over all of them together.
  std::deque<std::vector<amqp_field_value_t>> levels;
  levels.emplace_back(10, i64_field(7));
  for (int i = 0; i < 15; ++i) {
    std::vector<amqp_field_value_t> wider(10, array_field(levels.back()));
    levels.push_back(std::move(wider));
  }
  CHECK(text_of(array_field(levels.back())).size() < 8192 + 200);
}

TEST_CASE("rabbitmq: the bound is of each header, not of what stands before it") {
  const std::string large(20'000, 'y');
  std::vector<amqp_field_value_t> values{i64_field(1), i64_field(2)};
  const WithHeaders got{{entry("large", text_field(large)), entry("list", array_field(values))}};
  CHECK(got.message().headers.get("large") == large);
  CHECK(got.message().headers.get("list") == "[1,2]");
}

TEST_CASE("rabbitmq: a foreign message shows its properties and headers") {
  std::vector<amqp_table_entry_t> entries{entry("n", i64_field(5)), entry("n", text_field("six"))};
  amqp_basic_properties_t properties = with_headers(entries);
  properties._flags |= AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_MESSAGE_ID_FLAG |
                       AMQP_BASIC_TYPE_FLAG | AMQP_BASIC_TIMESTAMP_FLAG | AMQP_BASIC_USER_ID_FLAG;
  properties.content_type = bytes_of("text/plain");
  properties.message_id = bytes_of("m-1");
  properties.type = bytes_of("t");
  properties.timestamp = 1'600'000'000;
  rabbitmq::Received received;
  received.begin(properties, 5, false);
  CHECK_FALSE(received.whole());
  CHECK_FALSE(received.add("he"));
  CHECK(received.add("llo"));
  const MessageView& message = received.message();
  CHECK(message.id == "m-1");
  CHECK(message.type == "t");
  CHECK(message.key == "");
  CHECK(message.payload == "hello");
  CHECK(message.time == Time{1'600'000'000s});
  CHECK(message.sequence == Sequence{});
  CHECK(message.headers.size() == 3);
  CHECK(message.headers.get("content-type") == "text/plain");
  CHECK(message.headers.get("n") == "5");
}

TEST_CASE("rabbitmq: what the flags do not announce is not looked at") {
  amqp_basic_properties_t properties{};
  properties.message_id = {5, nullptr};
  properties.headers = {3, nullptr};
  properties.timestamp = 9;
  rabbitmq::Received received;
  received.begin(properties, 0, false);
  CHECK(received.whole());
  CHECK(received.message().id == "");
  CHECK(received.message().time == Time{});
  CHECK(received.message().headers.empty());
}

TEST_CASE("rabbitmq: times that no clock shows do not overflow") {
  amqp_basic_properties_t properties{};
  properties._flags = AMQP_BASIC_TIMESTAMP_FLAG;
  for (const std::uint64_t seconds : {std::uint64_t{9'100'000'000}, UINT64_MAX,
                                      std::uint64_t{1} << 63}) {
    properties.timestamp = seconds;
    rabbitmq::Received received;
    received.begin(properties, 0, false);
    CHECK(received.message().time == Time{9'000'000'000s});
  }
}

TEST_CASE("rabbitmq: hostile numbers stay within bounds") {
  const auto attempts = [](const amqp_field_value_t& value) {
    return WithHeaders{{entry("x-omnibus-attempts", value)}}.facts().attempts;
  };
  const auto wait = [](const amqp_field_value_t& value) {
    return WithHeaders{{entry("x-omnibus-wait", value)}}.facts().wait;
  };
  amqp_field_value_t large = i64_field(0);
  large.kind = AMQP_FIELD_KIND_U64;
  large.value.u64 = UINT64_MAX;
  amqp_field_value_t negative = i64_field(0);
  negative.kind = AMQP_FIELD_KIND_I32;
  negative.value.i32 = -5;
  CHECK(attempts(i64_field(3)) == 3);
  CHECK(attempts(i64_field(INT64_MAX)) == 1'000'000);
  CHECK(attempts(large) == 1'000'000);
  CHECK(attempts(i64_field(-1)) <= 1'000'000);
  CHECK(attempts(negative) == 0);
  CHECK(attempts(text_field("7")) == 0);
  CHECK(wait(i64_field(3)) == 3ns);
  CHECK(wait(i64_field(INT64_MIN)) == Duration::zero());
  CHECK(wait(i64_field(-1)) == Duration::zero());
  CHECK(wait(large) >= Duration::zero());
  CHECK(wait(negative) == Duration::zero());
  CHECK(wait(text_field("7")) == Duration::zero());
}

TEST_CASE("rabbitmq: our own headers in a kind that is not ours are nothing, and hidden") {
  const WithHeaders got{{entry("x-omnibus-key", i64_field(5)), entry("x-omnibus-id", i64_field(5)),
                         entry("x-omnibus-time", text_field("t")),
                         entry("x-omnibus-", text_field("t")),
                         entry("x-omnibus-unknown", text_field("t"))}};
  CHECK(got.message().key == "");
  CHECK(got.message().id == "");
  CHECK(got.message().time == Time{});
  CHECK(got.message().headers.empty());
}

TEST_CASE("rabbitmq: a body that is announced takes no memory before it comes") {
  rabbitmq::Received received;
  for (const std::uint64_t size : {std::uint64_t{1} << 60, UINT64_MAX}) {
    received.begin({}, size, false);
    CHECK_FALSE(received.whole());
    CHECK_FALSE(received.add("part"));
    CHECK(received.size() == 4);
  }
  received.begin({}, 2, false);
  CHECK(received.add("more than was announced"));
  CHECK(received.whole());
}

TEST_CASE("rabbitmq: the marks of dead-lettering are hidden of what waited with us alone") {
  std::vector<amqp_table_entry_t> death{entry("queue", text_field("q"))};
  const auto with = [&](std::vector<amqp_table_entry_t> more) {
    more.push_back(entry("x-death", table_field(death)));
    more.push_back(entry("x-first-death-queue", text_field("q")));
    more.push_back(entry("x-first-death-reason", text_field("expired")));
    more.push_back(entry("x-else", text_field("e")));
    return WithHeaders{std::move(more)};
  };
  CHECK(with({}).message().headers.size() == 4);
  CHECK(with({}).message().headers.get("x-death") == R"({"queue":"q"})");
  CHECK(with({entry("x-omnibus-key", text_field("k"))}).message().headers.size() == 4);
  for (const std::string_view mark : {"x-omnibus-attempts", "x-omnibus-wait"}) {
    const WithHeaders got = with({entry(mark, i64_field(1))});
    CHECK(got.message().headers.size() == 1);
    CHECK(got.message().headers.get("x-else") == "e");
  }
}

TEST_CASE("rabbitmq: attempts are what the copy carries and what the broker counts") {
  CHECK(WithHeaders{{}}.facts().attempts == 0);
  CHECK(WithHeaders({}, true).facts().attempts == 1);
  CHECK(WithHeaders{{entry("x-delivery-count", i64_field(2))}}.facts().attempts == 2);
  CHECK(WithHeaders({entry("x-delivery-count", i64_field(2))}, true).facts().attempts == 2);
  CHECK(WithHeaders({entry("x-delivery-count", i64_field(0))}, true).facts().attempts == 1);
  CHECK(WithHeaders({entry("x-omnibus-attempts", i64_field(5)),
                     entry("x-delivery-count", i64_field(2))},
                    true)
            .facts()
            .attempts == 7);
  CHECK(WithHeaders{{entry("x-delivery-count", i64_field(2))}}.message().headers.empty());
}

TEST_CASE("rabbitmq: the place in a stream is a fact and no header") {
  const WithHeaders got{{entry("x-stream-offset", i64_field(1'234'567'890'123))}};
  CHECK(got.facts().offset == 1'234'567'890'123);
  CHECK(got.message().headers.empty());
}

TEST_CASE("rabbitmq: nothing of an earlier message is left in the next one") {
  rabbitmq::Received received;
  std::vector<amqp_table_entry_t> entries{
      entry("h", text_field("v")),           entry("x-omnibus-key", text_field("k")),
      entry("x-omnibus-id", text_field("i")), entry("x-omnibus-type", text_field("t")),
      entry("x-omnibus-time", i64_field(9)), entry("x-omnibus-epoch", i64_field(9)),
      entry("x-omnibus-number", i64_field(9)), entry("x-omnibus-attempts", i64_field(9)),
      entry("x-omnibus-wait", i64_field(9)), entry("x-stream-offset", i64_field(9))};
  received.begin(with_headers(entries), 3, true);
  CHECK(received.add("old"));
  CHECK(received.message().key == "k");
  CHECK(received.message().sequence == Sequence{9, 9});
  received.begin({}, 0, false);
  const MessageView& message = received.message();
  CHECK(message.id == "");
  CHECK(message.type == "");
  CHECK(message.key == "");
  CHECK(message.headers.empty());
  CHECK(message.payload == "");
  CHECK(message.time == Time{});
  CHECK(message.sequence == Sequence{});
  CHECK(received.facts().attempts == 0);
  CHECK(received.facts().wait == Duration::zero());
  CHECK(received.facts().offset == 0);
  received.release();
  received.begin({}, 1, false);
  CHECK(received.add("x"));
  CHECK(received.message().payload == "x");
}
