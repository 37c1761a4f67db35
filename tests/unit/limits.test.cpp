// SPDX-License-Identifier: MIT
#include <omnibus/limits.hpp>

#include <optional>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;

namespace {

/// The code of what is wrong; nothing when all is well.
std::optional<Errc> flaw(const Message& message, const MessageLimits& limits = {}) {
  const Result<> checked = check_message(message.view(), limits);
  return checked ? std::nullopt : std::optional{checked.error().code};
}

}  // namespace

TEST_CASE("a topic name is what every broker takes") {
  for (const std::string& good : {"a"s, "orders"s, "a.b_c:d-e9Z"s, std::string(249, 'x'), "."s}) {
    CHECK(is_topic_name(good));
  }
  for (const std::string& bad :
       {""s, std::string(250, 'x'), "a b"s, "a/b"s, "a\n"s, "a\0b"s, "ü"s, "a*"s, "a#"s, "a>"s,
        "a,b"s, "\x7f"s, "a@b"s, "a[b"s, "a`b"s, "a{b"s}) {
    CHECK_FALSE(is_topic_name(bad));
  }
}

TEST_CASE("each part of a message may be as large as its limit, and not larger") {
  const MessageLimits limits{.payload = 10, .key = 8};
  const std::pair<std::string Message::*, std::size_t> parts[] = {
      {&Message::payload, 10}, {&Message::key, 8}, {&Message::id, 8}, {&Message::type, 8}};
  for (const auto& [part, limit] : parts) {
    Message message;
    message.*part = std::string(limit, 'x');
    CHECK(flaw(message, limits) == std::nullopt);
    message.*part += 'x';
    CHECK(flaw(message, limits) == Errc::too_large);
  }
}

TEST_CASE("the limits that hold when nobody says otherwise") {
  Message message;
  message.payload = std::string(1 << 20, 'x');
  message.key = std::string(1024, 'k');
  CHECK(flaw(message) == std::nullopt);
  message.payload += 'x';
  CHECK(flaw(message) == Errc::too_large);
}

TEST_CASE("the error names the part, its size and the limit, and not its bytes") {
  Message message;
  message.payload.assign(1 << 20, 'x').append("secret");
  const Result<> checked = check_message(message.view(), {});
  const std::string text = checked.error().message();
  CHECK(text.find("payload has 1048582 bytes, the limit is 1048576") != std::string::npos);
  CHECK(text.find("secret") == std::string::npos);
}

TEST_CASE("headers are bounded in number, in value and in all") {
  const MessageLimits limits{.header_count = 3, .header_value = 10, .headers_total = 30};
  Message message;
  message.headers = {{"a", "1"}, {"b", "2"}, {"c", "3"}};
  CHECK(flaw(message, limits) == std::nullopt);
  message.headers.add("d", "4");
  CHECK(flaw(message, limits) == Errc::too_large);

  message.headers = {{"a", "1234567890"}};
  CHECK(flaw(message, limits) == std::nullopt);
  message.headers = {{"a", "12345678901"}};
  CHECK(flaw(message, limits) == Errc::too_large);

  message.headers = {{"12345", "1234567890"}, {"12345", "1234567890"}};  // 30 in all
  CHECK(flaw(message, limits) == std::nullopt);
  message.headers.add("a", "");
  CHECK(flaw(message, limits) == Errc::too_large);
}

TEST_CASE("a header's name is printable ASCII, so that nobody smuggles a line into a protocol") {
  Message message;
  for (const std::string& good :
       {"a"s, "X-Trace-Id"s, "omnibus-dead-code"s, "!~"s, std::string(255, 'n')}) {
    message.headers = {};
    message.headers.add(good, "\r\n\0 any bytes"sv);
    CHECK(flaw(message) == std::nullopt);
  }
  for (const std::string& bad : {""s, std::string(256, 'n'), "a b"s, " "s, "a\r"s, "a\nb"s,
                                 "a\r\nb: c"s, "a\0"s, "\t"s, "ü"s, "a\x7f"s, "\xff"s, "\x80"s}) {
    message.headers = {};
    message.headers.add("good", "1").add(bad, "2");
    CHECK(flaw(message) == Errc::invalid_argument);
  }
}
