// SPDX-License-Identifier: MIT
#include <omnibus/codec/json.hpp>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;

namespace {

struct Basket {
  std::string id;
  double total = 0;
  std::vector<int> items;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Basket, id, total, items)

}  // namespace

template <>
struct omnibus::Codec<Basket> : omnibus::JsonCodec<Basket> {
  static constexpr std::string_view type = "order";
};

namespace {

template <class E = nlohmann::json>
Errc code_of(std::string_view bytes) {
  const auto result = Codec<E>::decode(bytes);
  return result ? Errc::internal : result.error().code;
}
std::string nested(int depth) {
  return std::string(static_cast<std::size_t>(depth), '[') +
         std::string(static_cast<std::size_t>(depth), ']');
}

}  // namespace

TEST_CASE("an event goes to JSON and back") {
  const Basket order{"o\"-\n1 \u00fc", 42.5, {1, 2, 3}};
  std::string bytes = "appended:";
  Codec<Basket>::encode(order, bytes);
  REQUIRE(bytes.starts_with("appended:{"));
  const Basket back = Codec<Basket>::decode(std::string_view{bytes}.substr(9)).value();
  CHECK(back.id == order.id);
  CHECK(back.total == order.total);
  CHECK(back.items == order.items);
}

TEST_CASE("a codec derived from JsonCodec names its own message type") {
  CHECK(detail::event_type<Basket>() == "order");
  CHECK(detail::event_type<nlohmann::json>().empty());
}

TEST_CASE("what is no JSON, or another shape, is refused and not thrown") {
  for (const std::string& bytes :
       {""s, "{"s, "nul"s, "{} x"s, "[1,]"s, "\"\xff\""s, "{}\0"s, "\0"s}) {
    CHECK(code_of(bytes) == Errc::decode_failed);
  }
  for (const char* bytes : {"[]", "null", "{}", R"({"id":1,"total":2,"items":[]})",
                            R"({"id":"a","total":"2","items":[]})", R"({"id":"a","total":2})"}) {
    CHECK(code_of<Basket>(bytes) == Errc::decode_failed);
  }
  CHECK_FALSE(Codec<Basket>::decode("{}").error().context.empty());
  const std::string endless = "\"" + std::string(100'000, 'x');
  CHECK(Codec<nlohmann::json>::decode(endless).error().context.size() == 300);
}

TEST_CASE("nesting is bounded, so that bytes from outside cannot exhaust the stack") {
  CHECK(Codec<nlohmann::json>::decode(nested(64)));
  CHECK(code_of(nested(65)) == Errc::decode_failed);
  CHECK(code_of(nested(66)) == Errc::decode_failed);
  CHECK(code_of(nested(200'000)) == Errc::decode_failed);
  CHECK(code_of(std::string(200'000, '[')) == Errc::decode_failed);
  std::string objects;
  for (int i = 0; i < 100'000; ++i) objects += "{\"a\":";
  CHECK(code_of(objects) == Errc::decode_failed);
  CHECK(code_of(nested(63).insert(63, "[[1],{\"a\":1}]")) == Errc::decode_failed);
}

TEST_CASE("a NUL inside a string is a character like any other") {
  std::string bytes;
  Codec<nlohmann::json>::encode(nlohmann::json("a\0b"s), bytes);
  CHECK(Codec<nlohmann::json>::decode(bytes).value().get<std::string>() == "a\0b"s);
}
