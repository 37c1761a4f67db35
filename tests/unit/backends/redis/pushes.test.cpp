// SPDX-License-Identifier: MIT
#include <omnibus/backends/redis/pushes.hpp>

#include <string>

#include "catch.hpp"
#include "tools.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::redis;
using namespace omnibus::unit;

namespace {

struct Told final : PushEvents {
  std::string text;
  void subscribed() override { text += "subscribed. "; }
  void arrived(std::string_view channel, std::string_view bytes) override {
    text.append(channel).append("=").append(bytes).append(". ");
  }
  void refused(const Error& problem) override {
    text.append(to_string(problem.code)).append(". ");
  }
};

std::string told(std::string_view bytes) {
  Told events;
  PushReader reader{events};
  reply(reader, bytes);
  return events.text;
}

}  // namespace

TEST_CASE("redis: what a subscribed connection says") {
  CHECK(told("*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"
             "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\nhi\r\n"
             "*2\r\n$4\r\npong\r\n$0\r\n\r\n"
             "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$0\r\n\r\n") == "subscribed. c=hi. c=. ");
  CHECK(told("*3\r\n$10\r\npsubscribe\r\n$2\r\nc*\r\n:1\r\n"
             "*4\r\n$8\r\npmessage\r\n$2\r\nc*\r\n$2\r\ncx\r\n$2\r\nhi\r\n") ==
        "subscribed. cx=hi. ");
}

TEST_CASE("redis: refusals of a subscription") {
  CHECK(told("-NOPERM this user has no permissions\r\n") == "access_denied. ");
  CHECK(told("*3\r\n$11\r\nunsubscribe\r\n$1\r\nc\r\n:0\r\n") == "unavailable. ");
  CHECK(told("*3\r\n$12\r\npunsubscribe\r\n$1\r\nc\r\n:0\r\n") == "unavailable. ");
}

TEST_CASE("redis: what makes no sense is passed over") {
  CHECK(told("+PONG\r\n:1\r\n$-1\r\n*-1\r\n*0\r\n*1\r\n:7\r\n*1\r\n*1\r\n$7\r\nmessage\r\n"
             "*2\r\n$7\r\nmessage\r\n$1\r\nc\r\n*3\r\n:1\r\n$1\r\nc\r\n$2\r\nhi\r\n")
            .empty());
  CHECK(told("*3\r\n$7\r\nmessage\r\n*1\r\n$1\r\nc\r\n:5\r\n") == "=. ");
}
