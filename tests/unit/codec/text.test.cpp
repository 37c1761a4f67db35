// SPDX-License-Identifier: MIT
#include <omnibus/codec/text.hpp>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;
using Bytes = std::vector<std::byte>;

TEST_CASE("text and bytes are the payload itself, whatever they hold") {
  for (const std::string& text : {""s, "text"s, "\0\xff\n"s, std::string(100'000, '\0')}) {
    CHECK(Codec<std::string>::view(text) == text);
    CHECK(Codec<std::string>::decode(text).value() == text);
    const Bytes bytes = Codec<Bytes>::decode(text).value();
    CHECK(bytes.size() == text.size());
    CHECK(Codec<Bytes>::view(bytes) == text);
  }
  CHECK(Codec<std::string_view>::view("text") == "text");
}

TEST_CASE("text and bytes have no type name, and view without a copy") {
  CHECK(detail::event_type<std::string>().empty());
  CHECK(detail::event_type<Bytes>().empty());
  const std::string text = "text";
  CHECK(Codec<std::string>::view(text).data() == text.data());
  STATIC_REQUIRE(detail::ViewEncoder<std::string>);
  STATIC_REQUIRE(detail::Decoder<Bytes>);
  STATIC_REQUIRE_FALSE(detail::Decoder<std::string_view>);
  STATIC_REQUIRE_FALSE(detail::HasCodec<int>);
  STATIC_REQUIRE_FALSE(detail::Keyed<std::string>);
}
