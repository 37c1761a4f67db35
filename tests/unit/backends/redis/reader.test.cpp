// SPDX-License-Identifier: MIT
#include <omnibus/backends/redis/reader.hpp>

#include <string>

#include "catch.hpp"

using namespace omnibus::redis;

namespace {

/// Writes down what it is told.
struct Protocol final : Replies {
  std::string text;

  void part(const Part& part) noexcept override {
    text.append(static_cast<std::size_t>(part.depth), '>').append(std::to_string(part.index));
    switch (part.kind) {
      case Part::Kind::text: text.append("'").append(part.text).append("'"); break;
      case Part::Kind::status: text.append("+").append(part.text); break;
      case Part::Kind::error: text.append("-").append(part.text); break;
      case Part::Kind::integer: text.append(":").append(std::to_string(part.number)); break;
      case Part::Kind::nil: text.append("nil"); break;
      case Part::Kind::array: text.append("*").append(std::to_string(part.number)); break;
    }
    text.append(" ");
  }
  void complete() noexcept override { text.append("| "); }
};

constexpr std::string_view replies =
    "+OK\r\n-ERR no\r\n:-5\r\n$-1\r\n*-1\r\n*0\r\n$0\r\n\r\n"
    "*2\r\n$1\r\na\r\n*2\r\n*1\r\n:7\r\n$-1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n$1\r\nx\r\n";
constexpr std::string_view spoken =
    "0+OK | 0-ERR no | 0:-5 | 0nil | 0nil | 0*0 | 0'' | "
    "0*2 >0'a' >1*2 >>0*1 >>>0:7 >>1nil | "
    "0*1 >0*1 >>0*1 >>>0*1 >>>>0*1 >>>>>0*1 >>>>>>0'x' | ";

}  // namespace

TEST_CASE("redis: replies are told part by part, however they come in") {
  for (std::size_t step : {std::size_t{1}, std::size_t{3}, replies.size()}) {
    Protocol protocol;
    Reader reader{1024};
    for (std::size_t at = 0; at < replies.size(); at += step) {
      const std::string_view piece = replies.substr(at, step);
      REQUIRE(reader.feed(piece.data(), piece.size()));
      while (reader.next(protocol) == Reader::Got::whole) {
      }
    }
    CHECK(protocol.text == spoken);
  }
}

TEST_CASE("redis: what is no protocol is malformed, for good") {
  for (const std::string_view bad : {"hello\r\n", "$x\r\n", "*99999999999999\r\n", ":12x\r\n"}) {
    INFO(bad);
    Protocol protocol;
    Reader reader{1024};
    REQUIRE(reader.feed(bad.data(), bad.size()));
    CHECK(reader.next(protocol) == Reader::Got::malformed);
    CHECK(reader.next(protocol) == Reader::Got::malformed);
  }
}

TEST_CASE("redis: a value that is too large is not waited for") {
  Protocol protocol;
  Reader reader{1000};
  const std::string head = "*2\r\n$3\r\nabc\r\n$100000000\r\n";
  REQUIRE(reader.feed(head.data(), head.size()));
  CHECK(reader.next(protocol) == Reader::Got::nothing);
  const std::string piece(600, 'x');
  REQUIRE(reader.feed(piece.data(), piece.size()));
  CHECK(reader.next(protocol) == Reader::Got::nothing);
  REQUIRE(reader.feed(piece.data(), piece.size()));
  CHECK(reader.next(protocol) == Reader::Got::too_large);
  CHECK(protocol.text == "0*2 >0'abc' ");  // what it belongs to is known
}
