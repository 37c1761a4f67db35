// SPDX-License-Identifier: MIT
#include <omnibus/event_store/upcast.hpp>

#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;

namespace {

struct Paid1 {
  std::string text;
};
struct Paid2 {
  std::string text;
};
struct Paid3 {
  std::string text;
};
struct Moved {
  std::string text;
};

template <class E>
struct TextCodec {
  static void encode(const E& event, std::string& out) { out += event.text; }
  static Result<E> decode(std::string_view bytes) {
    if (bytes == "broken") return permanent("broken indeed");
    return E{std::string{bytes}};
  }
};

}  // namespace

template <>
struct omnibus::Codec<Paid1> : TextCodec<Paid1> {
  static constexpr std::string_view type = "paid";
};
template <>
struct omnibus::Codec<Paid2> : TextCodec<Paid2> {
  static constexpr std::string_view type = "paid.v2";
};
template <>
struct omnibus::Codec<Paid3> : TextCodec<Paid3> {
  static constexpr std::string_view type = "paid.v3";
};
template <>
struct omnibus::Codec<Moved> : TextCodec<Moved> {
  static constexpr std::string_view type = "moved";
};

namespace {

/// What becomes of an event, as "type=payload " each, or the error.
std::string today(const Upcasts& upcasts, std::string_view type, std::string_view payload) {
  std::string all;
  const StoredEvent old{.stream = "s-1", .version = 7, .position = 8, .id = "e", .type = type, .payload = payload};
  const Result<> done = upcasts.apply(old, [&](const StoredEvent& event) -> Result<> {
    CHECK(event.stream == "s-1");
    CHECK(event.version == 7);
    CHECK(event.position == 8);
    CHECK(event.id == "e");
    if (event.payload == "refuse") return permanent("refused");
    all.append(event.type).append("=").append(event.payload).append(" ");
    return {};
  });
  return done ? all : all + done.error().message();
}

}  // namespace

TEST_CASE("steps follow each other, whatever the order they are written in") {
  const Upcasts upcasts{[](const Paid2& old) { return Paid3{old.text + "3"}; },
                        [](const Paid1& old) { return Paid2{old.text + "2"}; }};
  CHECK(today(upcasts, "paid", "x") == "paid.v3=x23 ");
  CHECK(today(upcasts, "paid.v2", "x") == "paid.v3=x3 ");
  CHECK(today(upcasts, "paid.v3", "x") == "paid.v3=x ");
  CHECK(today(upcasts, "other", "x") == "other=x ");
  CHECK(today({}, "paid", "x") == "paid=x ");
}

TEST_CASE("an event becomes several, which go on, or none") {
  const Upcasts upcasts{[](const Moved& old) { return std::tuple{Paid1{old.text}, Paid3{"new"}}; },
                        [](const Paid1& old) { return std::vector{Paid2{old.text + "a"}, Paid2{old.text + "b"}}; },
                        [](const Paid2& old) { return Paid3{old.text}; }};
  CHECK(today(upcasts, "moved", "x") == "paid.v3=xa paid.v3=xb paid.v3=new ");
  const Upcasts none{[](const Moved&) {}, [](const Paid1&) { return std::vector<Paid2>{}; }};
  CHECK(today(none, "moved", "x") == "");
  CHECK(today(none, "paid", "x") == "");
}

TEST_CASE("types are renamed, and steps may work on bytes") {
  Upcasts upcasts;
  upcasts.rename("payed", "paid").add("paid", [](const StoredEvent& old, Successors& into) -> Result<> {
    into.add("paid.v2", std::string{old.payload} + std::to_string(old.version));
    return into.add(Paid3{"and this"});
  });
  CHECK(today(upcasts, "payed", "x") == "paid.v2=x7 paid.v3=and this ");
  const Upcasts copy = upcasts;
  CHECK(today(copy, "paid", "y") == "paid.v2=y7 paid.v3=and this ");
}

TEST_CASE("what is wrong with a step ends the reading in front of what follows") {
  Upcasts upcasts{[](const Paid1& old) -> Result<Paid2> {
                    if (old.text == "thrown") throw std::runtime_error{"thrown"};
                    if (old.text == "x") return permanent("refused by the step");
                    return Paid2{old.text};
                  },
                  [](const Moved& old) { return std::vector{Paid3{"1"}, Paid3{old.text}, Paid3{"2"}}; }};
  CHECK(today(upcasts, "paid", "broken").find("broken indeed (decode_failed)") != std::string::npos);
  CHECK(today(upcasts, "paid", "thrown").find("thrown (handler_failed") != std::string::npos);
  CHECK(today(upcasts, "paid", "x").find("refused by the step") != std::string::npos);
  CHECK(today(upcasts, "moved", "refuse") == "paid.v3=1 handle: refused (handler_failed)");
}

TEST_CASE("steps that go round in a circle are an error, and two for one type are refused") {
  Upcasts upcasts;
  upcasts.rename("a", "b").rename("b", "c").rename("c", "a");
  CHECK(today(upcasts, "b", "x") == "upcast: the steps go round in a circle at \"b\" (internal)");
  CHECK(throws_saying<std::invalid_argument>([&] { upcasts.rename("a", "d"); }, "\"a\""));
  CHECK(throws_saying<std::invalid_argument>(
      [] { Upcasts twice{[](const Paid1&) {}, [](const Paid1&) {}}; }, "\"paid\""));
}
